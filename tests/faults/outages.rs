//! The database is gone for a while, under load.

use std::{
    collections::BTreeSet,
    fs,
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use plugd::api::v1::{ActiveState, Plugin};
use tokio::{join, time::timeout};
use tonic::Code;

use super::{lone::Lone, ready, repeat, rounds};
use crate::harness::{Api, Plugd, QUICK, Server, reason, within};

/// Clients, each with a plugin of its own.
const CLIENTS: usize = 10;

/// What is desired of a plugin, as of a generation.
type Desired = (u64, ActiveState);

fn desired(plugin: &Plugin) -> Desired {
    (plugin.generation, plugin.active_state())
}

/// Switches a plugin on and off until it is told to end. Refusals say that the store is unavailable. Returns everything that
/// was answered and how often it was refused.
async fn load(api: Api, plugin: &Lone, is_over: &AtomicBool) -> (Vec<Desired>, usize) {
    let (mut told, mut refused) = (Vec::new(), 0);
    for turn in 0_usize.. {
        let state = if turn.is_multiple_of(2) { ActiveState::Active } else { ActiveState::Inactive };
        let answer = within("an answer", api.desire(&plugin.id, state)).await;
        match answer {
            Ok(plugin) => {
                let now = desired(&plugin);
                // A change that is lost gives its generation to another.
                assert!(told.last().is_none_or(|last: &Desired| last.0 < now.0 || *last == now), "{told:?}, {now:?}");
                told.push(now);
            }
            Err(error) => {
                assert_eq!(
                    (error.code(), reason(&error).as_str()),
                    (Code::Unavailable, "STORE_UNAVAILABLE"),
                    "{error}"
                );
                refused += 1;
            }
        }
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        // Not as fast as refusals can be given: so the other clients and the plugins have their turn.
        let _ = timeout(Duration::from_millis(5), pending::<()>()).await;
    }
    (told, refused)
}

async fn scenario(name: &str, plugd: &Plugd, take: impl Fn(), give: impl Fn()) {
    let gone = Duration::from_secs(rounds(2, 30).try_into().unwrap());
    let mut plugins = Vec::new();
    for _ in 0..CLIENTS {
        plugins.push(Lone::install(plugd, "tame").await);
    }
    let mut watch = plugd.api().live().await;
    repeat(&format!("{name} gone for {gone:?}, under load"), rounds(1, 3), async |_| {
        let is_over = AtomicBool::new(false);
        let mut before = Vec::new();
        for plugin in &plugins {
            before.push(desired(&plugd.api().get(&plugin.id).await.unwrap()));
        }
        let outage = async {
            take();
            ready(plugd, 503).await;
            let _ = timeout(gone, pending::<()>()).await;
            give();
            ready(plugd, 200).await;
            is_over.store(true, Ordering::Relaxed);
        };
        let clients = join_all(plugins.iter().map(|plugin| load(plugd.api(), plugin, &is_over)));
        let (told, ()) = join!(clients, outage);
        assert!(told.iter().all(|(_, refused)| *refused > 0), "nothing is pretended: {told:?}");
        for plugin in &plugins {
            plugin.stop(&plugd.api()).await;
        }
        let last = plugd.api().live().await.cursor.revision;
        // The watch fails on a gap.
        let events = watch.until(|event| event.revision >= last).await;
        for ((plugin, (told, _)), before) in plugins.iter().zip(told).zip(before) {
            plugin.assert_one_at_a_time(&events);
            let of_it = events.iter().filter_map(|event| event.plugin.as_ref()).filter(|one| one.id == plugin.id);
            let made: BTreeSet<_> = of_it.map(desired).chain([before]).collect();
            let lost: Vec<_> = told.iter().filter(|told| !made.contains(*told)).collect();
            assert!(lost.is_empty(), "answered and never seen: {lost:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_is_gone_under_load() {
    let server = Server::start();
    let database = server.database().await;
    let url = database.url();
    let plugd = Plugd::with(&[QUICK, &[("PLUGD_DATABASE_URL", &url)]].concat()).await;
    scenario("PostgreSQL", &plugd, || server.stop(), || server.restart()).await;
}

#[tokio::test]
async fn a_file_is_gone_under_load() {
    let plugd = Plugd::start().await;
    let [file, aside] = ["plugd.db", "aside"].map(|name| plugd.data_dir().join(name));
    let rename = |from, to| fs::rename(from, to).unwrap();
    scenario("the SQLite file", &plugd, || rename(&file, &aside), || rename(&aside, &file)).await;
}
