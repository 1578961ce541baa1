use jiff::Timestamp;
use serde_json::json;
use tokio::time::{Instant, advance};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic_types::StatusExt;

use super::*;
use crate::{
    api::v1::serve_host_request::{Register, Reply, reply::Outcome},
    domain::{ActiveState, Desired, Mode, Plugin, PluginId, Reported, RunId},
};

const RUN: RunId = RunId::from_bytes([7; 12]);
const LONG: Duration = Duration::from_secs(600);

fn mk_plugin() -> Arc<Plugin> {
    let created = Timestamp::now();
    let manifest = json!({"id": "greeter", "author": "me", "name": "Greeter", "description": "", "version": "1.0"});
    let manifest = Arc::new(serde_json::from_value(manifest).unwrap());
    let desired = Desired { token_epoch: 1, ..Desired::new(Mode::External, manifest, ActiveState::Active) };
    let reported = Reported::inactive(created, 1);
    Arc::new(Plugin {
        id: PluginId::from(xid::new()),
        created,
        installed: 1,
        desired,
        reported,
        revision: 1,
        request: None,
    })
}

/// An application that serves everything and reads nothing by itself.
struct Application {
    hosts: Arc<Hosts>,
    says: mpsc::UnboundedSender<Result<ServeHostRequest, Status>>,
    hears: mpsc::Receiver<Result<ServeHostResponse, Status>>,
    served: tokio::task::JoinHandle<Result<(), Status>>,
}

impl Application {
    /// It has been told one thing, that it is registered; there is no room for another.
    async fn register() -> Self {
        let hosts = Arc::new(Hosts::default());
        let (says, messages) = mpsc::unbounded_channel();
        let (sender, hears) = mpsc::channel(1);
        let serving = hosts.clone();
        let served =
            tokio::spawn(async move { serve(&serving, UnboundedReceiverStream::new(messages), &sender).await });
        let application = Self { hosts, says, hears, served };
        application.say(asked::Message::Register(Register { methods: vec!["*".to_owned()] }));
        while application.hears.is_empty() {
            tokio::task::yield_now().await;
        }
        application
    }

    fn say(&self, message: asked::Message) {
        self.says.send(Ok(ServeHostRequest { message: Some(message) })).unwrap();
    }

    async fn call(&self) -> Result<Map<String, serde_json::Value>, RpcError> {
        self.hosts.call((mk_plugin(), RUN, None), ("greet", Map::new()), LONG).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_that_does_not_read_is_no_longer_called_and_its_calls_fail_at_once() {
    let application = Application::register().await;
    let begun = Instant::now();
    let failure = application.call().await.unwrap_err();
    assert!(failure.message.contains("went away"), "{failure}");
    assert!(begun.elapsed() < UNREAD * 2, "{:?}", begun.elapsed());
    assert!(!application.hosts.serves("greet"));
    let refusal = application.served.await.unwrap().unwrap_err();
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "TOO_BUSY");
}

#[tokio::test(start_paused = true)]
async fn an_application_that_is_slow_to_read_is_still_heard() {
    let mut application = Application::register().await;
    application.hears.recv().await.unwrap().unwrap();
    let (hosts, plugin) = (application.hosts.clone(), mk_plugin());
    let called =
        tokio::spawn(async move { hosts.call((plugin, RUN, None), ("greet", Map::new()), LONG).await.unwrap() });
    let call = loop {
        if let Ok(message) = application.hears.try_recv() {
            break message.unwrap();
        }
        tokio::task::yield_now().await;
    };
    let Some(told::Message::Call(told::Call { call_id, .. })) = call.message else { panic!("no call: {call:?}") };
    // Two more calls: the second of them finds no room.
    let (_first, _second) = (application.spawn_call(), application.spawn_call());
    tokio::task::yield_now().await;
    advance(UNREAD / 2).await;
    application.say(asked::Message::Reply(Reply { call_id, outcome: Some(Outcome::Result(Default::default())) }));
    assert_eq!(tokio::time::timeout(UNREAD / 4, called).await.unwrap().unwrap(), Ok(Map::new()));
}

impl Application {
    fn spawn_call(&self) -> tokio::task::JoinHandle<()> {
        let hosts = self.hosts.clone();
        tokio::spawn(async move {
            let _ = hosts.call((mk_plugin(), RUN, None), ("greet", Map::new()), LONG).await;
        })
    }
}

#[test]
fn a_call_says_which_run_it_is_of_and_what_the_manifest_asks_for() {
    let mut plugin = Plugin::clone(&mk_plugin());
    let call = |plugin: Plugin| {
        let (plugin, timeout) = (Arc::new(plugin), LONG);
        let (id, method, params) = ("c".into(), "access_get".into(), Map::new());
        let call = HostCall { id, plugin, run: RUN, method, params, timeout, parent: None };
        let told::Message::Call(call) = announce(HostEvent::Call(call)) else { panic!("not a call") };
        (call.run_id, call.access)
    };
    assert_eq!(call(plugin.clone()), (RUN.to_string(), None));
    let access = json!({
        "handle": "bot", "name": "Bot", "permissions": ["USE_ROBOTS"], "bio": "I greet.",
        "links": [{"text": "home", "url": "http://h"}], "metadata": {"a": [1]},
    });
    let mut manifest = serde_json::to_value(&*plugin.desired.manifest).unwrap();
    manifest["access"] = access.clone();
    plugin.desired.manifest = Arc::new(serde_json::from_value(manifest).unwrap());
    let asked = call(plugin).1.unwrap();
    assert_eq!((&*asked.handle, &*asked.name, asked.bio.as_deref()), ("bot", "Bot", Some("I greet.")));
    assert_eq!((asked.permissions, &*asked.links[0].text), (vec!["USE_ROBOTS".to_owned()], "home"));
    assert_eq!(asked.links[0].url, "http://h");
    assert_eq!(crate::api::json::from_struct(&asked.metadata.unwrap())["a"], json!([1]));
}
