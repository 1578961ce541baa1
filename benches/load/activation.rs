//! Activation and deactivation, against a loop that spawns the same program, takes its connection, and stops it.

use std::{
    io::{Cursor, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use plugd::api::v1::{ActiveState, InstallPluginRequest, SetActiveStateRequest, install_plugin_request as install};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::{net::TcpListener, process::Command};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::{
    figures::{Report, Samples},
    server::{Plugd, Plugins, greeter},
};

/// Rounds, after a few to warm up.
const ROUNDS: usize = 50;
const WARM_UP: usize = 5;

/// How many other plugins run meanwhile, one after the other. Starting so many takes a minute.
const BESIDE: [usize; 4] = [0, 100, 1000, 3000];

/// How many of them are started at the same time.
const AT_ONCE: usize = 8;

pub(crate) async fn measure(plugd: &Plugd, report: &mut Report) {
    let client = plugd.client().await;
    let id = install(client.clone()).await;
    let mut running = 0;
    for beside in BESIDE {
        crowd(&client, beside - running).await;
        running = beside;
        measure_beside(beside, (plugd, &id), report).await;
    }
}

/// Starts so many more plugins, which are left running.
async fn crowd(client: &Plugins, count: usize) {
    let start = |_| async {
        let id = install(client.clone()).await;
        set(client.clone(), &id, ActiveState::Active).await;
    };
    futures_util::stream::iter(0..count).for_each_concurrent(AT_ONCE, start).await;
}

async fn measure_beside(beside: usize, (plugd, id): (&Plugd, &str), report: &mut Report) {
    let client = plugd.client().await;
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    let (mut bare_starts, mut bare_stops) = (Vec::new(), Vec::new());
    let mut before = plugd.cpu();
    for round in 0..WARM_UP + ROUNDS {
        let start = set(client.clone(), id, ActiveState::Active).await;
        let stop = set(client.clone(), id, ActiveState::Inactive).await;
        let (bare_start, bare_stop) = spawn_and_stop().await;
        if round + 1 == WARM_UP {
            before = plugd.cpu();
        }
        if round >= WARM_UP {
            starts.push(start);
            stops.push(stop);
            bare_starts.push(bare_start);
            bare_stops.push(bare_stop);
        }
    }
    let what = |change: &str| format!("{change} beside {beside}");
    report.times(&what("inactive to active"), &Samples::new(starts), &Samples::new(bare_starts));
    report.times(&what("active to inactive"), &Samples::new(stops), &Samples::new(bare_stops));
    report.alone(&what("plugd's CPU a start and stop"), (plugd.cpu() - before) / u32::try_from(ROUNDS).unwrap());
}

async fn set(mut client: Plugins, id: &str, state: ActiveState) -> Duration {
    let request = SetActiveStateRequest {
        plugin_id: id.to_owned(),
        active_state: state.into(),
        ..SetActiveStateRequest::default()
    };
    let began = Instant::now();
    client.set_active_state(request).await.unwrap();
    began.elapsed()
}

/// How long it takes the plugin to connect, and to end when it is asked to.
async fn spawn_and_stop() -> (Duration, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/rpc?plugin_id=x&token=y", listener.local_addr().unwrap());
    let began = Instant::now();
    let mut command = Command::new(greeter());
    command.env("PLUGD_RPC_URL", url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let started = began.elapsed();

    let began = Instant::now();
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    drop(socket);
    child.wait().await.unwrap();
    (started, began.elapsed())
}

async fn install(mut client: Plugins) -> String {
    let part = |part| InstallPluginRequest { part: Some(part) };
    let header = part(install::Part::Header(install::Header::default()));
    let chunks: Vec<_> = package().chunks(1 << 20).map(|chunk| part(install::Part::Chunk(chunk.to_vec()))).collect();
    let messages = std::iter::once(header).chain(chunks).collect::<Vec<_>>();
    let answer = client.install_plugin(tokio_stream::iter(messages)).await.unwrap();
    answer.into_inner().plugin.unwrap().id
}

/// A package that names the program where it is, so that laying it out takes no part in what is measured.
fn package() -> Vec<u8> {
    let manifest =
        json!({"id": "greeter", "author": "bench", "name": "Greeter", "command": greeter().to_str().unwrap()});
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("manifest.json", SimpleFileOptions::default()).unwrap();
    archive.write_all(manifest.to_string().as_bytes()).unwrap();
    archive.finish().unwrap().into_inner()
}
