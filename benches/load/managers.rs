//! Starts and stops beside what a user would pick instead: supervisord, over its XML-RPC, and pm2, over its own library. Each
//! runs the same program. It has started when the program is connected and the caller has its answer; it has stopped when the
//! caller has its answer, which each gives when the process has ended.

use std::time::Instant;

use plugd::api::v1::ActiveState;

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, ms},
    plugins::{install_many, set},
    server::{Plugd, Plugins},
};

mod pm2;
mod supervisord;

/// Starts and stops of a round.
const A_ROUND: usize = 10;
const WARM_UP: usize = 3;

pub(crate) async fn measure(report: &mut Report) {
    let plugd = Plugd::start();
    let client = plugd.client().await;
    let id = install_many(&client, 1).await.remove(0);
    let mut plugd = OfPlugd { client, id };
    match supervisord::Supervisord::start().await {
        Ok(supervisord) => beside(&mut plugd, supervisord, "supervisord", report).await,
        Err(reason) => report.skip("supervisord", reason),
    }
    match pm2::Pm2::start().await {
        Ok(pm2) => beside(&mut plugd, pm2, "pm2", report).await,
        Err(reason) => report.skip("pm2", reason),
    }
}

/// Something that starts and stops one program.
trait Manager {
    async fn start(&mut self);
    async fn stop(&mut self);
}

struct OfPlugd {
    client: Plugins,
    id: String,
}

impl Manager for OfPlugd {
    async fn start(&mut self) {
        set(self.client.clone(), &self.id, ActiveState::Active).await;
    }

    async fn stop(&mut self) {
        set(self.client.clone(), &self.id, ActiveState::Inactive).await;
    }
}

async fn beside(plugd: &mut OfPlugd, mut other: impl Manager, name: &'static str, report: &mut Report) {
    let (mut starts, mut stops) = (Rounds::default(), Rounds::default());
    let (mut other_starts, mut other_stops) = (Rounds::default(), Rounds::default());
    round(plugd, WARM_UP).await;
    round(&mut other, WARM_UP).await;
    for _ in 0..ROUNDS {
        let (start, stop) = round(plugd, A_ROUND).await;
        starts.add(start);
        stops.add(stop);
        let (start, stop) = round(&mut other, A_ROUND).await;
        other_starts.add(start);
        other_stops.add(stop);
    }
    let goals = [Goal::Times(1.0); 2];
    report.times(&format!("start beside {name}'s"), &starts, (name, &other_starts), goals);
    report.times(&format!("stop beside {name}'s"), &stops, (name, &other_stops), goals);
}

async fn round(manager: &mut impl Manager, count: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let began = Instant::now();
        manager.start().await;
        starts.push(ms(began.elapsed()));
        let began = Instant::now();
        manager.stop().await;
        stops.push(ms(began.elapsed()));
    }
    (starts, stops)
}
