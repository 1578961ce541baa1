use std::io::{Cursor, Write};

use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

/// A package of these files, with their permissions, in this order.
fn mk_package(files: &[(&str, &str, u32)]) -> Package {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents, mode) in files {
        archive.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).unwrap();
        archive.write_all(contents.as_bytes()).unwrap();
    }
    Package::read(archive.finish().unwrap().into_inner().into(), &EventCatalog::any()).unwrap()
}

fn mk_manifest(command: &str, args: &[&str]) -> String {
    json!({"id": "x", "author": "me", "name": "X", "command": command, "args": args}).to_string()
}

/// What is said of a package with this command and these files beside the manifest.
fn said(command: &str, args: &[&str], files: &[(&str, &str, u32)]) -> Vec<String> {
    let manifest = mk_manifest(command, args);
    of_start(&mk_package(&[&[("manifest.json", manifest.as_str(), 0o644)], files].concat()))
}

#[track_caller]
fn check(said: &[String], expected: &[&str]) {
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said}\n does not say {expected}");
    }
}

#[test]
fn a_program_that_can_run_gets_no_remark() {
    for command in ["./run", "run/../run", "bin/../run"] {
        check(&said(command, &["x.py"], &[("run", "#!/bin/sh\n", 0o755)]), &[]);
    }
    check(&said("/usr/bin/env", &[], &[]), &[]);
    check(&said("", &[], &[]), &[]);
}

#[test]
fn a_program_that_the_kernel_will_not_run_is_told_with_the_reason() {
    let cases = [
        ("#!/bin/sh\n", 0o644, "permission bits makes it executable"),
        ("", 0o755, "it is an empty file"),
        ("#!/bin/sh\r\n", 0o755, "CR LF"),
        ("\u{feff}#!/bin/sh\n", 0o755, "byte order mark"),
        ("print()\n", 0o755, "neither an ELF program nor a script"),
    ];
    for (contents, mode, why) in cases {
        check(&said("./bin/run", &[], &[("bin/run", contents, mode)]), &[why]);
    }
}

#[test]
fn a_program_that_is_not_in_the_package_is_told() {
    for command in ["./run", "bin/run", "./bin//run", "../run"] {
        check(&said(command, &[], &[]), &["it is not in the package"]);
    }
    check(&said("./bin", &[], &[("bin/run", "", 0o755)]), &["it is a folder"]);
}

#[test]
fn backslashes_are_told() {
    check(&said(r"bin\run.exe", &[], &[]), &["has a backslash"]);
    let files = [(r"lib\a.py", "", 0o644), (r"lib\b.py", "", 0o644)];
    check(&said("x", &[], &files), &[r"names with backslashes: lib\a.py, lib\b.py: "]);
}

#[test]
fn a_manifest_in_a_folder_that_wins_is_told() {
    let (mine, other) = (mk_manifest("x", &[]), mk_manifest("y", &[]));
    let inside = [("my/manifest.json", mine.as_str(), 0o644)];
    check(&of_start(&mk_package(&inside)), &["the manifest that counts is my/manifest.json"]);
    let both = [inside[0], ("manifest.json", other.as_str(), 0o644)];
    check(&of_start(&mk_package(&both)), &["the manifest that counts is my/manifest.json"]);
    let in_order = [both[1], inside[0]];
    check(&of_start(&mk_package(&in_order)), &[]);
}

#[test]
fn packages_of_node_that_are_missing_are_told() {
    let about = r#"{"dependencies": {"ws": "8", "@a/b": "1", "c": "1"}, "devDependencies": {"d": "1"}}"#;
    let package_json = ("package.json", about, 0o644);
    let has = |name| (name, "", 0o644);
    check(&said("node", &[], &[package_json]), &["does not have: @a/b, c, ws. Run `npm install"]);
    let files = [package_json, has("node_modules/ws/index.js"), has("node_modules/@a/b/index.js")];
    check(&said("node", &[], &files), &["does not have: c. Run"]);
    check(&said("node", &[], &[&files[..], &[has("node_modules/c/index.js")]].concat()), &[]);
    for without in ["{}", "not JSON", r#"{"dependencies": []}"#] {
        check(&said("node", &[], &[("package.json", without, 0o644)]), &[]);
    }
}

fn of(manifest: &Value) -> Vec<String> {
    of_manifest(manifest.as_object().unwrap(), true)
}

#[test]
fn a_key_that_is_not_known_is_told_with_a_guess_at_any_depth() {
    let said = of(&json!({
        "id": "a", "author": "a", "name": "A", "comand": "x", "homepage": "y",
        "configuration_schema": {"fields": [{"type": "string", "id": "f", "labl": "F"}]},
    }));
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].contains("\"comand\"") && said[0].contains("did you mean \"command\"?"), "{said:?}");
    assert!(
        said[1].contains("\"configuration_schema.fields[0].labl\"") && said[1].contains("mean \"label\"?"),
        "{said:?}"
    );
    assert!(said[2].contains("\"homepage\"") && !said[2].contains("did you mean"), "{said:?}");
    assert!(said[3].contains("no \"command\""), "{said:?}");
}

#[test]
fn a_manifest_that_uses_everything_gets_no_remark() {
    let tool = json!({
        "id": "t", "name": "T", "description": "d", "input_schema": {"type": "object", "anything": {"x": 1}},
        "annotations": {"readOnlyHint": true, "openWorldHint": false},
    });
    let provider = json!({"type": "robot.tool_provider", "id": "p", "version": "1", "tools": [tool]});
    assert_eq!(
        of(&json!({
            "id": "a", "author": "a", "name": "A", "description": "", "version": "1", "command": "x", "args": ["y"],
            "events_consumed": ["EventOne", "EventOne"],
            "access": {"handle": "h", "name": "n", "permissions": ["P"], "bio": "b",
                "links": [{"text": "t", "url": "https://example.org"}], "metadata": {"k": {"v": 1}}},
            "configuration_schema": {"fields": [{"type": "number", "id": "f", "label": "F", "default": 1}]},
            "capabilities": [provider],
        })),
        [""; 0]
    );
}

#[test]
fn an_external_plugin_needs_no_command() {
    let manifest = json!({"id": "a", "author": "a", "name": "A"});
    assert_eq!(of_manifest(manifest.as_object().unwrap(), false), [""; 0]);
}
