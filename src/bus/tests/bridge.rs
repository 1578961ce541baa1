//! What plugins ask, and who answers (CONTRACT 11.4).

use std::collections::HashSet;

use super::*;
use crate::{
    bus::{Bridge, HostCall, HostEvent, Hosts},
    domain::RunId,
    link::{Caller, Host, RpcError},
    supervisor::NewConfiguration,
};

/// A bridge, its applications and a plugin that calls.
pub(crate) struct Fixture {
    world: World,
    hosts: Arc<Hosts>,
    host: Arc<dyn Host>,
    pub(crate) plugin: Arc<Plugin>,
}

/// Whoever calls from this plugin.
pub(crate) fn mk_caller(plugin: &Plugin, user_agent: &str) -> Caller {
    let (session, request_id) = (1, "0000000000000000000V".to_owned());
    let run = RunId::from_bytes([7; 12]);
    Caller { plugin: plugin.id, run, user_agent: user_agent.to_owned(), session, request_id, parent: None }
}

impl Fixture {
    async fn new(manifest: Value) -> Self {
        Self::with(manifest, |bridge| Arc::new(bridge)).await
    }

    /// The same with what is made of the bridge.
    pub(crate) async fn with(manifest: Value, host: impl FnOnce(Bridge) -> Arc<dyn Host>) -> Self {
        let world = mk_world().await;
        let plugin = register(&world, "caller", manifest).await;
        let hosts = Arc::new(Hosts::default());
        let host = host(Bridge::new(world.handle.projection().clone(), hosts.clone()));
        Self { world, hosts, host, plugin }
    }

    pub(crate) async fn call(&self, user_agent: &str, method: &str, params: Value) -> Result<Value, RpcError> {
        self.host.call(mk_caller(&self.plugin, user_agent), method.to_owned(), params).await
    }

    /// An application that serves these methods.
    pub(crate) fn serve(
        &self,
        methods: &[&str],
        answer: impl Fn(&HostCall) -> Result<Value, RpcError> + Send + 'static,
    ) {
        let methods: HashSet<_> = methods.iter().map(|method| (*method).to_owned()).collect();
        let (id, mut events) = self.hosts.register(methods);
        let hosts = self.hosts.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let HostEvent::Call(call) = event.item {
                    hosts.answer(id, &call.id, answer(&call).map(object));
                }
            }
        });
    }

    async fn configure(&self, values: Value) {
        let peer = dial(&self.world, &self.plugin).await;
        tokio::spawn(peer.answer_all(|_| Ok(json!({"ok": true}))));
        let new = NewConfiguration { values: object(values), options: "test".into() };
        self.world.handle.update_configuration(self.plugin.id, new).await.unwrap();
    }

    pub(crate) async fn close(self) {
        self.world.shut_down().await;
    }
}

/// CONTRACT 11.4.
#[tokio::test(start_paused = true)]
async fn get_config_is_all_that_is_stored_or_those_of_the_keys_that_exist() {
    let fixture = Fixture::new(json!({})).await;
    let empty = fixture.call("", "get_config", Value::Null).await.unwrap();
    assert_eq!(empty, json!({"method": "get_config", "config": {}}));
    fixture.configure(json!({"greeting": "hi", "count": 2, "odd": null})).await;
    for (params, config) in [
        (json!(null), json!({"greeting": "hi", "count": 2, "odd": null})),
        (json!({}), json!({"greeting": "hi", "count": 2, "odd": null})),
        (json!({"keys": []}), json!({"greeting": "hi", "count": 2, "odd": null})),
        (json!({"keys": null}), json!({"greeting": "hi", "count": 2, "odd": null})),
        (json!({"keys": ["count", "unknown", "odd"]}), json!({"count": 2, "odd": null})),
        (json!({"keys": ["unknown"]}), json!({})),
    ] {
        let answer = fixture.call("", "get_config", params.clone()).await.unwrap();
        assert_eq!(answer, json!({"method": "get_config", "config": config}), "{params}");
    }
    for params in [json!({"keys": "count"}), json!({"keys": [1]}), json!([]), json!("x")] {
        let error = fixture.call("", "get_config", params.clone()).await.unwrap_err();
        assert_eq!(error.code, RpcError::INVALID_PARAMS, "{params}");
    }
    fixture.close().await;
}

/// plugd answers it itself, whatever an application claims to serve.
#[tokio::test(start_paused = true)]
async fn no_application_is_asked_for_get_config() {
    let fixture = Fixture::new(json!({})).await;
    fixture.serve(&["get_config", "*"], |_| panic!("asked"));
    assert!(fixture.call("", "get_config", json!({})).await.is_ok());
    fixture.close().await;
}

/// CONTRACT 19, row 12.
#[tokio::test(start_paused = true)]
async fn a_method_that_nobody_serves_is_32601_and_says_how_it_could_be_served() {
    let fixture = Fixture::new(json!({})).await;
    let error = fixture.call("", "invented", json!({})).await.unwrap_err();
    assert_eq!(error.code, RpcError::METHOD_NOT_FOUND);
    assert!(error.message.contains("\"invented\"") && error.message.contains("ServeHost"), "{}", error.message);
    fixture.close().await;
}

/// plugd's own decision: any other name goes to the application that serves it.
#[tokio::test(start_paused = true)]
async fn an_application_answers_methods_of_its_own_and_its_errors_keep_their_code() {
    let fixture = Fixture::new(json!({})).await;
    fixture.serve(&["*"], |call| match &*call.method {
        "sum" => Ok(json!({"sum": call.params["a"].as_i64().unwrap() + 1})),
        _ => Err(RpcError { code: 17, message: "not this".to_owned() }),
    });
    assert_eq!(fixture.call("", "sum", json!({"a": 1})).await.unwrap(), json!({"sum": 2}));
    let error = fixture.call("", "other", json!({})).await.unwrap_err();
    assert_eq!(error, RpcError { code: 17, message: "not this".to_owned() });
    fixture.close().await;
}

/// A deleted plugin is not served.
#[tokio::test(start_paused = true)]
async fn a_plugin_that_is_deleted_meanwhile_gets_no_answer_but_an_error() {
    let fixture = Fixture::new(json!({})).await;
    fixture.world.handle.delete(fixture.plugin.id, "test").await.unwrap();
    assert_eq!(fixture.call("", "get_config", json!({})).await.unwrap_err().code, RpcError::FAILED);
    fixture.close().await;
}

/// What is nested too deep for an application's reader must not reach it: it would end its stream.
#[tokio::test(start_paused = true)]
async fn params_that_no_application_could_read_are_refused() {
    let fixture = Fixture::new(json!({})).await;
    fixture.serve(&["*"], |_| Ok(json!({})));
    let deep = (0..40).fold(json!({}), |inner, _| json!({"a": inner}));
    let error = fixture.call("Go", "anything", deep).await.unwrap_err();
    assert_eq!(error.code, RpcError::INVALID_PARAMS);
    assert!(fixture.call("Go", "anything", json!({"a": {"b": 1}})).await.is_ok());
}
