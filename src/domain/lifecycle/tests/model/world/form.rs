//! When two worlds are one: in the form of a world names are the smallest, and its fingerprint is of what a step depends on.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{super::super::*, EARLIER, PRESENT, World};

impl World {
    /// Gives what only tells things apart its smallest name: which runs, packages and generations they are changes nothing.
    pub(super) fn normalise(&mut self) {
        let Self { lifecycle, plugin, .. } = self;
        let present = if lifecycle.run == EARLIER { EARLIER } else { PRESENT };
        lifecycle.run = present;
        lifecycle.reported.run = lifecycle.reported.run.map(|_| present);
        lifecycle.stale = 0;
        lifecycle.was_in_its_start = false;
        let Some(mut heard) = lifecycle.desired.take().map(Arc::unwrap_or_clone) else { return };
        for (old, new) in numbers(&mut heard).into_iter().zip(numbers(&mut plugin.desired)) {
            (*old, *new) = (1, if old == new { 1 } else { 2 });
        }
        lifecycle.reported.observed_generation = heard.generation;
        self.name_packages(&mut heard);
        self.lifecycle.desired = Some(Arc::new(heard));
    }

    /// One that was proven or failed and is nowhere else is as good as none.
    fn name_packages(&mut self, heard: &mut Desired) {
        let Self { lifecycle, plugin, going_back, .. } = self;
        let [proven, failed] = [&mut lifecycle.reported.proven_package, &mut lifecycle.reported.failed_package];
        let present =
            [plugin.desired.package, heard.package, plugin.desired.previous_digest(), heard.previous_digest()];
        for remembered in [proven, failed] {
            remembered.take_if(|package| !present.contains(&Some(*package)));
        }
        let mut known = Vec::new();
        let (from, to) = going_back.as_mut().map(|(from, to)| (from, to)).unzip();
        let packages = [
            plugin.desired.package.as_mut(),
            plugin.desired.previous_package.as_mut().map(|previous| &mut previous.digest),
            heard.package.as_mut(),
            heard.previous_package.as_mut().map(|previous| &mut previous.digest),
            lifecycle.reported.proven_package.as_mut(),
            lifecycle.reported.failed_package.as_mut(),
            from,
            to,
        ];
        for package in packages.into_iter().flatten() {
            let place = known.iter().position(|known| known == package).unwrap_or(known.len());
            if place == known.len() {
                known.push(*package);
            }
            *package = Digest([u8::try_from(place).unwrap() + 1; 32]);
        }
    }

    /// Of all that a step can depend on. Texts are not among that, nor times.
    pub(in super::super) fn fingerprint(&self) -> u64 {
        let Lifecycle { reported, phase, desired, .. } = &self.lifecycle;
        let of = |desired: &Desired| {
            let numbers = numbers(&mut desired.clone()).map(|number| *number);
            (desired.active, numbers, desired.package, desired.previous_digest(), desired.is_restored)
        };
        let doing = (self.group, self.asked, self.is_connected, self.deadline, self.going_back, self.leaving);
        let remembered =
            (reported.restarts, reported.deaths_at_start, reported.proven_package, reported.failed_package);
        let mut hasher = DefaultHasher::new();
        (self.lifecycle.run, shape(phase), doing, remembered).hash(&mut hasher);
        (desired.as_deref().map(of), of(&self.plugin.desired)).hash(&mut hasher);
        hasher.finish()
    }
}

/// What counts changes.
fn numbers(desired: &mut Desired) -> [&mut u64; 5] {
    [
        &mut desired.generation,
        &mut desired.active_generation,
        &mut desired.restart_generation,
        &mut desired.configuration_revision,
        &mut desired.token_epoch,
    ]
}

/// What follows a stop, without its texts: which, and its flags.
type Next = (u8, [bool; 3]);

/// A phase without its texts.
fn shape(phase: &Phase) -> (State, [bool; 2], Option<Next>) {
    let what = |then: &Then| match then {
        Then::Disable => (0, [false; 3]),
        Then::Restart => (1, [false; 3]),
        Then::Fail { failure, was_stable } => (2, [failure.is_permanent, failure.is_from_outside, *was_stable]),
        Then::Delete => (3, [false; 3]),
        Then::Shutdown => (4, [false; 3]),
    };
    let (flags, then) = match phase {
        Phase::Inactive | Phase::Starting | Phase::Restarting => ([false; 2], None),
        Phase::Connecting { was_stable } => ([*was_stable, false], None),
        Phase::Active { is_stable, has_missed_pong } => ([*is_stable, *has_missed_pong], None),
        Phase::Stopping { then } => ([false; 2], Some(what(then))),
        Phase::Error { survivors } => ([false; 2], survivors.as_ref().map(what)),
    };
    (phase.state(), flags, then)
}
