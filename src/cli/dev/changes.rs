//! Changes of files in a folder, gathered until it is quiet.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::Session;
use crate::cli::{
    failure::Failure,
    package::{Ignored, PLUGDIGNORE},
};

/// How long it must be quiet.
const QUIET: Duration = Duration::from_millis(300);
/// How long changes are gathered at the most.
const LONGEST: Duration = Duration::from_secs(3);

/// The changes of a folder.
#[derive(Debug)]
pub(super) struct Changes {
    changed: Arc<Notify>,
    /// A change was seen whose end is still to come: it counts however often the wait for that is given up.
    is_pending: bool,
    /// Watches until dropped.
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Begins to watch a folder, without what no package wants and without the folders `except`.
    pub(super) fn of(dir: &Path, except: Vec<PathBuf>) -> Result<Self, Failure> {
        let changed = Arc::new(Notify::new());
        let except = except.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
        let mut filter = Filter { dir: dir.to_owned(), ignored: Ignored::of(dir).ok(), except };
        let notify = Arc::clone(&changed);
        let on_event = move |event: notify::Result<Event>| {
            // An error means that events were lost: something may have changed.
            if event.map_or(true, |event| filter.counts(&event)) {
                notify.notify_one();
            }
        };
        let unwatchable = |error: notify::Error| {
            Failure::new(format!("can't watch {}: {error}", dir.display()))
                .hint("the system's limit of watches may be reached: see fs.inotify.max_user_watches")
        };
        let mut watcher = notify::recommended_watcher(on_event).map_err(unwatchable)?;
        watcher.watch(dir, RecursiveMode::Recursive).map_err(unwatchable)?;
        Ok(Self { changed, is_pending: false, _watcher: watcher })
    }

    /// Waits for a change and until it is quiet again. False if the session ends first.
    pub(super) async fn next(&mut self, session: &Session) -> bool {
        session.stop.run_until_cancelled(self.settled()).await.is_some()
    }

    /// Waits for a change and until it is quiet again.
    pub(super) async fn settled(&mut self) {
        if !self.is_pending {
            self.changed.notified().await;
            self.is_pending = true;
        }
        let end = Instant::now() + LONGEST;
        while timeout(QUIET, self.changed.notified()).await.is_ok() && Instant::now() < end {}
        self.is_pending = false;
    }
}

/// Which events count: those of files that are packaged, and of the file that says which are.
struct Filter {
    dir: PathBuf,
    /// None while the author's patterns can't be read: then everything counts.
    ignored: Option<Ignored>,
    except: Vec<PathBuf>,
}

impl Filter {
    fn counts(&mut self, event: &Event) -> bool {
        if matches!(event.kind, EventKind::Access(_)) {
            return false;
        }
        let patterns = self.dir.join(PLUGDIGNORE);
        if event.paths.contains(&patterns) {
            self.ignored = Ignored::of(&self.dir).ok();
            return true;
        }
        event.paths.iter().any(|path| self.is_of_plugin(path))
    }

    fn is_of_plugin(&self, path: &Path) -> bool {
        let is_ignored = self.ignored.as_ref().is_some_and(|ignored| ignored.covers(path));
        !is_ignored && !self.except.iter().any(|folder| path.starts_with(folder))
    }
}

#[cfg(test)]
mod tests;
