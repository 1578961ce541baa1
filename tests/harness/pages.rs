//! The configurations that the pages of `docs` show, for tests to run what is written there.

use std::fs;

use super::command::repository;

/// The first block of a page that is fenced as this language, with what is another's here put in place of what is written there:
/// addresses, paths, times. Each of those must be there.
#[track_caller]
pub(crate) fn shown(page: &str, language: &str, here: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(repository(&format!("docs/{page}"))).unwrap();
    let begins = format!("\n```{language}\n");
    let block = text.split_once(&begins).and_then(|(_, rest)| rest.split_once("\n```\n"));
    let (block, _) = block.unwrap_or_else(|| panic!("{page} has no block of {language}"));
    here.iter().fold(format!("{block}\n"), |block, (written, meant)| {
        assert!(block.contains(written), "{page} does not say {written:?} in its {language}");
        block.replace(written, meant)
    })
}
