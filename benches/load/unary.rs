//! Unary calls, many in flight, against a server that answers the same message from memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use plugd::api::v1::{ActiveState, GetPluginRequest, ListPluginsRequest, ListPluginsResponse};
use tokio::task::JoinSet;

use crate::{
    bare::Client,
    figures::{Goal, ROUNDS, Report, Rounds, to_f64},
    plugins::{desire, install_many, register_many},
    server::{Bare, Plugd, Plugins},
};

const CONNECTIONS: usize = 8;
/// Calls in flight on each connection.
const IN_FLIGHT: usize = 32;
/// How long a round takes, and what goes before all of them.
const ROUND: Duration = Duration::from_millis(1500);
const WARM_UP: Duration = Duration::from_millis(500);

const PAGE: i32 = 50;
/// How many plugins there are: several pages.
const PLUGINS: usize = 200;
/// Plugins that calls join: few wait for the same one, or plugd would send them away.
const JOINED: usize = 64;

pub(crate) async fn measure(report: &mut Report) {
    let (plugd, bare) = (Plugd::start(), Bare::start());
    let client = plugd.client().await;
    let id = register_many(&client, PLUGINS).await.swap_remove(0).id;
    let page = list(client.clone(), PAGE).await;
    bare.client().await.keep(page).await;

    let (of_plugd, of_bare) = beside((&plugd, get(id.clone())), (&bare, bare_get(id))).await;
    report.median(("GetPlugin, 8 x 32 in flight", "/s"), &of_plugd, Some(("bare tonic", &of_bare)), Goal::Rate(0.9));
    let (of_plugd, of_bare) = beside((&plugd, get_page()), (&bare, bare_list())).await;
    report.median(("ListPlugins, page of 50", "/s"), &of_plugd, Some(("bare tonic", &of_bare)), Goal::Rate(0.9));

    let ids = install_many(&client, JOINED).await;
    let bare_join = bare_get(ids[0].clone());
    let (of_plugd, of_bare) = beside((&plugd, join(ids)), (&bare, bare_join)).await;
    report.median(("SetActiveState that joins", "/s"), &of_plugd, Some(("bare tonic", &of_bare)), Goal::Rate(0.6));
}

pub(crate) type Done = futures_util::future::BoxFuture<'static, ()>;

async fn list(mut client: Plugins, page_size: i32) -> ListPluginsResponse {
    let request = ListPluginsRequest { page_size, ..Default::default() };
    client.list_plugins(request).await.unwrap().into_inner()
}

/// Reads a plugin.
pub(crate) fn get(id: String) -> impl Fn(Plugins) -> Done + Clone {
    move |mut client| {
        let request = GetPluginRequest { plugin_id: id.clone(), view: 0 };
        Box::pin(async move { drop(client.get_plugin(request).await.unwrap()) })
    }
}

fn get_page() -> impl Fn(Plugins) -> Done + Clone {
    |client| Box::pin(async move { drop(list(client, PAGE).await) })
}

/// Desires what is desired already, and is so: of one plugin after the other.
fn join(ids: Vec<String>) -> impl Fn(Plugins) -> Done + Clone {
    let next = Arc::new(AtomicUsize::new(0));
    move |mut client| {
        let id = &ids[next.fetch_add(1, Ordering::Relaxed) % ids.len()];
        let request = desire(id, ActiveState::Inactive);
        Box::pin(async move { drop(client.set_active_state(request).await.unwrap()) })
    }
}

fn bare_get(id: String) -> impl Fn(Client) -> Done + Clone {
    move |mut client| {
        let id = id.clone();
        Box::pin(async move { drop(client.get(id).await) })
    }
}

fn bare_list() -> impl Fn(Client) -> Done + Clone {
    |mut client| Box::pin(async move { drop(client.list().await) })
}

/// Calls a second of both, in turn.
async fn beside(
    (plugd, call): (&Plugd, impl Fn(Plugins) -> Done + Clone + Send + 'static),
    (bare, bare_call): (&Bare, impl Fn(Client) -> Done + Clone + Send + 'static),
) -> (Rounds, Rounds) {
    let mut bare_clients = Vec::new();
    for _ in 0..CONNECTIONS {
        bare_clients.push(bare.client().await);
    }
    in_turn((clients(plugd).await, call), (bare_clients, bare_call)).await
}

/// Connections enough.
pub(crate) async fn clients(plugd: &Plugd) -> Vec<Plugins> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(plugd.client().await);
    }
    clients
}

/// Calls of these clients and of the others, in turn: how many a second.
pub(crate) async fn in_turn<C: Clone + Send + 'static, D: Clone + Send + 'static>(
    (clients, call): (Vec<C>, impl Fn(C) -> Done + Clone + Send + 'static),
    (others, other_call): (Vec<D>, impl Fn(D) -> Done + Clone + Send + 'static),
) -> (Rounds, Rounds) {
    rate(&clients, &call, WARM_UP).await;
    rate(&others, &other_call, WARM_UP).await;
    let (mut of_clients, mut of_others) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        of_clients.add(vec![rate(&clients, &call, ROUND).await]);
        of_others.add(vec![rate(&others, &other_call, ROUND).await]);
    }
    (of_clients, of_others)
}

async fn rate<C, F>(clients: &[C], call: &F, time: Duration) -> f64
where
    C: Clone + Send + 'static,
    F: Fn(C) -> Done + Clone + Send + 'static,
{
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for client in clients.iter().flat_map(|client| std::iter::repeat_n(client, IN_FLIGHT)) {
        let (client, call) = (client.clone(), call.clone());
        callers.spawn(async move {
            let mut count = 0;
            while began.elapsed() < time {
                call(client.clone()).await;
                count += 1;
            }
            count
        });
    }
    let count: usize = callers.join_all().await.into_iter().sum();
    to_f64(count) / began.elapsed().as_secs_f64()
}
