//! What the parts of a development session share: its plugin's folder, a server, a screen.

use std::{path::PathBuf, slice};

use tokio_util::sync::CancellationToken;

use crate::{
    api::v1::{Plugin, PluginMode},
    cli::{
        client::Api,
        failure::{Exit, Failure},
        lifecycle::delete,
        package::{Folder, Package},
        select::with_manifest_id,
        ui::{Style, Ui, quoted, sanitize, sanitize_line},
        words,
    },
};

/// One development session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// The plugin's folder.
    pub(super) dir: PathBuf,
    /// Its manifest, if it is not where it usually is.
    pub(super) manifest: Option<PathBuf>,
    /// plugd's data folder, which is no part of the plugin even when it is within its folder.
    pub(super) data_dir: PathBuf,
    pub(super) home: Home,
    pub(super) api: Api,
    pub(super) ui: Ui,
    pub(super) stop: CancellationToken,
}

/// Whose server a session is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Its own, on the data folder that sessions have to themselves.
    Own,
    /// Its own, on a data folder that somebody named.
    Named,
    /// One that ran already.
    Elsewhere,
}

impl Session {
    /// Says something about the session itself.
    pub(super) fn say(&self, text: &str) {
        self.tell(text, Style::Plain);
    }

    /// Says something that nobody should miss.
    pub(super) fn shout(&self, text: &str) {
        text.lines().for_each(|line| self.tell(line, Style::Red));
    }

    /// Says what went wrong.
    pub(super) fn complain(&self, failure: &Failure) {
        self.shout(&failure.to_string());
    }

    fn tell(&self, text: &str, style: Style) {
        let text = self.ui.paint(style, &sanitize_line(text));
        self.print(&format!("{}{text}", self.prefix("dev", Style::Cyan)));
    }

    /// Prints a line as it is. When nobody reads any longer, the session goes on all the same.
    pub(super) fn print(&self, text: &str) {
        let _ = self.ui.line(text);
    }

    /// What stands before the lines of one source.
    pub(super) fn prefix(&self, source: &str, style: Style) -> String {
        self.ui.paint(style, &format!("{source:>5} | "))
    }

    /// The folder as a package.
    pub(super) fn package(&self) -> Result<Package, Failure> {
        Package::of_folder(&self.folder())
    }

    /// Is the folder still as in the package with this digest?
    pub(super) fn is_still(&self, digest: &str) -> bool {
        Package::digest_of_folder(&self.folder()).is_ok_and(|now| now == digest)
    }

    fn folder(&self) -> Folder<'_> {
        Folder { dir: &self.dir, manifest: self.manifest.as_deref(), except: slice::from_ref(&self.data_dir) }
    }

    /// The plugin that has this manifest id. One of the other mode that an earlier session left in the sessions' own data
    /// folder makes room.
    pub(super) async fn installed(&self, id: Option<&str>, mode: PluginMode) -> Result<Option<Plugin>, Failure> {
        let id = id.ok_or_else(|| {
            Failure::new("the manifest has no id")
                .hint("give it one of letters, digits and hyphens, like \"my-plugin\"")
                .exit(Exit::Refused)
        })?;
        let plugins = with_manifest_id(&self.api, id).await?;
        let (same, other): (Vec<_>, Vec<_>) = plugins.into_iter().partition(|plugin| plugin.mode() == mode);
        for plugin in other {
            if self.home != Home::Own {
                return Err(self.taken(id, &plugin));
            }
            let mode = words::mode(plugin.mode());
            self.say(&format!("{} is of an earlier session and {mode}: it is removed", plugin.id));
            delete(&self.api, plugin.id).await?;
        }
        Ok(same.into_iter().next())
    }

    fn taken(&self, id: &str, plugin: &Plugin) -> Failure {
        let (id, mode) = (sanitize(id), words::mode(plugin.mode()));
        let server = match self.home {
            Home::Elsewhere => String::new(),
            Home::Own | Home::Named => format!(" on `plugd serve --data-dir {}`", quoted(&self.data_dir)),
        };
        Failure::new(format!("{} has the manifest id {id:?} already, and is {mode}", plugin.id))
            .hint(format!("delete it with `plugd delete {}`{server}, or give this one another id", plugin.id))
            .exit(Exit::Conflict)
    }
}

/// What the author can do about a failure.
pub(super) const REMEDY: &str = "mend it and save a file: it is tried again then";

/// The same failure, with what the author can do about it: the server's own advice is for people without the folder.
pub(super) fn with_remedy(failure: Failure) -> Failure {
    if failure.reason.is_none() && failure.hint.is_some() { failure } else { failure.hint(REMEDY) }
}
