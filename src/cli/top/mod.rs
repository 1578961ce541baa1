//! `plugd top`: a table in the terminal that follows the plugins.
//!
//! `state` is what is known and what keys do to it, `view` draws that, `feed` brings what the server tells. This file has the
//! terminal, and the loop that ties them together.

mod feed;
mod state;
mod view;

use std::{
    io::{self, IsTerminal},
    pin::pin,
    sync::Arc,
    thread,
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    feed::{Shared, follow_log, follow_usage},
    state::{Action, Change, Top},
};
use super::{
    Context,
    client::Api,
    failure::Failure,
    follow::{States, resume},
    lifecycle::{Waiting, restart, set},
    serve::stop_token,
    usage as refused,
};
use crate::api::v1::{ActiveState, WatchStateRequest};

/// How often what is shown is drawn anew at the most, but for keys.
const FRAME: Duration = Duration::from_millis(50);

/// How often it is drawn when nothing happens: times go on.
const TICK: Duration = Duration::from_secs(1);

/// How long the thread that reads keys may take to notice that it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// Keys that may wait to be taken.
const KEYS: usize = 64;

/// Changes that were asked for and may be under way.
const CHANGES: usize = 8;

/// Watch the plugins in a table, with keys to start, stop and restart them and to read their logs
///
/// Shows the state of each plugin as it changes, and what it uses of the host. `?` shows the keys, `q` ends it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugd top")]
pub(super) struct TopCommand {}

impl TopCommand {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        if !io::stdout().is_terminal() || context.ui.is_json() {
            return Err(refused("plugd top draws in a terminal, and here is none")
                .hint("`plugd list --wide` and `plugd watch` print the same for files and programs, -o json too"));
        }
        let stop = stop_token()?;
        let top = Top::new(context.api.server().to_owned(), context.ui.is_colored());
        let session = Session {
            api: context.api.clone(),
            shared: Arc::new(Shared::new(top)),
            changes: Arc::new(Semaphore::new(CHANGES)),
            log: None,
        };
        let mut screen = Screen::open()?;
        let keys = Keys::read(stop.clone())?;
        session.run(&mut screen, keys, stop).await
    }
}

/// The terminal while it is drawn on. It is as before when this is dropped, and when plugd panics.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self).inspect_err(|_| ratatui::restore())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody sees that it can't be shown any more.
        let _ = self.0.show_cursor();
        ratatui::restore();
    }
}

/// What is typed, read by a thread of its own, which has ended when this is dropped.
struct Keys {
    events: mpsc::Receiver<Event>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keys {
    fn read(stop: CancellationToken) -> io::Result<Self> {
        let (tell, events) = mpsc::channel(KEYS);
        let reading = move || {
            while !stop.is_cancelled() && !tell.is_closed() {
                let read =
                    event::poll(LOOK).and_then(|is_there| if is_there { event::read().map(Some) } else { Ok(None) });
                match read {
                    Ok(Some(event)) => drop(tell.blocking_send(event)),
                    Ok(None) => {}
                    // The terminal is gone.
                    Err(_) => return,
                }
            }
        };
        let thread = thread::Builder::new().name("plugd-keys".into()).spawn(reading)?;
        Ok(Self { events, thread: Some(thread) })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.events.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Session {
    api: Api,
    shared: Arc<Shared>,
    changes: Arc<Semaphore>,
    /// Follows the log that is shown.
    log: Option<AbortOnDropHandle<()>>,
}

impl Session {
    async fn run(mut self, screen: &mut Screen, mut keys: Keys, stop: CancellationToken) -> Result<(), Failure> {
        let (api, shared) = (self.api.clone(), Arc::clone(&self.shared));
        let mut states = States::new(WatchStateRequest::default(), &*shared);
        let mut watching = pin!(resume(&api, &mut states, &stop));
        let mut sampling = pin!(follow_usage(&api, &shared));
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            screen.0.draw(|frame| shared.with(|top| view::draw(frame, top, Timestamp::now())))?;
            let drawn = Instant::now();
            tokio::select! {
                ended = &mut watching => return ended,
                () = &mut sampling => {}
                key = keys.events.recv() => match key {
                    None => return Ok(()),
                    Some(key) => if self.typed(key) { return Ok(()) },
                },
                () = changed(&shared, drawn + FRAME) => {}
                _ = ticks.tick() => {}
            }
        }
    }

    /// Does what a key asks for. True if that is to end.
    fn typed(&mut self, event: Event) -> bool {
        let Event::Key(key) = event else { return false };
        match self.shared.with(|top| top.key(key)) {
            None => {}
            Some(Action::Quit) => return true,
            Some(Action::OpenLog(id)) => {
                let follow = follow_log(self.api.clone(), Arc::clone(&self.shared), id);
                self.log = Some(AbortOnDropHandle::new(tokio::spawn(follow)));
            }
            Some(Action::CloseLog) => self.log = None,
            Some(Action::Change(change, id)) => self.change(id, change),
        }
        false
    }

    /// Asks for a change, and tells only if it is refused: that it happens is seen.
    fn change(&self, id: String, change: Change) {
        let Ok(place) = Arc::clone(&self.changes).try_acquire_owned() else {
            return self.shared.note("too many changes are under way");
        };
        let (api, shared) = (self.api.clone(), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let waiting = Waiting { no_wait: true, timeout: None };
            let changed = match change {
                Change::Start => set(&api, id, ActiveState::Active, waiting).await,
                Change::Stop => set(&api, id, ActiveState::Inactive, waiting).await,
                Change::Restart => restart(&api, id, waiting).await,
            };
            shared.note(&changed.map_or_else(|refusal| refusal.message().to_owned(), |_| String::new()));
            drop(place);
        });
    }
}

/// Waits until something has changed, and it may be drawn again.
async fn changed(shared: &Shared, earliest: Instant) {
    shared.changed().await;
    sleep_until(earliest).await;
}
