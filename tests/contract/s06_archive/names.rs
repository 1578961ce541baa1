//! Which entry is the manifest, where entries land, and what is no package at all.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use serde_json::json;

use super::{
    assert_refused,
    zips::{CRC, MODE, SIZE, Zip, manifest, patched, renamed},
};
use crate::harness::{Plugd, chaos_manifest};

/// Installs an archive and starts its plugin; where its files are.
async fn laid_out(plugd: &Plugd, archive: Vec<u8>) -> PathBuf {
    let rest = plugd.rest();
    let id = rest.install(archive).await;
    rest.set_active(&id, "active").await.expect(200);
    plugd.data_dir().join("plugins").join(id)
}

fn named(name: &str) -> String {
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["name"] = json!(name);
    manifest.to_string()
}

#[tokio::test]
async fn the_manifest_may_be_in_any_folder_and_paths_stay_as_stored_6() {
    let plugd = Plugd::start().await;
    let archive = Zip::empty().file("build/manifest.json", manifest().as_bytes()).file("build/data/x", b"x").build();
    let folder = laid_out(&plugd, archive).await;
    assert!(folder.join("build/manifest.json").is_file() && folder.join("build/data/x").is_file());
    assert!(!folder.join("manifest.json").exists());
}

#[tokio::test]
async fn the_first_manifest_in_the_directorys_order_is_the_one_6() {
    let plugd = Plugd::start().await;
    for names in [["deep/down/manifest.json", "manifest.json"], ["manifest.json", "a/manifest.json"]] {
        let zip = Zip::empty().file(names[0], named("First").as_bytes()).file(names[1], named("Second").as_bytes());
        let id = plugd.rest().install(zip.build()).await;
        assert_eq!(plugd.rest().get(&format!("/api/plugins/{id}")).await.expect(200)["name"], "First");
    }
}

#[tokio::test]
async fn only_a_file_of_exactly_that_base_name_is_a_manifest_6() {
    let plugd = Plugd::start().await;
    let manifest = manifest();
    for name in ["not-manifest.json", "manifest.json.txt", "Manifest.json", "manifest.json/x"] {
        assert_refused(&plugd, Zip::empty().file(name, manifest.as_bytes()).build(), "manifest.json").await;
    }
}

#[tokio::test]
async fn an_absolute_name_lands_inside_and_backslashes_are_not_special_6() {
    let plugd = Plugd::start().await;
    let archive = Zip::new().file("#etc#absolute", b"inside").file("##bck#up", b"inside").build();
    let archive = renamed(renamed(archive, "#etc#absolute", "/etc/absolute"), "##bck#up", "..\\..\\up");
    let folder = laid_out(&plugd, archive).await;
    assert_eq!(fs::read(folder.join("etc/absolute")).unwrap(), b"inside");
    assert_eq!(fs::read(folder.join("..\\..\\up")).unwrap(), b"inside");
    assert!(!std::path::Path::new("/etc/absolute").exists());
}

#[tokio::test]
async fn a_name_that_leaves_the_folder_is_refused_6() {
    let plugd = Plugd::start().await;
    for (written, name) in
        [("##evil", "../evil"), ("a#####evil", "a/../../evil"), ("###evil", "/../evil"), ("##", "..")]
    {
        let written = format!("{written}{}", "#".repeat(name.len() - written.len()));
        let archive = renamed(Zip::new().file(&written, b"x").build(), &written, name);
        assert_refused(&plugd, archive, "archive entry escapes extraction directory").await;
    }
}

/// plugd's own decision: a link that would lead out is refused, though no link is ever made.
#[tokio::test]
async fn a_symbolic_link_becomes_a_file_with_its_text_6() {
    let plugd = Plugd::start().await;
    let folder = laid_out(&plugd, Zip::new().link("bin/link", "../lib/real").file("lib/real", b"x").build()).await;
    let link = folder.join("bin/link");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(fs::read(&link).unwrap(), b"../lib/real");
}

#[tokio::test]
async fn a_symbolic_link_that_leads_out_is_refused_6() {
    let plugd = Plugd::start().await;
    for target in ["/etc/passwd", "../up", "a/../../up"] {
        assert_refused(&plugd, Zip::new().link("link", target).build(), "symbolic link that leads out").await;
    }
}

#[tokio::test]
async fn two_entries_of_one_name_are_refused_6() {
    let plugd = Plugd::start().await;
    let two = Zip::new().file("xa", b"1").file("xb", b"2").build();
    assert_refused(&plugd, renamed(two, "xb", "xa"), "two entries of this name").await;
    assert_refused(&plugd, Zip::new().file("a/b", b"").file("a//b", b"").build(), "another file").await;
    assert_refused(&plugd, Zip::new().file("a", b"").file("a/b", b"").build(), "is a file, not a folder").await;
}

#[tokio::test]
async fn a_directory_that_lies_about_sizes_or_checksums_is_refused_6() {
    let plugd = Plugd::start().await;
    let honest = Zip::new().zeros("a", 1000).build();
    for size in [0_u32, 1, 999, 1001, 5000] {
        assert_refused(&plugd, patched(honest.clone(), "a", SIZE, &size.to_le_bytes()), "entry \"a\": ").await;
    }
    assert_refused(&plugd, patched(honest, "a", CRC, &[1, 2, 3, 4]), "contents are broken").await;
}

#[tokio::test]
async fn what_is_no_archive_or_has_no_manifest_is_refused_6() {
    let plugd = Plugd::start().await;
    assert_refused(&plugd, b"PK nonsense".to_vec(), "not a readable zip archive").await;
    let whole = Zip::new().build();
    assert_refused(&plugd, whole[..whole.len() - 1].to_vec(), "not a readable zip archive").await;
    assert_refused(&plugd, Zip::empty().file("a", b"").build(), "manifest.json").await;
}

#[tokio::test]
async fn permissions_are_the_archives_and_no_permissions_are_0644_7() {
    let plugd = Plugd::start().await;
    let archive = Zip::new().file("none", b"x").file("script", b"x").file("empty/folder/x", b"x").build();
    let archive = patched(archive, "none", MODE, &0o100_000_u16.to_le_bytes());
    let archive = patched(archive, "script", MODE, &0o100_755_u16.to_le_bytes());
    let folder = laid_out(&plugd, archive).await;
    let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("none"), mode("script"), mode("manifest.json")), (0o644, 0o755, 0o644));
    assert_eq!((mode("."), mode("empty"), mode("empty/folder")), (0o755, 0o755, 0o755));
}
