//! Changes of files in a folder, gathered until it is quiet.

use std::{path::Path, sync::Arc, time::Duration};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

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
    /// Watches until dropped.
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Begins to watch a folder, but for the files that no package has and another folder that may be in it.
    pub(super) fn of(dir: &Path, except: &Path) -> Result<Self, Failure> {
        let changed = Arc::new(Notify::new());
        let (notify, folder) = (Arc::clone(&changed), dir.to_owned());
        let except = except.canonicalize().unwrap_or_else(|_| except.to_owned());
        let on_event = move |event: notify::Result<Event>| {
            // An error means that events were lost: something may have changed.
            if event.map_or(true, |event| counts(&event, &folder, &except)) {
                notify.notify_one();
            }
        };
        let unwatchable = |error: notify::Error| {
            Failure::new(format!("can't watch {}: {error}", dir.display()))
                .hint("the system's limit of watches may be reached: see fs.inotify.max_user_watches")
        };
        let mut watcher = notify::recommended_watcher(on_event).map_err(unwatchable)?;
        watcher.watch(dir, RecursiveMode::Recursive).map_err(unwatchable)?;
        Ok(Self { changed, _watcher: watcher })
    }

    /// Waits for a change and until it is quiet again. A wait that is given up may have seen the change.
    pub(super) async fn settled(&self) {
        self.changed.notified().await;
        let end = Instant::now() + LONGEST;
        while timeout(QUIET, self.changed.notified()).await.is_ok() && Instant::now() < end {}
    }
}

/// Whether an event is of a file that is packaged, or of the one that says which are. While that can't be read, all count.
fn counts(event: &Event, dir: &Path, except: &Path) -> bool {
    // Reading the patterns below is an access, too.
    if matches!(event.kind, EventKind::Access(_)) {
        return false;
    }
    let (patterns, ignored) = (dir.join(PLUGDIGNORE), Ignored::of(dir));
    let is_left_out = |path: &Path| ignored.as_ref().is_ok_and(|ignored| ignored.covers(path));
    event.paths.iter().any(|path| *path == patterns || !path.starts_with(except) && !is_left_out(path))
}

#[cfg(test)]
mod tests;
