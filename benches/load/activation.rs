//! Activation and deactivation beside more and more plugins, against a loop that spawns the same program, takes its
//! connection, and stops it.

use plugd::api::v1::ActiveState;

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, ms, to_f64},
    open_files,
    plugins::{install_many, set, set_many},
    server::Plugd,
    spawn::spawn,
};

/// Starts and stops of a round, and those before all rounds.
const A_ROUND: usize = 20;
const WARM_UP: usize = 5;

/// How many other plugins run meanwhile, one after the other. Starting so many takes a minute.
const BESIDE: [usize; 6] = [0, 10, 100, 1000, 3000, 5000];

pub(crate) async fn measure(report: &mut Report) {
    let plugd = Plugd::start();
    let client = plugd.client().await;
    let id = install_many(&client, 1).await.remove(0);
    let mut running = 0;
    let mut alone = None;
    for beside in BESIDE {
        if u64::try_from(5 * beside).is_ok_and(|needed| needed > open_files()) {
            report
                .skip(&format!("starts and stops beside {beside}"), "this host allows too few open files (ulimit -Hn)");
            break;
        }
        let more = install_many(&client, beside - running).await;
        set_many(&client, &more, ActiveState::Active).await;
        running = beside;
        let measured = Measured::of(&plugd, &id).await;
        measured.tell(beside, report);
        match &alone {
            None => alone = Some(measured),
            Some(alone) => measured.compare(beside, alone, report),
        }
    }
}

#[derive(Default)]
struct Measured {
    starts: Rounds,
    stops: Rounds,
    bare_starts: Rounds,
    bare_stops: Rounds,
    cpu: Rounds,
}

impl Measured {
    async fn of(plugd: &Plugd, id: &str) -> Self {
        let mut measured = Self::default();
        measured.round(plugd, id, WARM_UP).await;
        measured = Self::default();
        for _ in 0..ROUNDS {
            measured.round(plugd, id, A_ROUND).await;
        }
        measured
    }

    async fn round(&mut self, plugd: &Plugd, id: &str, count: usize) {
        let client = plugd.client().await;
        let (mut starts, mut stops) = (Vec::new(), Vec::new());
        let (mut bare_starts, mut bare_stops) = (Vec::new(), Vec::new());
        let before = plugd.cpu();
        for _ in 0..count {
            starts.push(ms(set(client.clone(), id, ActiveState::Active).await));
            stops.push(ms(set(client.clone(), id, ActiveState::Inactive).await));
            let (spawned, start) = spawn().await;
            bare_starts.push(ms(start));
            bare_stops.push(ms(spawned.stop().await));
        }
        self.cpu.add(vec![ms(plugd.cpu() - before) / to_f64(count)]);
        self.starts.add(starts);
        self.stops.add(stops);
        self.bare_starts.add(bare_starts);
        self.bare_stops.add(bare_stops);
    }

    fn tell(&self, beside: usize, report: &mut Report) {
        let (start, stop) =
            (format!("inactive to active beside {beside}"), format!("active to inactive beside {beside}"));
        let goals = if beside == 0 { [Goal::Above(1.5), Goal::Above(6.0)] } else { [Goal::Seen; 2] };
        report.times(&start, &self.starts, ("spawn + accept", &self.bare_starts), goals);
        let goals = if beside == 0 { [Goal::Above(1.0), Goal::Seen] } else { [Goal::Seen; 2] };
        report.times(&stop, &self.stops, ("signal + wait", &self.bare_stops), goals);
        let what = format!("plugd's CPU a start and stop beside {beside}");
        report.median((what, "ms"), &self.cpu, None, Goal::Seen);
        if beside > 0 {
            report.grows("a start beside others", "ms", beside, self.starts.quantile(0.5).value);
            report.grows("a stop beside others", "ms", beside, self.stops.quantile(0.5).value);
            report.grows("CPU of a start and stop beside others", "ms", beside, self.cpu.quantile(0.5).value);
        }
    }

    fn compare(&self, beside: usize, alone: &Self, report: &mut Report) {
        let rows = [("start", &self.starts, &alone.starts), ("stop", &self.stops, &alone.stops)];
        for (what, these, those) in rows {
            let what = (format!("{what} beside {beside} and alone, p50"), "ms");
            report.median(what, these, Some(("alone", those)), Goal::Times(1.3));
        }
    }
}
