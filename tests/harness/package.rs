//! Packages. A plugin's program is found on the search path, so that a package is a manifest and little else.

use std::io::{Cursor, Write};

use serde_json::{Value, json};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Name, contents and permissions of a file in an archive.
pub(crate) type ZipEntry<'a> = (&'a str, &'a [u8], u32);

/// The manifest of the example `chaos` with these arguments.
pub(crate) fn chaos_manifest(args: &[&str]) -> Value {
    json!({
        "id": "chaos",
        "author": "plugd",
        "name": "Chaos",
        "description": "Misbehaves.",
        "version": "1.0.0",
        "command": "chaos",
        "args": args,
        "events_consumed": ["EventThreadPublished"],
        "configuration_schema": {
            "fields": [{"type": "string", "id": "greeting", "label": "Greeting", "description": "", "default": "hi"}]
        },
    })
}

/// The manifest of a plugin that the test itself runs.
pub(crate) fn external_manifest(id: &str) -> Value {
    json!({"id": id, "author": "plugd", "name": id, "description": "", "version": "1.0.0", "events_consumed": ["EventThreadPublished"]})
}

/// The example `chaos` as a package.
pub(crate) fn chaos(args: &[&str]) -> Vec<u8> {
    packaged(&chaos_manifest(args))
}

/// A package of nothing but this manifest.
pub(crate) fn packaged(manifest: &Value) -> Vec<u8> {
    zipped(&[("manifest.json", manifest.to_string().as_bytes(), 0o644)])
}

/// An archive of these files.
pub(crate) fn zipped(entries: &[ZipEntry<'_>]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents, mode) in entries {
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(*mode);
        archive.start_file(*name, options).unwrap();
        archive.write_all(contents).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
