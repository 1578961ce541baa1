//! What of a folder goes into its package, and what does not.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    folder::Folder,
    ignored::{Ignored, PLUGDIGNORE},
    limits, unreadable,
};
use crate::{
    cli::failure::{Exit, Failure},
    domain::package::reserved,
};

/// The file, or the folder with a slash, at the top of a package in which this name is.
fn top(name: &str) -> String {
    name.split_once('/').map_or_else(|| name.to_owned(), |(folder, _)| format!("{folder}/"))
}

/// Names that one remark tells; the others are counted.
const MAX_TOLD: usize = 10;

/// A file that goes into a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File {
    /// Its name in the package.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its bytes.
    pub(super) size: u64,
    /// Its permission bits.
    pub(super) mode: u32,
}

/// What is in a folder, in the order of names.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) files: Vec<File>,
    /// What is left out by a pattern, folders without what is in them.
    pub(super) left_out: Vec<String>,
    /// Links and what else is no file, which a package can't have.
    links: Vec<String>,
}

impl Contents {
    /// Looks through a folder.
    ///
    /// # Errors
    /// A folder in it can't be read, a name can't stand in a package, or there is more than any server takes.
    pub(super) fn of(folder: &Folder<'_>) -> Result<Self, Failure> {
        let mut contents = Self::default();
        contents.add_folder(folder, &Ignored::of(folder.dir)?, folder.dir)?;
        contents.files.sort();
        contents.left_out.sort();
        contents.links.sort();
        limits::check(&contents.files)?;
        Ok(contents)
    }

    /// The refusal of a package of these; if it is for a name that plugd keeps for itself, with what leaves that out.
    #[must_use]
    pub(super) fn refused(&self, failure: Failure) -> Failure {
        let is_reserved = |file: &&File| reserved(&file.name).is_some();
        match self.files.iter().find(is_reserved).filter(|_| failure.reason.as_deref() == Some("INVALID_PACKAGE")) {
            Some(file) => failure.hint(format!("rename it, or add `/{}` to {PLUGDIGNORE}", top(&file.name))),
            None => failure,
        }
    }

    fn add_folder(&mut self, folder: &Folder<'_>, ignored: &Ignored, dir: &Path) -> Result<(), Failure> {
        let read = || -> io::Result<Vec<_>> { fs::read_dir(dir)?.collect() };
        for entry in read().map_err(|error| unreadable(dir, error))? {
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| unreadable(&path, error))?;
            if folder.is_manifest(&path) || folder.is_excepted(&path) {
                continue;
            }
            let name = name_of(folder.dir, &path)?;
            if ignored.has(&path, kind.is_dir()) {
                self.left_out.extend(Some(name).filter(|name| name != PLUGDIGNORE));
            } else if kind.is_dir() {
                self.add_folder(folder, ignored, &path)?;
            } else if kind.is_file() {
                let about = entry.metadata().map_err(|error| unreadable(&path, error))?;
                self.files.push(File { name, path, size: about.len(), mode: about.permissions().mode() & 0o777 });
            } else {
                self.links.push(name);
            }
        }
        Ok(())
    }

    /// What is left out by a pattern, and how to have it.
    pub(super) fn of_left_out(&self) -> Option<String> {
        let left_out = &self.left_out;
        let first = left_out.first()?;
        let remedy = format!("to have one, add a line like `!{first}` to {PLUGDIGNORE} (patterns as in a .gitignore)");
        Some(format!("left out: {}; {remedy}", some(left_out)))
    }

    /// What is said of the links.
    pub(super) fn of_links(&self) -> Option<String> {
        let mut folders: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for link in &self.links {
            let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
            folders.entry(folder).or_default().push(link.clone());
        }
        let told: Vec<String> = folders
            .into_iter()
            .map(|(folder, links)| match links.as_slice() {
                [link] => link.clone(),
                several => format!("{} in {}", several.len(), if folder.is_empty() { "." } else { folder }),
            })
            .collect();
        let remedy = match self.links.iter().any(|link| is_module(link)) {
            true => {
                "install node_modules without them: `npm install --install-links`, `pnpm install --node-linker=hoisted`"
            }
            false if self.links.len() == 1 => "put what it leads to in its place",
            false => "put what they lead to in their place",
        };
        let are_left_out = "left out as links, or no files, which a package can't have";
        (!told.is_empty()).then(|| format!("{are_left_out}: {}; {remedy}", some(&told)))
    }
}

/// Is this a package of `node_modules`, as `node_modules/a` and `node_modules/@scope/a` are?
fn is_module(name: &str) -> bool {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let of_scope = folder.rsplit_once('/').is_some_and(|(above, scope)| scope.starts_with('@') && is_modules(above));
    is_modules(folder) || of_scope
}

fn is_modules(folder: &str) -> bool {
    folder.rsplit('/').next() == Some("node_modules")
}

/// The first of some names, and how many more there are.
pub(super) fn some<T: AsRef<str>>(names: &[T]) -> String {
    let told: Vec<&str> = names.iter().take(MAX_TOLD).map(AsRef::as_ref).collect();
    let told = told.join(", ");
    if names.len() > MAX_TOLD { format!("{told} and {} more", names.len() - MAX_TOLD) } else { told }
}

/// The name of a file in the package.
fn name_of(dir: &Path, path: &Path) -> Result<String, Failure> {
    let name = path.strip_prefix(dir).unwrap_or(path).to_str().map(str::to_owned);
    name.ok_or_else(|| {
        Failure::new(format!("can't package {}: its name is not UTF-8", path.display())).exit(Exit::Refused)
    })
}
