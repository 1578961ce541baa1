//! Good packages, and the limits of section 6.

use std::io::Read;

use zip::{CompressionMethod, write::SimpleFileOptions};

use super::*;

const SMALL: Limits = Limits { archive: 4096, manifest: 64, entries: 4, files: 3, file: 100, total: 180 };

fn read_small(zip: Zip) -> Result<Package, super::Error> {
    Package::read_within(Bytes::from(zip.build()), &EventCatalog::any(), &SMALL)
}

fn permissions(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default().unix_permissions(mode)
}

fn contents_of(package: &Package) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut sink = |file: &super::PackageFile, reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        all.push((file.path.clone(), bytes));
        Ok(())
    };
    package.extract_each(&mut sink).unwrap();
    all
}

fn paths(package: &Package) -> Vec<&str> {
    package.files.iter().map(|file| &*file.path).collect()
}

#[test]
fn a_package_is_its_manifest_its_files_and_its_digest() {
    let bytes = Zip::new().entry("bin/run", b"#!/bin/sh\n", permissions(0o755)).folder("data").build();
    let package = read(bytes.clone()).unwrap();
    assert_eq!(package.manifest.id, "greeter");
    assert_eq!(package.digest, digest_of(&bytes));
    assert_eq!(package.bytes, bytes);
    assert_eq!(paths(&package), ["manifest.json", "bin/run"]);
    assert_eq!(package.folders, ["data"]);
    assert_eq!((package.files[1].size, package.files[1].mode), (10, 0o755));
    assert_eq!(
        contents_of(&package),
        [("manifest.json".into(), mk_manifest()), ("bin/run".into(), b"#!/bin/sh\n".to_vec())]
    );
}

#[test]
fn a_stored_package_reads_the_same() {
    let package = read(Zip::new().file("a", b"a").folder("b").build()).unwrap();
    let again = Package::stored(package.bytes.clone(), package.digest, Manifest::default()).unwrap();
    assert_eq!((again.digest, &again.files, &again.folders), (package.digest, &package.files, &package.folders));
    assert_eq!(contents_of(&again), contents_of(&package));
}

#[test]
fn an_error_of_the_sink_ends_the_extraction() {
    let package = read(Zip::new().file("a", b"a").build()).unwrap();
    let mut calls = 0;
    let result = package.extract_each(&mut |_, _| {
        calls += 1;
        Err(std::io::Error::other("disk full"))
    });
    assert_eq!((result.unwrap_err().to_string(), calls), ("disk full".to_owned(), 1));
}

#[test]
fn files_without_permissions_get_0644_and_all_are_readable_by_their_owner() {
    for (mode, expected) in [(0, 0o644), (0o755, 0o755), (0o111, 0o511), (0o4755, 0o755), (0o600, 0o600)] {
        let package = read(Zip::new().entry("a", b"", permissions(mode)).build()).unwrap();
        assert_eq!(package.files[1].mode, expected, "{mode:o}");
    }
    let bytes = Zip::new().entry("a", b"", permissions(0o755)).build();
    let package = read(patch(bytes, "a", MODE, &[0; 4])).unwrap();
    assert_eq!(package.files[1].mode, 0o644);
}

#[test]
fn a_slash_at_the_end_or_the_mode_makes_a_folder() {
    let without_mode = patch(Zip::new().folder("data").build(), "data/", MODE, &[0; 4]);
    assert_eq!(read(without_mode).unwrap().folders, ["data"]);
    let without_slash = patch(Zip::new().file("data", b"").build(), "data", MODE, &(0o040_755_u32 << 16).to_le_bytes());
    assert_eq!(read(without_slash).unwrap().folders, ["data"]);
}

#[test]
fn the_first_manifest_in_whatever_folder_counts() {
    let other = br#"{"id": "other", "author": "x", "name": "x"}"#;
    let zip = Zip::bare().file("notmanifest.json", b"x").folder("manifest.json.d/manifest.json");
    let package = read(zip.file("build/manifest.json", &mk_manifest()).file("manifest.json", other).build()).unwrap();
    assert_eq!(package.manifest.id, "greeter");
    assert_eq!(paths(&package), ["notmanifest.json", "build/manifest.json", "manifest.json"]);
}

#[test]
fn an_archive_without_a_manifest_is_refused() {
    assert_refused(Zip::bare().file("a", b"").folder("manifest.json").build(), "", "no manifest.json");
    assert_refused(Zip::bare().build(), "", "no manifest.json");
}

#[test]
fn a_manifest_that_breaks_rules_is_refused_with_its_problems() {
    let error = read(Zip::bare().file("manifest.json", br#"{"id": "-", "author": "a"}"#).build()).unwrap_err();
    assert_eq!(error.reason.name(), "INVALID_MANIFEST");
    assert!(error.message.starts_with("The provided plugin file is invalid: Field \"id\" is invalid."), "{error}");
    assert_eq!(error.violations.len(), 2);
    let error = read(Zip::bare().file("manifest.json", b"id: greeter").build()).unwrap_err();
    assert!(error.message.contains("not valid JSON"), "{error}");
}

#[test]
fn what_is_not_a_zip_is_refused() {
    for bytes in [Vec::new(), b"hello".to_vec(), vec![0; 100_000], b"PK\x05\x06".repeat(100_000)] {
        assert_refused(bytes, "", "");
    }
    let whole = Zip::new().build();
    for cut in [1, 10, whole.len() / 2] {
        assert_refused(whole[..whole.len() - cut].to_vec(), "", "not a readable zip archive");
    }
}

#[test]
fn the_limits_are_those_of_the_contract() {
    const MIB: u64 = 1 << 20;
    let Limits { archive, manifest, files, file, total, .. } = LIMITS;
    assert_eq!((archive, manifest, files, file, total), (50 * MIB, MIB, 2048, 50 * MIB, 200 * MIB));
}

#[test]
fn an_archive_over_50_mib_is_refused_unread() {
    assert_refused(vec![0; MAX_ARCHIVE as usize + 1], "", "more than 52428800 bytes");
}

#[test]
fn a_manifest_has_its_own_limit() {
    let padded = |length: usize| [mk_manifest(), vec![b' '; length - mk_manifest().len()]].concat();
    assert!(read_small(Zip::bare().file("manifest.json", &padded(64))).is_ok());
    let error = read_small(Zip::bare().file("manifest.json", &padded(65))).unwrap_err();
    assert_refusal(&error, "manifest.json", "at most 64 bytes");
}

#[test]
fn files_are_limited_in_number_and_folders_are_not_counted() {
    assert!(read_small(Zip::new().file("a", b"").folder("d").file("b", b"")).is_ok());
    let error = read_small(Zip::new().file("a", b"").file("b", b"").file("c", b"")).unwrap_err();
    assert_refusal(&error, "c", "more than 3 files");
    let error = read_small(Zip::new().folder("a").folder("b").folder("c").folder("d")).unwrap_err();
    assert_refusal(&error, "", "more than 4 entries");
}

#[test]
fn folders_that_only_paths_name_are_limited_too() {
    assert!(read_small(Zip::new().file("a/b/c/d/x", b"").file("a/b/c/d/y", b"")).is_ok(), "they share four");
    for zip in [
        Zip::new().file("a/b/c/d/e/x", b""),
        Zip::new().folder("a/b/c/d/e"),
        Zip::new().file("a/b/c/x", b"").file("d/e/x", b""),
    ] {
        assert_refusal(&read_small(zip).unwrap_err(), "", "more than 4 folders");
    }
    let deep = |count: usize| {
        (0..count).fold(Zip::new(), |zip, i| zip.file(&format!("{i}/{}x", "a/".repeat(500)), b"")).build()
    };
    assert!(read(deep(20)).is_ok());
    assert_refused(deep(40), "", "more than 16384 folders");
}

#[test]
fn one_file_and_all_files_are_limited_in_size() {
    assert!(read_small(Zip::new().file("a", &[0; 100])).is_ok());
    assert_refusal(&read_small(Zip::new().file("a", &[0; 101])).unwrap_err(), "a", "more than 100 bytes");
    let error = read_small(Zip::new().file("a", &[0; 100]).file("b", &[0; 100])).unwrap_err();
    assert_refusal(&error, "b", "more than 180 bytes");
}

#[test]
fn two_thousand_and_forty_eight_files_are_read_and_one_more_is_not() {
    let many = |count: usize| {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        (1..count).fold(Zip::new(), |zip, i| zip.entry(&format!("f/{i}"), b"", stored)).build()
    };
    assert_eq!(read(many(2048)).unwrap().files.len(), 2048);
    assert_refused(many(2049), "f/2048", "more than 2048 files");
}

#[test]
fn sizes_of_the_contract_are_refused_by_the_directorys_word() {
    let bytes = Zip::new().file("a", b"a").file("b", b"b").file("c", b"c").file("d", b"d").file("e", b"e").build();
    let at_limit = (LIMITS.file as u32).to_le_bytes();
    let over = (LIMITS.file as u32 + 1).to_le_bytes();
    assert_refused(patch(bytes.clone(), "a", SIZE, &over), "a", "more than 52428800 bytes");
    let four = ["a", "b", "c", "d"].into_iter().fold(bytes, |bytes, name| patch(bytes, name, SIZE, &at_limit));
    assert_refused(four, "d", "more than 209715200 bytes");
    let manifest = (LIMITS.manifest as u32 + 1).to_le_bytes();
    assert_refused(patch(Zip::new().build(), "manifest.json", SIZE, &manifest), "manifest.json", "1048576 bytes");
}

#[test]
fn a_file_of_many_megabytes_is_read_to_its_end() {
    let bytes = Zip::new().file("zeros", &vec![0; 4 << 20]).build();
    assert!(bytes.len() < 100_000);
    assert_eq!(field(&bytes, "zeros", SIZE), (4_u32 << 20).to_le_bytes());
    assert_eq!(read(bytes).unwrap().files[1].size, 4 << 20);
}

#[test]
fn as_many_entries_as_are_allowed_can_be_opened() {
    let bytes = (1..LIMITS.entries).fold(Zip::new(), |zip, i| zip.folder(&format!("folder/{i}"))).build();
    assert_eq!(read(bytes).unwrap().folders.len(), LIMITS.entries - 1);
}

#[test]
fn a_file_may_be_read_in_as_small_pieces_as_one_likes() {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let package = read(Zip::new().entry("a", &vec![7; 400_000], stored).build()).unwrap();
    let mut count = 0;
    let mut sink = |_: &super::PackageFile, reader: &mut dyn Read| {
        while reader.read(&mut [0])? > 0 {
            count += 1;
        }
        Ok(())
    };
    package.extract_each(&mut sink).unwrap();
    assert_eq!(count, 400_000 + mk_manifest().len());
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_manifest_and_other_encodings_are_named() {
    let json = r#"{"id": "a", "author": "b", "name": "c"}"#;
    let parse = |bytes: &[u8]| crate::domain::manifest::Manifest::parse(bytes, &EventCatalog::any());
    assert_eq!(parse(format!("\u{feff}{json}").as_bytes()).unwrap().id, "a");
    let utf16: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse(&utf16).unwrap_err().message.contains("UTF-16"));
}

#[test]
fn what_may_not_be_read_any_more_is_not_read() {
    use std::{
        cell::Cell,
        io::{Cursor, Read},
        rc::Rc,
    };
    let left = Rc::new(Cell::new(2));
    let mut reader = super::Metered { inner: Cursor::new(b"abc"), left: Rc::clone(&left) };
    let mut buffer = [0; 1];
    assert_eq!((reader.read(&mut buffer).unwrap(), reader.read(&mut buffer).unwrap()), (1, 1));
    assert!(reader.read(&mut buffer).is_err());
    left.set(1);
    assert_eq!(reader.read(&mut buffer).unwrap(), 1);
}
