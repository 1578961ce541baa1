//! The files that say what is desired, as they are written.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::{Error, Location, Spanned};

use crate::{
    cli::{
        failure::{Exit, Failure},
        package::{text, unreadable},
        ui::did_you_mean,
    },
    domain::text::decode,
    files::MAX_TEXT,
};

/// The endings of the files that are read in a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    plugins: Vec<Entry>,
}

/// What a file says of one plugin. What it does not say is left as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: Spanned<String>,
    pub(super) package: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) external: Option<Value>,
    pub(super) active: Option<bool>,
    pub(super) configuration: Option<Map<String, Value>>,
    pub(super) policy: Option<Map<String, Value>>,
}

/// An entry, and where it stands.
pub(super) struct Written {
    pub(super) entry: Entry,
    /// The file and the line, for people.
    pub(super) place: String,
    /// The folder that paths start from.
    pub(super) folder: PathBuf,
}

/// Reads files, the files of folders, and with `-` standard input.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Written>, Failure> {
    let mut written = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            written.extend(parse("standard input", Path::new("."), &standard_input()?)?);
        } else if path.is_dir() {
            for path in files_of(path)? {
                written.extend(read_file(&path)?);
            }
        } else {
            written.extend(read_file(path)?);
        }
    }
    refuse_twice(&written)?;
    Ok(written)
}

fn read_file(path: &Path) -> Result<Vec<Written>, Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&path.display().to_string(), folder, &text(path)?)
}

fn standard_input() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().take(MAX_TEXT + 1).read_to_end(&mut bytes);
    let text = read.and_then(|_| match bytes.len() as u64 > MAX_TEXT {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => decode(&bytes).map(str::to_owned).map_err(io::Error::other),
    });
    text.map_err(|error| Failure::from(error).about("can't read standard input"))
}

/// The files of a folder, in the order of their names.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut files: Vec<_> =
        entries.map_err(|error| unreadable(folder, error))?.iter().map(fs::DirEntry::path).collect();
    let is_meant = |path: &Path| ENDINGS.iter().any(|ending| path.extension().is_some_and(|it| it == *ending));
    files.retain(|path| is_meant(path) && path.is_file());
    files.sort();
    if files.is_empty() {
        let what = format!("{} has no file that ends with .{}", folder.display(), ENDINGS.join(" or ."));
        return Err(Failure::new(what).hint("name the file, or another folder").exit(Exit::NotFound));
    }
    Ok(files)
}

/// JSON is YAML, too.
pub(super) fn parse(name: &str, folder: &Path, text: &str) -> Result<Vec<Written>, Failure> {
    let document: Document = serde_saphyr::from_str(text).map_err(|error| invalid(name, &error))?;
    let written = |entry: Entry| Written {
        place: format!("{name}{}", line(entry.id.referenced)),
        entry,
        folder: folder.to_owned(),
    };
    Ok(document.plugins.into_iter().map(written).collect())
}

fn line(location: Location) -> String {
    if location == Location::UNKNOWN { String::new() } else { format!(", line {}", location.line()) }
}

fn invalid(name: &str, error: &Error) -> Failure {
    let error = error.without_snippet();
    let place = format!("{name}{}", error.location().map(line).unwrap_or_default());
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let guess = did_you_mean(field, expected.iter().copied());
            let hint = guess.unwrap_or_else(|| format!("the keys are {}", expected.join(", ")));
            refused(&place, format_args!("there is no key {field:?}")).hint(hint)
        }
        other => refused(&place, other).hint("`plugd apply --help` shows what a file may say"),
    }
}

/// A refusal of what stands in this place.
pub(super) fn refused(place: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(why.to_string()).about(place).exit(Exit::Refused)
}

fn refuse_twice(written: &[Written]) -> Result<(), Failure> {
    for (index, one) in written.iter().enumerate() {
        if let Some(other) = written[..index].iter().find(|other| other.entry.id.value == one.entry.id.value) {
            let what = format!("the plugin {:?} is in {}, too", one.entry.id.value, other.place);
            return Err(refused(&one.place, what).hint("say all of a plugin in one place"));
        }
    }
    Ok(())
}
