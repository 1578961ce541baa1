//! One plugin and all that its lifecycle works with: processes, a connection, a deadline, the store. It does what it is asked, in
//! whatever order, and says so where what it is asked contradicts what is.

mod checks;
mod form;

use super::{super::*, Checked, Move, require};
use crate::domain::{Confinement, Exit, RunEvent, Stage, change::DesiredChange};

/// A run that was over before anything of this began, the present one, and the next.
const EARLIER: RunId = RunId::from_bytes([0; 12]);
const PRESENT: RunId = RunId::from_bytes([1; 12]);
const NEXT: RunId = RunId::from_bytes([2; 12]);

/// The processes of the present run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    Nothing,
    /// They are being created.
    Created,
    /// The first process runs.
    Running,
    /// The first process has ended, and others live.
    Orphaned,
}

/// Whether the plugin is to go for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Leaving {
    No,
    Deleting,
    /// Nothing of it lives, and the store is asked to forget it.
    Removing,
    ShuttingDown,
    Gone,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    lifecycle: Lifecycle,
    /// As committed: the lifecycle may not have heard of what is desired.
    plugin: Plugin,
    group: Group,
    /// The strongest that the group was asked: nothing, to stop, to die.
    asked: u8,
    is_connected: bool,
    deadline: Option<Timer>,
    going_back: Option<(Digest, Digest)>,
    leaving: Leaving,
}

const MAX_RESTARTS: u32 = 2;

/// What the plugin did not do.
fn from_outside() -> Failure {
    Failure::new(Stage::Exit, "its pod was deleted").caused_outside()
}

fn supervision() -> Supervision {
    Supervision { max_restarts: MaxRestarts::Times(MAX_RESTARTS), ..Supervision::default() }
}

impl World {
    /// A plugin that was just installed.
    pub(super) fn new(mode: Mode) -> Checked<Self> {
        let active = if mode == Mode::External { ActiveState::Active } else { ActiveState::Inactive };
        let mut plugin = mk_plugin(mode, active);
        plugin.desired.package = (mode == Mode::Supervised).then_some(Digest([1; 32]));
        Self::boot(plugin)
    }

    /// plugd begins with what is stored, and nothing runs.
    fn boot(plugin: Plugin) -> Checked<Self> {
        Self::boot_with(Lifecycle::new(&plugin, supervision(), EARLIER), plugin)
    }

    fn boot_with(lifecycle: Lifecycle, plugin: Plugin) -> Checked<Self> {
        let mut world = Self {
            lifecycle,
            plugin,
            group: Group::Nothing,
            asked: 0,
            is_connected: false,
            deadline: None,
            going_back: None,
            leaving: Leaving::No,
        };
        world.hear()?;
        world.normalise();
        Ok(world)
    }

    /// The world after this, if it can happen.
    pub(super) fn after(&self, next: Move) -> Option<Checked<Self>> {
        if !self.can(next) {
            return None;
        }
        let mut world = self.clone();
        let outcome = world.play(next);
        world.normalise();
        Some(outcome.map(|()| world))
    }

    pub(super) fn can(&self, next: Move) -> bool {
        let is_supervised = self.plugin.desired.mode == Mode::Supervised;
        let lives = matches!(self.group, Group::Running | Group::Orphaned);
        match next {
            _ if self.leaving == Leaving::Gone => false,
            Move::Remove | Move::FailToRemove => self.leaving == Leaving::Removing,
            Move::Activate | Move::Deactivate | Move::Restart | Move::Update | Move::UpdateBack | Move::UploadAgain => {
                is_supervised && self.leaving == Leaving::No
            }
            Move::ReplaceManifest | Move::RotateToken => !is_supervised && self.leaving == Leaving::No,
            Move::Configure | Move::Delete => self.leaving == Leaving::No,
            Move::ShutDown => self.leaving != Leaving::ShuttingDown,
            Move::KillPlugd => true,
            Move::ReplacePlugd => self.group != Group::Nothing,
            Move::Hear => self.has_news() && self.leaving != Leaving::Removing,
            Move::GoBack | Move::FailToGoBack => self.going_back.is_some() && self.leaving == Leaving::No,
            Move::Spawn | Move::FailSpawn { .. } | Move::RefuseSpawn => self.group == Group::Created,
            // Of a run that is taken over this may be all that there is to hear.
            Move::TakeAway => matches!(self.group, Group::Created | Group::Running),
            Move::Exit => self.group == Group::Running,
            // Before there are processes an order to stop calls their creation off.
            Move::Empty => lives || (self.group == Group::Created && self.asked > 0),
            // One that comes while its process is being created waits for that (`supervisor::actor`).
            Move::Connect => (lives || !is_supervised) && self.lifecycle.accepts_connections(),
            Move::Disconnect | Move::MissPong | Move::ReceivePong => self.is_connected,
            Move::Wait => self.deadline.is_some(),
        }
    }

    fn play(&mut self, next: Move) -> Checked {
        match next {
            Move::Activate => self.change(DesiredChange::SetActive(ActiveState::Active)),
            Move::Deactivate => self.change(DesiredChange::SetActive(ActiveState::Inactive)),
            Move::Restart => self.change(DesiredChange::Restart),
            Move::Update => self.update(Some(Digest([9; 32]))),
            Move::UpdateBack => self.update(self.plugin.desired.previous_digest()),
            Move::UploadAgain => self.update(self.plugin.desired.package),
            Move::Configure => self.change(DesiredChange::Configure(Arc::default())),
            Move::ReplaceManifest => self.change(DesiredChange::ReplaceManifest(Arc::default())),
            Move::RotateToken => self.change(DesiredChange::RotateToken(String::new().into())),
            Move::Delete => self.leave(Leaving::Deleting, Event::DeletionRequested),
            Move::ShutDown => self.leave(Leaving::ShuttingDown, Event::ShutdownRequested),
            Move::KillPlugd => self.kill_plugd(),
            Move::ReplacePlugd => self.replace_plugd(),
            Move::RefuseSpawn => self.becomes(Group::Nothing, RunEvent::SpawnFailed(from_outside())),
            Move::TakeAway => self.becomes(Group::Orphaned, RunEvent::TakenAway(from_outside())),
            Move::Hear => self.hear(),
            Move::GoBack => self.go_back(),
            Move::FailToGoBack => {
                self.going_back = None;
                self.step(Event::GoBackFailed)
            }
            Move::Remove => {
                self.leaving = Leaving::Gone;
                Ok(())
            }
            Move::FailToRemove => {
                self.leaving = Leaving::No;
                self.hear()
            }
            Move::Spawn => self.becomes(
                Group::Running,
                RunEvent::Spawned { pid: Some(7), confinement: Some(Confinement::Off), placement: None },
            ),
            Move::FailSpawn { is_permanent } => {
                let failure = Failure { is_permanent, ..Failure::new(Stage::Start, "no such file") };
                self.becomes(Group::Nothing, RunEvent::SpawnFailed(failure))
            }
            Move::Exit => self
                .becomes(Group::Orphaned, RunEvent::Exited(Exit { code: Some(1), signal: None, out_of_memory: false })),
            Move::Empty => self.becomes(Group::Nothing, RunEvent::GroupEmptied),
            Move::Connect => {
                self.is_connected = true;
                self.run_did(RunEvent::Connected)
            }
            Move::Disconnect => {
                self.is_connected = false;
                self.run_did(RunEvent::Disconnected { reason: "it ended".to_owned(), is_fault: true })
            }
            Move::MissPong => self.miss_pong(),
            Move::ReceivePong => self.run_did(RunEvent::PongReceived),
            Move::Wait => self.wait(),
        }
    }

    /// Commits a change, if it is not refused.
    fn change(&mut self, change: DesiredChange) -> Checked {
        self.plugin.reported = self.lifecycle.reported().clone();
        if let Ok(Some(desired)) = change.apply(&self.plugin) {
            self.plugin.desired = desired;
        }
        Ok(())
    }

    fn update(&mut self, to: Option<Digest>) -> Checked {
        let manifest = self.plugin.desired.manifest.clone();
        to.map_or(Ok(()), |digest| self.change(DesiredChange::ReplacePackage { digest, manifest }))
    }

    fn go_back(&mut self) -> Checked {
        self.going_back.take().map_or(Ok(()), |(from, to)| self.change(DesiredChange::GoBack { from, to }))
    }

    fn leave(&mut self, how: Leaving, event: Event) -> Checked {
        self.leaving = how;
        self.going_back = None;
        self.step(event)
    }

    /// Whatever it ran dies with it, and the next plugd begins with what is stored.
    fn kill_plugd(&mut self) -> Checked {
        *self = Self::boot(Plugin { reported: self.lifecycle.reported().clone(), ..self.plugin.clone() })?;
        Ok(())
    }

    /// What it ran goes on. How far that is the next plugd has yet to hear.
    fn replace_plugd(&mut self) -> Checked {
        let plugin = Plugin { reported: self.lifecycle.reported().clone(), ..self.plugin.clone() };
        let lifecycle = Lifecycle::new(&plugin, supervision(), EARLIER).with_earlier(PRESENT);
        *self = Self::boot_with(lifecycle, plugin)?;
        require(self.group != Group::Nothing, "a run that goes on is nobody's")
    }

    fn hear(&mut self) -> Checked {
        self.step(Event::DesiredChanged(Arc::new(self.plugin.desired.clone())))
    }

    fn becomes(&mut self, group: Group, event: RunEvent) -> Checked {
        self.group = group;
        self.run_did(event)
    }

    fn run_did(&mut self, event: RunEvent) -> Checked {
        self.step(Event::Run { run: self.lifecycle.run(), event })
    }

    fn miss_pong(&mut self) -> Checked {
        let is_second = self.lifecycle.reported().is_degraded;
        self.run_did(RunEvent::PongMissed)?;
        require(!is_second || self.state() != State::Active, "it is active without proof of life")
    }

    fn wait(&mut self) -> Checked {
        match self.deadline.take() {
            Some(Timer::Kill) => self.run_did(RunEvent::Survived { pids: vec![7] }),
            Some(timer) => self.step(Event::TimerFired { run: self.lifecycle.run(), timer }),
            None => Ok(()),
        }
    }

    fn step(&mut self, event: Event) -> Checked {
        let before = self.lifecycle.clone();
        let is_stable = matches!(event, Event::TimerFired { timer: Timer::Stable, .. });
        let effects = self.lifecycle.step(Moment { now: Timestamp::UNIX_EPOCH, fresh: NEXT }, event);
        effects.iter().try_for_each(|effect| self.perform(effect))?;
        if self.leaving == Leaving::Deleting && self.state() == State::Error {
            // A deletion fails when something can't be killed.
            self.leaving = Leaving::No;
        }
        let proven = if is_stable { before.package() } else { before.reported.proven_package };
        require(self.lifecycle.reported.proven_package == proven, "a package is proven by the stable time only")?;
        self.check_state()?;
        self.check_stop(&before, &effects)?;
        self.check_restarts(&before, &effects)
    }

    fn perform(&mut self, effect: &Effect) -> Checked {
        match effect {
            Effect::TakeOverRun => {
                require(self.lifecycle.run() == PRESENT, "a run is taken over that does not go on")?;
                require(self.group == Group::Nothing, "a run is taken over while another lives")?;
                (self.group, self.asked) = (Group::Created, 0);
            }
            Effect::SpawnProcess => {
                require(self.group == Group::Nothing, "a run is started while another lives")?;
                require(!self.is_connected, "a run is started with a connection of another")?;
                require(self.leaving == Leaving::No, "what leaves is started")?;
                (self.group, self.asked) = (Group::Created, 0);
            }
            Effect::SignalGroup => {
                require(self.group != Group::Nothing && self.asked == 0, "a stop of nothing, or a second one")?;
                self.asked = 1;
            }
            Effect::KillGroup => {
                require(
                    self.group != Group::Nothing && self.asked == 1,
                    "a kill of nothing, or without a stop before it",
                )?;
                self.asked = 2;
            }
            Effect::Arm(timer, _) => self.deadline = Some(*timer),
            Effect::Disarm => self.deadline = None,
            Effect::CloseConnection => self.is_connected = false,
            Effect::Configure => require(self.is_connected, "nobody to configure")?,
            Effect::GoBack { from, to } => {
                require(from != to && self.lifecycle.package() == Some(*from), "going back to where it is")?;
                require(self.lifecycle.reported.proven_package != Some(*from), "what was stable is taken back")?;
                self.going_back = Some((*from, *to));
            }
            Effect::Finish => self.finish()?,
        }
        Ok(())
    }

    fn finish(&mut self) -> Checked {
        let survives = matches!(self.lifecycle.phase, Phase::Error { survivors: Some(_) });
        let may = self.group == Group::Nothing || (survives && self.leaving == Leaving::ShuttingDown);
        require(may, "it has finished and something of it lives")?;
        self.leaving = match self.leaving {
            Leaving::Deleting => Leaving::Removing,
            Leaving::ShuttingDown => Leaving::Gone,
            Leaving::No | Leaving::Removing | Leaving::Gone => return Err("nobody asked it to finish".to_owned()),
        };
        Ok(())
    }

    /// The lifecycle has not heard of what is desired.
    fn has_news(&self) -> bool {
        self.lifecycle.desired.as_ref().is_some_and(|heard| heard.generation != self.plugin.desired.generation)
    }

    /// What is desired is reported, or that it failed.
    pub(super) fn is_settled(&self) -> bool {
        let is_external = self.plugin.desired.mode == Mode::External;
        let is_reached = match self.state() {
            State::Error => true,
            State::Active => self.plugin.desired.active.is_active(),
            State::Connecting => is_external,
            State::Inactive => !self.plugin.desired.active.is_active(),
            State::Starting | State::Restarting | State::Stopping => false,
        };
        self.leaving == Leaving::Gone || (is_reached && !self.has_news() && self.leaving == Leaving::No)
    }

    fn state(&self) -> State {
        self.lifecycle.reported().state
    }
}
