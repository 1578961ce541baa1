//! The five limits, each taken at its edge and refused one beyond it.

use super::{
    assert_refused,
    zips::{SIZE, Zip, manifest, patched},
};
use crate::harness::{Body, Plugd};

const MIB: usize = 1 << 20;

async fn assert_taken(plugd: &Plugd, archive: Vec<u8>) {
    let rest = plugd.rest();
    let id = rest.install(archive).await;
    assert_eq!(rest.delete(&format!("/api/plugins/{id}")).await.status, 204);
}

/// Over the limit the body itself is too large, which plugd says with 413 (its own decision).
#[tokio::test]
async fn an_archive_of_50_mib_is_taken_and_one_byte_more_is_413_6() {
    let plugd = Plugd::start().await;
    let of = |padding: usize| Zip::new().file("padding", &vec![7; padding]).build();
    let padding = 50 * MIB - of(0).len();
    let whole = of(padding);
    assert_eq!(whole.len(), 50 * MIB);
    assert_taken(&plugd, whole).await;

    let over = of(padding + 1);
    plugd.rest().post("/api/plugins", Body::Zip(over.clone())).await.problem(413);
    assert!(plugd.api().upload(over).await.is_err());
    assert!(plugd.rest().list().await.is_empty());
}

#[tokio::test]
async fn a_manifest_of_1_mib_is_taken_and_one_byte_more_is_not_6() {
    let plugd = Plugd::start().await;
    let padded = |length: usize| {
        let manifest = manifest();
        Zip::empty()
            .file("manifest.json", format!("{manifest}{}", " ".repeat(length - manifest.len())).as_bytes())
            .build()
    };
    assert_taken(&plugd, padded(MIB)).await;
    assert_refused(&plugd, padded(MIB + 1), "at most 1048576 bytes").await;
    let lying = patched(padded(MIB + 1), "manifest.json", SIZE, &u32::try_from(MIB).unwrap().to_le_bytes());
    super::refused(&plugd, lying).await;
}

#[tokio::test]
async fn files_may_be_2048_and_folders_are_not_counted_6() {
    let plugd = Plugd::start().await;
    let many = |files: usize| {
        let zip = (0..10).fold(Zip::new(), |zip, number| zip.folder(&format!("folder/{number}")));
        (1..files).fold(zip, |zip, number| zip.file(&format!("f/{number}"), b"")).build()
    };
    assert_taken(&plugd, many(2048)).await;
    assert_refused(&plugd, many(2049), "more than 2048 files").await;
}

#[tokio::test]
async fn a_file_may_have_50_mib_and_no_byte_more_6() {
    let plugd = Plugd::start().await;
    assert_taken(&plugd, Zip::new().zeros("a", 50 * MIB).build()).await;
    assert_refused(&plugd, Zip::new().zeros("a", 50 * MIB + 1).build(), "more than 52428800 bytes").await;
}

/// By declared sizes, which are checked before anything is unpacked: at the edge it is only the lie that is refused.
#[tokio::test]
async fn all_files_together_may_have_200_mib_and_no_byte_more_6() {
    let plugd = Plugd::start().await;
    let declaring = |last: usize| {
        let zip = ["a", "b", "c", "d"].into_iter().fold(Zip::new(), |zip, name| zip.file(name, b"x")).build();
        let sizes = [("a", 50 * MIB), ("b", 50 * MIB), ("c", 50 * MIB), ("d", last)];
        sizes
            .into_iter()
            .fold(zip, |zip, (name, size)| patched(zip, name, SIZE, &u32::try_from(size).unwrap().to_le_bytes()))
    };
    let left = 50 * MIB - manifest().len();
    assert_refused(&plugd, declaring(left), "entry \"a\": ").await;
    assert_refused(&plugd, declaring(left + 1), "more than 209715200 bytes").await;
}
