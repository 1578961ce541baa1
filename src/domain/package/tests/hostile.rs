//! Packages that want to do harm, and packages that are merely broken.

use std::io::{self, Read};

use proptest::prelude::*;
use zip::write::FullFileOptions;

use super::*;

/// A package with an empty file of this name, which a writer might refuse.
fn mk_named(name: &str) -> Vec<u8> {
    let other = "#".repeat(name.len());
    rename(&Zip::new().file(&other, b"").build(), &other, name)
}

#[test]
fn a_name_that_leaves_the_directory_is_refused() {
    for name in ["../evil", "a/../../evil", "/../evil", "..", "a/../.."] {
        assert_refused(mk_named(name), name, ESCAPES);
    }
    assert_refused(rename(&Zip::new().folder("xx/yy").build(), "xx/yy", "../yy"), "../yy/", ESCAPES);
}

#[test]
fn absolute_names_and_backslashes_land_inside() {
    assert_eq!(read(mk_named("/etc/passwd")).unwrap().files[1].path, "etc/passwd");
    assert_eq!(read(mk_named("..\\..\\abc")).unwrap().files[1].path, "..\\..\\abc");
}

#[test]
fn names_that_are_empty_or_have_a_nul_are_refused() {
    assert_refused(mk_named("x\0z"), "x\0z", "NUL");
    for name in [".", "a/.."] {
        assert_refused(mk_named(name), name, "no name");
    }
}

#[test]
fn names_that_plugd_keeps_for_itself_are_refused() {
    for name in [".sdxlock", ".plugd", ".plugd-files", "logs", "logs/output.log", "./logs/a"] {
        assert_refused(mk_named(name), name, "plugd");
    }
    assert!(read(Zip::new().folder("logs").file("bin/logs/a", b"").build()).is_ok());
    assert_refused(Zip::new().folder("logs/old").build(), "logs/old/", "plugd");
}

#[test]
fn two_entries_of_one_path_are_refused() {
    let two = Zip::new().file("xa", b"").file("xb", b"").build();
    let same = rename(&two, "xb", "xa");
    assert_refused(same.clone(), "xa", "two entries of this name");
    assert_refused([b"#!/bin/sh\n".to_vec(), same].concat(), "xa", "two entries of this name");
    assert_refused(Zip::new().file("a/b", b"").file("a//b", b"").build(), "a/b", "another file");
    assert!(read(Zip::new().file("a", b"").file("A", b"").build()).is_ok());
}

/// Info-ZIP's field for a name in Unicode overrides the name in the header that it is the checksum of.
#[test]
fn an_entry_whose_unicode_name_is_the_name_of_another_is_refused() {
    let checksum = field(&Zip::new().file("xb", b"xb").build(), "xb", CRC);
    let mut options = FullFileOptions::default();
    options.add_extra_field(0x7075, [&[1], &checksum[..], b"xa"].concat(), true).unwrap();
    assert_eq!(read(Zip::new().entry("xb", b"", options.clone()).build()).unwrap().files[1].path, "xa");
    let two = Zip::new().file("xa", b"").file("xa2", b"").entry("xb", b"", options).build();
    assert_refused(two, "", "two entries of one name");
}

#[test]
fn two_entries_for_one_folder_are_fine() {
    let bytes = rename(&Zip::new().folder("xa").folder("xb").file("xa/f", b"").build(), "xb", "xa");
    assert_eq!(read(bytes).unwrap().folders, ["xa"]);
}

#[test]
fn a_file_that_is_also_a_folder_is_refused() {
    assert_refused(Zip::new().file("a", b"").file("a/b", b"").build(), "a/b", "is a file, not a folder");
    assert_refused(Zip::new().file("a/b/c", b"").file("a-b", b"").file("a", b"").build(), "a/b/c", "\"a\" is a file");
    assert_refused(Zip::new().folder("a").file("x", b"").file("a/.", b"").build(), "a", "another folder");
}

#[test]
fn a_link_out_is_refused_and_others_become_files_with_its_text() {
    for target in ["/etc/passwd", "../up", "a/../../up"] {
        assert_refused(Zip::new().link("link", target).build(), "link", "symbolic link that leads out");
    }
    let package = read(Zip::new().link("bin/link", "../lib/real").build()).unwrap();
    assert_eq!((package.files[1].size, package.files[1].mode), (11, 0o644));
    assert_refused(Zip::new().link("link", &"a/".repeat(2049)).build(), "link", "too long");
}

#[test]
fn encrypted_entries_and_unknown_methods_are_refused() {
    let bytes = Zip::new().file("a", b"a").build();
    assert_refused(patch(bytes.clone(), "a", FLAGS, &[1]), "a", "encrypted");
    assert_refused(patch(bytes, "a", METHOD, &[14]), "a", "compression method");
}

#[test]
fn a_directory_that_lies_about_sizes_or_checksums_is_refused() {
    let bytes = Zip::new().file("a", &[7; 1000]).build();
    for size in [0_u32, 1, 999, 1001, 5000] {
        assert_refused(patch(bytes.clone(), "a", SIZE, &size.to_le_bytes()), "a", "");
    }
    assert_refused(patch(bytes.clone(), "a", CRC, &[1, 2, 3, 4]), "a", "contents are broken");
    let packed = u32::from_le_bytes(field(&bytes, "a", PACKED)) - 1;
    assert_refused(patch(bytes, "a", PACKED, &packed.to_le_bytes()), "a", "");
}

#[test]
fn a_bomb_that_hides_its_size_is_stopped_at_the_size_it_claims() {
    let bytes = Zip::new().file("bomb", &vec![0; 4 << 20]).build();
    assert_refused(patch(bytes, "bomb", SIZE, &[1, 0, 0, 0]), "bomb", "contents are broken");
}

#[test]
fn entries_that_share_their_data_are_refused() {
    let contents: Vec<u8> = (0..4000_u32).flat_map(u32::to_le_bytes).collect();
    let mut bytes = Zip::new().file("a", &contents).file("b", b"").file("c", b"").build();
    for name in ["b", "c"] {
        for offset in [CRC, PACKED, SIZE, OFFSET] {
            let value = field(&bytes, "a", offset);
            bytes = patch(bytes, name, offset, &value);
        }
    }
    assert_refused(bytes, "", "overlap");
}

#[test]
fn a_directory_of_very_many_entries_is_refused_before_it_is_held_in_memory() {
    let header = |i: u32| {
        let mut header = [0; 50];
        header[..4].copy_from_slice(b"PK\x01\x02");
        header[28] = 4;
        header[46..].copy_from_slice(&(0x6161_6161 + i).to_le_bytes());
        header
    };
    let count = 200_000_u32;
    let mut bytes: Vec<u8> =
        std::iter::once(vec![0; count as usize]).chain((0..count).map(|i| header(i).to_vec())).flatten().collect();
    let directory = u64::from(count) * 50;
    let record = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    for field in [44, 45 | 45 << 16, 0, u64::from(count), u64::from(count), directory, u64::from(count)] {
        match field {
            2_949_165 => bytes.extend((field as u32).to_le_bytes()),
            field => bytes.extend(field.to_le_bytes()),
        }
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(record.to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([0xff; 12]);
    bytes.extend([0, 0]);
    assert_refused(bytes, "", "directory of entries is too large");
}

/// Whatever it was, it ended, in a package or in a refusal that says so; unchecked, it can be extracted or not.
fn assert_ends(bytes: Vec<u8>) {
    if let Ok(package) = Package::stored(Bytes::from(bytes.clone()), digest_of(&bytes), Manifest::default()) {
        let mut sink = |_: &PackageFile, reader: &mut dyn Read| io::copy(reader, &mut io::sink()).map(drop);
        let is_whole = package.extract_each(&mut sink).is_ok();
        assert!(is_whole || read(bytes.clone()).is_err());
    }
    if let Err(error) = read(bytes) {
        assert!(matches!(error.reason, Reason::InvalidPackage | Reason::InvalidManifest));
        assert!(error.message.starts_with("The provided plugin file is invalid: "));
        assert!(!error.violations.is_empty());
    }
}

fn mk_good() -> Vec<u8> {
    let text = b"The quick brown fox ".repeat(20);
    Zip::new().file("bin/run", &text).folder("data").link("link", "bin/run").file("empty", b"").build()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        assert_ends(bytes);
    }

    #[test]
    fn a_mutated_package_never_panics(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = mk_good();
        for (index, value) in edits {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        assert_ends(bytes);
    }

    #[test]
    fn a_package_cut_short_or_with_a_prefix_never_panics(
        cut in any::<prop::sample::Index>(), prefix in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let bytes = mk_good();
        assert_ends(bytes[..cut.index(bytes.len())].to_vec());
        assert_ends([prefix, bytes].concat());
    }

    #[test]
    fn a_manifest_of_random_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        assert_ends(Zip::bare().file("manifest.json", &bytes).build());
        assert_ends(Zip::bare().file("manifest.json", &[mk_manifest(), bytes].concat()).build());
    }

    #[test]
    fn whatever_the_names_are_every_path_of_a_package_stays_inside(name in "[a./\\\\]{1,12}") {
        if let Ok(package) = read(mk_named(&name)) {
            for file in &package.files {
                prop_assert!(file.path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", file.path);
            }
        }
    }
}
