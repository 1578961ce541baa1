//! What the life of a plugin takes, every kind of step that most plugins see.

use std::hint::black_box;

use super::*;
use crate::{
    counts::repeat,
    domain::{Confinement, Exit, RunEvent},
};

const RUN: RunId = RunId::from_bytes([1; 12]);

fn happened(event: RunEvent) -> Event {
    Event::Run { run: RUN, event }
}

fn exited(code: i32) -> Event {
    happened(RunEvent::Exited(Exit { code: Some(code), signal: None, out_of_memory: false }))
}

fn passed(timer: Timer) -> Event {
    Event::TimerFired { run: RUN, timer }
}

/// From what is spawned to what is stable.
fn rise() -> [Event; 3] {
    let spawned = RunEvent::Spawned { pid: Some(7), confinement: Some(Confinement::Protect), placement: None };
    [happened(spawned), happened(RunEvent::Connected), passed(Timer::Stable)]
}

/// It is activated, loses its connection and its process, comes back, and is deactivated.
fn life() -> Vec<Event> {
    let active = Arc::new(mk_plugin(Mode::Supervised, ActiveState::Active).desired);
    let generation = active.generation + 1;
    let inactive =
        Desired { active: ActiveState::Inactive, active_generation: generation, generation, ..Desired::clone(&active) };
    let lost = RunEvent::Disconnected { reason: String::new(), is_fault: false };
    let mut life = vec![Event::DesiredChanged(active)];
    life.extend(rise());
    life.extend([happened(RunEvent::PongMissed), happened(RunEvent::PongReceived), happened(lost)]);
    life.extend([exited(1), happened(RunEvent::GroupEmptied), passed(Timer::Backoff)]);
    life.extend(rise());
    life.extend([Event::DesiredChanged(Arc::new(inactive)), exited(0), happened(RunEvent::GroupEmptied)]);
    life
}

#[test]
fn step() {
    let (plugin, life) = (mk_plugin(Mode::Supervised, ActiveState::Active), life());
    let moment = Moment { now: Timestamp::UNIX_EPOCH, fresh: RUN };
    repeat(|| {
        let mut lifecycle = Lifecycle::new(&plugin, Supervision::default(), RUN);
        for event in &life {
            black_box(lifecycle.step(moment, event.clone()));
        }
        assert_eq!((lifecycle.reported().state, lifecycle.stale_events()), (State::Inactive, 0));
    });
}
