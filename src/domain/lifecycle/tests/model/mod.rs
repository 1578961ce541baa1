//! Every interleaving of what can happen to a plugin, explored breadth first until nothing new comes.

mod world;

use std::collections::{HashMap, VecDeque};

use self::world::World;
use super::*;

/// What holds, or what does not.
type Checked<T = ()> = Result<T, String>;

fn require(holds: bool, otherwise: &str) -> Checked {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    // What somebody asks for.
    Activate,
    Deactivate,
    Restart,
    Update,
    /// An update to the package before this one.
    UpdateBack,
    /// An update to the same package.
    UploadAgain,
    Configure,
    ReplaceManifest,
    RotateToken,
    Delete,
    ShutDown,
    KillPlugd,
    /// plugd dies, and the next one goes on with the run that goes on.
    ReplacePlugd,
    // What is done to a plugin where it runs, as often as somebody likes.
    RefuseSpawn,
    TakeAway,
    // What the store does. What it has committed is heard of in its own time.
    Hear,
    GoBack,
    FailToGoBack,
    Remove,
    FailToRemove,
    // What the processes and the connection do.
    Spawn,
    FailSpawn {
        is_permanent: bool,
    },
    Exit,
    Empty,
    Connect,
    Disconnect,
    MissPong,
    ReceivePong,
    /// The deadline passes.
    Wait,
}

const ASKED: [Move; 15] = [
    Move::Activate,
    Move::Deactivate,
    Move::Restart,
    Move::Update,
    Move::UpdateBack,
    Move::UploadAgain,
    Move::Configure,
    Move::ReplaceManifest,
    Move::RotateToken,
    Move::Delete,
    Move::ShutDown,
    Move::KillPlugd,
    Move::ReplacePlugd,
    Move::RefuseSpawn,
    Move::TakeAway,
];

const COMES: [Move; 15] = [
    Move::Hear,
    Move::GoBack,
    Move::FailToGoBack,
    Move::Remove,
    Move::FailToRemove,
    Move::Spawn,
    Move::FailSpawn { is_permanent: false },
    Move::FailSpawn { is_permanent: true },
    Move::Exit,
    Move::Empty,
    Move::Connect,
    Move::Disconnect,
    Move::MissPong,
    Move::ReceivePong,
    Move::Wait,
];

/// What is looked at.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    mode: Mode,
    /// What somebody may ask for.
    asked: &'a [Move],
    /// What is committed is heard of before anything else comes.
    hears_at_once: bool,
    /// So many moves.
    depth: usize,
}

/// All states that can be reached, each known by its place.
#[derive(Default)]
struct Reached {
    places: HashMap<u64, usize>,
    ways: Vec<Way>,
    transitions: usize,
    seen: Vec<Move>,
}

/// What is kept of a state: how it is reached, and where it leads unless somebody asks for something else.
struct Way {
    from: Option<(usize, Move)>,
    depth: usize,
    is_settled: bool,
    to: Vec<usize>,
}

impl Bounds<'_> {
    fn hear(self, world: World) -> Checked<World> {
        let heard = if self.hears_at_once { world.after(Move::Hear) } else { None };
        heard.unwrap_or(Ok(world))
    }
}

impl Reached {
    fn within(bounds: Bounds<'_>) -> Self {
        let start = World::new(bounds.mode).unwrap();
        let mut reached = Self::default();
        let mut waiting = VecDeque::new();
        reached.enter(&start, None);
        waiting.push_back(start);
        for place in 0.. {
            let Some(world) = waiting.pop_front() else { break };
            reached.require(place, world.check_stale(), &world);
            if reached.ways[place].depth == bounds.depth {
                continue;
            }
            for next in bounds.asked.iter().copied().chain(COMES) {
                let Some(after) = world.after(next) else { continue };
                let after = after.and_then(|after| bounds.hear(after)).map_err(|why| format!("{why}, by {next:?}"));
                let after = reached.require(place, after, &world);
                let (to, is_new) = reached.enter(&after, Some((place, next)));
                reached.connect((place, &world), next, to);
                if is_new {
                    waiting.push_back(after);
                }
            }
        }
        reached
    }

    /// The place of a state, and whether it is new.
    fn enter(&mut self, world: &World, from: Option<(usize, Move)>) -> (usize, bool) {
        let new = self.ways.len();
        let place = *self.places.entry(world.fingerprint()).or_insert(new);
        if place == new {
            let depth = from.map_or(0, |(from, _)| self.ways[from].depth + 1);
            self.ways.push(Way { from, depth, is_settled: world.is_settled(), to: Vec::new() });
        }
        (place, place == new)
    }

    /// What is committed is heard of at once: whatever else may come before is looked at from where it leads.
    fn connect(&mut self, (from, world): (usize, &World), next: Move, to: usize) {
        self.transitions += 1;
        if !self.seen.contains(&next) {
            self.seen.push(next);
        }
        let comes = if world.can(Move::Hear) { next == Move::Hear } else { COMES.contains(&next) };
        if comes && from != to {
            self.ways[from].to.push(to);
        }
    }

    fn require<T>(&self, place: usize, checked: Checked<T>, world: &World) -> T {
        checked.unwrap_or_else(|why| panic!("{why}, after {:?} in {world:#?}", self.path(place)))
    }

    /// The shortest way to a state.
    fn path(&self, place: usize) -> Vec<Move> {
        let mut path = Vec::new();
        let mut at = place;
        while let Some((from, by)) = self.ways[at].from {
            path.push(by);
            at = from;
        }
        path.reverse();
        path
    }

    fn depth(&self) -> usize {
        self.ways.iter().map(|way| way.depth).max().unwrap_or_default()
    }

    /// After how many moves each state is settled at the latest, whatever comes; none where it may never be.
    fn settle(&self) -> Vec<Option<usize>> {
        let mut within: Vec<_> = self.ways.iter().map(|way| way.is_settled.then_some(0)).collect();
        loop {
            let mut has_changed = false;
            for (place, way) in self.ways.iter().enumerate().filter(|(_, way)| !way.to.is_empty()) {
                if within[place].is_none() {
                    let longest = way.to.iter().map(|to| within[*to]).try_fold(0, |most, it| Some(most.max(it?)));
                    within[place] = longest.map(|most| most + 1);
                    has_changed |= longest.is_some();
                }
            }
            if !has_changed {
                return within;
            }
        }
    }
}

/// Looks at all within these bounds, and prints how much that was.
fn explore(bounds: Bounds<'_>) -> Reached {
    let reached = Reached::within(bounds);
    let (states, transitions, depth) = (reached.ways.len(), reached.transitions, reached.depth());
    eprintln!("{:?} with {:?}: {states} states, {transitions} transitions, depth {depth}", bounds.mode, bounds.asked);
    assert!(bounds.asked.iter().all(|asked| reached.seen.contains(asked)), "of what is asked only {:?}", reached.seen);
    reached
}

/// Looks at all that can be reached, and requires that it settles when nobody asks for anything else.
fn explore_all(bounds: Bounds<'_>) {
    let reached = explore(Bounds { depth: usize::MAX, ..bounds });
    let settle = reached.settle();
    if let Some(place) = settle.iter().position(Option::is_none) {
        panic!("it may never settle after {:?}", reached.path(place));
    }
    eprintln!("  complete; settled after {} moves at the most", settle.into_iter().flatten().max().unwrap());
}

const SUPERVISED: Bounds<'static> =
    Bounds { mode: Mode::Supervised, asked: &[], hears_at_once: false, depth: usize::MAX };

#[test]
fn what_must_hold_holds_however_a_plugin_is_started_and_ended() {
    use Move::{Activate, Configure, Deactivate, Delete, KillPlugd, Restart, ShutDown};
    explore_all(Bounds {
        asked: &[Activate, Deactivate, Restart, Configure, Delete, ShutDown, KillPlugd],
        ..SUPERVISED
    });
}

#[test]
fn what_must_hold_holds_where_runs_outlive_plugd_and_others_end_them() {
    use Move::{Activate, Configure, Deactivate, Delete, RefuseSpawn, ReplacePlugd, Restart, ShutDown, TakeAway};
    explore_all(Bounds {
        asked: &[Activate, Deactivate, Restart, Configure, Delete, ShutDown, ReplacePlugd, RefuseSpawn, TakeAway],
        ..SUPERVISED
    });
}

/// What is heard of late makes this too much for a test.
#[test]
fn what_must_hold_holds_however_packages_are_updated_and_gone_back_from() {
    use Move::{Activate, Deactivate, KillPlugd, Update, UpdateBack, UploadAgain};
    let asked = &[Activate, Deactivate, Update, UpdateBack, UploadAgain, KillPlugd];
    explore_all(Bounds { asked, hears_at_once: true, ..SUPERVISED });
}

#[test]
fn what_must_hold_holds_whatever_comes_within_nine_moves() {
    let supervised = ASKED.iter().copied().filter(|asked| !matches!(asked, Move::ReplaceManifest | Move::RotateToken));
    let reached = explore(Bounds { asked: &supervised.collect::<Vec<_>>(), depth: 9, ..SUPERVISED });
    let unseen: Vec<_> = COMES.iter().filter(|comes| !reached.seen.contains(comes)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn what_must_hold_holds_for_an_external_plugin() {
    use Move::{Configure, Delete, KillPlugd, ReplaceManifest, RotateToken, ShutDown};
    let asked = &[Configure, ReplaceManifest, RotateToken, Delete, ShutDown, KillPlugd];
    explore_all(Bounds { mode: Mode::External, asked, ..SUPERVISED });
}
