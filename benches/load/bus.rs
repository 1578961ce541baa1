//! Messages: an event to many plugins, and a call to one, against WebSockets behind the same gRPC without anything in between.

use std::time::{Duration, Instant};

use plugd::api::{
    json::to_struct,
    v1::{CallPluginRequest, PublishEventRequest},
};
use serde_json::json;
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::sleep,
};

use crate::{
    bare::Client,
    external::{self, Connection},
    figures::{Goal, ROUNDS, Report, Rounds, ms},
    plugins::{register, register_many},
    server::{Bare, Bus, Plugd},
};

pub(crate) const EVENT: &str = "EventThreadPublished";
/// What an event and a call carry.
pub(crate) const TEXT: &str =
    "A thread of some words, as a forum has them: who wrote it, where it is, and what it is about.";

/// Plugins that an event goes to. The goal is about the most.
const PLUGINS: [usize; 3] = [10, 100, 500];
/// In which an event has certainly been heard.
const PAUSE: Duration = Duration::from_millis(500);
const EVENTS_A_ROUND: usize = 20;
const CALLS_A_ROUND: usize = 300;

pub(crate) async fn measure(report: &mut Report) {
    let (plugd, bare) = (Plugd::start(), Bare::start());
    call(&plugd, &bare, report).await;
    publish(&plugd, &bare, report).await;
}

/// All connections of one side, and what they hear.
struct Audience {
    connections: Vec<Connection>,
    heard: mpsc::UnboundedSender<()>,
    hears: UnboundedReceiver<()>,
}

impl Audience {
    fn new() -> Self {
        let (heard, hears) = mpsc::unbounded_channel();
        Self { connections: Vec::new(), heard, hears }
    }

    async fn join(&mut self, url: &str) {
        self.connections.push(external::dial(url, self.heard.clone()).await);
    }

    /// Forgets what is heard in a while.
    async fn forget(&mut self) {
        sleep(PAUSE).await;
        while self.hears.try_recv().is_ok() {}
    }

    async fn all_heard(&mut self) {
        for _ in 0..self.connections.len() {
            self.hears.recv().await.unwrap();
        }
    }
}

async fn publish(plugd: &Plugd, bare: &Bare, report: &mut Report) {
    let client = plugd.client().await;
    let (mut bus, mut bare_client) = (plugd.bus().await, bare.client().await);
    let (mut audience, mut bare_audience) = (Audience::new(), Audience::new());
    for count in PLUGINS {
        for plugin in register_many(&client, count - audience.connections.len()).await {
            audience.join(&external::url(plugd, &plugin)).await;
            bare_audience.join(&format!("ws://{}/hear", bare.address())).await;
        }
        accepted(&mut bus, count).await;
        audience.forget().await;
        let (mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default());
        for _ in 0..ROUNDS {
            of_plugd.add(publish_often(&mut bus, &mut audience).await);
            of_bare.add(bare_publish_often(&mut bare_client, &mut bare_audience).await);
        }
        let goals = [Goal::Times(1.5), Goal::Seen];
        report.times(&format!("an event until {count} plugins have it"), &of_plugd, ("bare fan-out", &of_bare), goals);
        report.grows("an event to all plugins", "ms", count, of_plugd.quantile(0.5).value);
    }
}

fn event() -> PublishEventRequest {
    let payload = to_struct(json!({"text": TEXT}).as_object().unwrap()).unwrap();
    PublishEventRequest { name: EVENT.to_owned(), payload: Some(payload) }
}

/// Publishes until so many plugins take it: they are all there.
async fn accepted(bus: &mut Bus, count: usize) {
    let mut accepted = 0;
    while accepted < count {
        sleep(PAUSE).await;
        let answer = bus.publish_event(event()).await.unwrap().into_inner();
        accepted = usize::try_from(answer.accepted).unwrap();
    }
}

async fn publish_often(bus: &mut Bus, audience: &mut Audience) -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..EVENTS_A_ROUND {
        let began = Instant::now();
        bus.publish_event(event()).await.unwrap();
        audience.all_heard().await;
        times.push(ms(began.elapsed()));
    }
    times
}

async fn bare_publish_often(client: &mut Client, audience: &mut Audience) -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..EVENTS_A_ROUND {
        let began = Instant::now();
        client.publish(event()).await;
        audience.all_heard().await;
        times.push(ms(began.elapsed()));
    }
    times
}

async fn call(plugd: &Plugd, bare: &Bare, report: &mut Report) {
    let mut client = plugd.client().await;
    let plugin = register(client.clone()).await;
    let _plugin = external::connect(plugd, &mut client, &plugin).await;
    let (heard, _hears) = mpsc::unbounded_channel();
    let _callee = external::dial(&format!("ws://{}/answer", bare.address()), heard).await;
    let (mut bus, mut bare_client) = (plugd.bus().await, bare.client().await);
    let params = to_struct(json!({"text": TEXT}).as_object().unwrap());
    let request =
        CallPluginRequest { plugin_id: plugin.id, method: "bench".to_owned(), params: params.ok(), timeout: None };
    let (mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        let (mut times, mut bare_times) = (Vec::new(), Vec::new());
        for _ in 0..CALLS_A_ROUND {
            let began = Instant::now();
            bus.call_plugin(request.clone()).await.unwrap();
            times.push(ms(began.elapsed()));
            let began = Instant::now();
            bare_client.call_plugin(request.clone()).await;
            bare_times.push(ms(began.elapsed()));
        }
        of_plugd.add(times);
        of_bare.add(bare_times);
    }
    let goals = [Goal::Above(0.05), Goal::Seen];
    report.times("a call to a plugin and back", &of_plugd, ("gRPC + WebSocket", &of_bare), goals);
}
