//! Unary calls: reading one plugin, against an echo of the same bytes.

use std::time::{Duration, Instant};

use plugd::api::v1::{GetPluginRequest, Plugin};
use tokio::task::JoinSet;

use crate::{
    bare,
    figures::{Report, Samples},
    server::{Bare, Plugd},
    watch::register,
};

/// Calls one after the other, after as many to warm up.
const CALLS: usize = 2_000;
/// Clients at once, each with a connection.
const CLIENTS: usize = 50;
/// Calls of each of those.
const CALLS_OF_EACH: usize = 200;

pub(crate) async fn measure(plugd: &Plugd, bare: &Bare, report: &mut Report) {
    let plugin = register(&mut plugd.client().await).await;
    let of_plugd = one_by_one(async || reader(plugd, &plugin).await).await;
    let of_bare = one_by_one(async || echoer(bare, &plugin).await).await;
    report.times("GetPlugin, one client", &of_plugd, &of_bare);
    let of_plugd = all_at_once(async || reader(plugd, &plugin).await).await;
    let of_bare = all_at_once(async || echoer(bare, &plugin).await).await;
    report.rates(&format!("GetPlugin, {CLIENTS} clients at once"), of_plugd, of_bare);
}

/// A client that makes one call after the other.
trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = ()> + Send;
}

struct Reader(crate::server::Plugins, String);

impl Caller for Reader {
    async fn call(&mut self) {
        self.0.get_plugin(GetPluginRequest { plugin_id: self.1.clone(), view: 0 }).await.unwrap();
    }
}

struct Echoer(tonic::client::Grpc<tonic::transport::Channel>, Plugin);

impl Caller for Echoer {
    async fn call(&mut self) {
        bare::echo(&mut self.0, self.1.clone()).await;
    }
}

async fn reader(plugd: &Plugd, plugin: &Plugin) -> Reader {
    Reader(plugd.client().await, plugin.id.clone())
}

async fn echoer(bare: &Bare, plugin: &Plugin) -> Echoer {
    Echoer(tonic::client::Grpc::new(bare.channel().await), plugin.clone())
}

async fn one_by_one<C: Caller>(mk_caller: impl AsyncFn() -> C) -> Samples {
    let mut caller = mk_caller().await;
    for _ in 0..CALLS {
        caller.call().await;
    }
    let mut rounds = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let began = Instant::now();
        caller.call().await;
        rounds.push(began.elapsed());
    }
    Samples::new(rounds)
}

/// Calls a second.
async fn all_at_once<C: Caller>(mk_caller: impl AsyncFn() -> C) -> f64 {
    let mut callers = Vec::new();
    for _ in 0..CLIENTS {
        let mut caller = mk_caller().await;
        caller.call().await;
        callers.push(caller);
    }
    let began = Instant::now();
    let clients: JoinSet<()> = callers.into_iter().map(call_often).collect();
    clients.join_all().await;
    per_second(CLIENTS * CALLS_OF_EACH, began.elapsed())
}

async fn call_often<C: Caller>(mut caller: C) {
    for _ in 0..CALLS_OF_EACH {
        caller.call().await;
    }
}

fn per_second(count: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = count as f64;
    count / time.as_secs_f64()
}
