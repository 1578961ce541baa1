//! CONTRACT 6, the package archive: its limits at their edges, where the manifest is found, which names are safe, what
//! lies about itself; and that an update that is cut off leaves no mixture of two packages (`power_cuts`).
//!
//! plugd checks everything at upload (400), also what the reference finds at the first start. Held elsewhere: archives of
//! random and of mutated bytes, bombs, overlapping entries (`domain::package::hostile_tests`); the download of what was
//! uploaded, byte for byte (section 3.9).

mod limits;
mod names;
mod power_cuts;
mod zips;

use serde_json::Value;

use crate::harness::{Body, Plugd};

/// How every refusal of a package begins (CONTRACT 3.2).
const PREFIX: &str = "The provided plugin file is invalid: ";

/// The title with which an archive is refused by both ways in; nothing is left behind.
async fn refused(plugd: &Plugd, archive: Vec<u8>) -> String {
    // Those of plugins that were deleted lie there for a while.
    let before = packages(plugd);
    let problem = plugd.rest().post("/api/plugins", Body::Zip(archive.clone())).await.problem(400);
    let title = problem["title"].as_str().unwrap().to_owned();
    assert!(title.starts_with(PREFIX), "{title}");
    assert_eq!(plugd.api().upload(archive).await.unwrap_err().message(), title);
    assert_eq!(plugd.rest().list().await, [] as [Value; 0]);
    assert_eq!(packages(plugd), before);
    title
}

fn packages(plugd: &Plugd) -> Vec<String> {
    plugd.files().into_iter().filter(|name| name.starts_with("packages")).collect()
}

/// It is refused for the words that follow the prefix.
async fn assert_refused(plugd: &Plugd, archive: Vec<u8>, words: &str) {
    let title = refused(plugd, archive).await;
    assert!(title.contains(words), "{words:?} is not in {title:?}");
}
