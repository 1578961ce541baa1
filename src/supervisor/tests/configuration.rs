//! Configurations: what is refused, what is stored, what a plugin is told (CONTRACT 3.13).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::*;
use crate::{
    domain::{Plugin, Reason, Result, State, change::DesiredChange},
    link::{Acceptor, Handshake, RpcError, Session, fake::FakePeer},
    supervisor::{
        ChangeOptions, NewConfiguration,
        actor::{Amend, Call, Goal},
        registry::INBOX,
    },
};

/// An external plugin with a schema.
struct Office {
    world: World,
    plugin: Arc<Plugin>,
}

impl Office {
    async fn new() -> Self {
        let world = World::new(Behaviour::Hangs).await;
        let fields = json!([
            {"type": "string", "id": "greeting"}, {"type": "number", "id": "count"}, {"type": "boolean", "id": "loud"},
        ]);
        let manifest =
            json!({"id": "office", "author": "a", "name": "Office", "configuration_schema": {"fields": fields}});
        let plugin = world.handle.register_external(serde_json::from_value(manifest).unwrap(), None).await.unwrap();
        Self { world, plugin }
    }

    async fn dial(&self) -> FakePeer {
        let token = self.plugin.desired.token.as_ref().unwrap().expose().to_owned();
        let handshake = Handshake { plugin_id: None, token, user_agent: String::new() };
        let authenticated = self.world.handle.authenticate(handshake).await.unwrap();
        let (session, peer) = Session::channel("");
        self.world.handle.attach(authenticated, session).await.unwrap();
        let mut records = self.world.handle.slot(self.plugin.id).unwrap().subscribe();
        records.wait_for(|plugin| plugin.as_ref().is_some_and(|p| p.reported.state == State::Active)).await.unwrap();
        peer
    }

    /// Connects, and answers every call like this.
    async fn answering(&self, answer: impl Fn() -> std::result::Result<Value, RpcError> + Send + 'static) {
        let peer = self.dial().await;
        tokio::spawn(peer.answer_all(move |_| answer()));
    }

    async fn update(&self, values: Value, if_generation: Option<u64>) -> Result<Arc<Plugin>> {
        let values = values.as_object().unwrap().clone();
        let new = NewConfiguration { values, options: ChangeOptions { if_generation, .."test".into() } };
        self.world.handle.update_configuration(self.plugin.id, new).await
    }

    fn stored(&self) -> (Value, u64) {
        let desired = self.world.handle.get(self.plugin.id).unwrap().desired.clone();
        (Value::Object(desired.configuration.as_ref().clone()), desired.configuration_revision)
    }
}

fn ok() -> std::result::Result<Value, RpcError> {
    Ok(json!({"method": "configure", "ok": true}))
}

/// CONTRACT 3.13, step 2: each declared field that does not fit, `null` included; before anybody is asked.
#[tokio::test(start_paused = true)]
async fn values_of_another_type_are_refused_by_field_even_without_a_connection() {
    let office = Office::new().await;
    let error =
        office.update(json!({"greeting": null, "count": "2", "loud": 1, "other": null}), None).await.unwrap_err();
    assert_eq!(error.reason, Reason::InvalidConfiguration);
    let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["configuration.greeting", "configuration.count", "configuration.loud"]);
    assert!(error.message.starts_with("Field \"greeting\" must be a string value.\n"), "{}", error.message);
    assert_eq!(office.stored(), (json!({}), 0));
    office.world.shut_down().await;
}

/// CONTRACT 3.13: replaces, does not merge; unknown keys are kept, no defaults are filled in.
#[tokio::test(start_paused = true)]
async fn what_the_plugin_accepts_is_stored_as_it_is_in_place_of_what_was() {
    let office = Office::new().await;
    let mut peer = office.dial().await;
    for (turn, values) in
        [json!({"greeting": "hi", "count": 2}), json!({"own": {"deep": [null]}}), json!({})].iter().enumerate()
    {
        let accept = async {
            let call = peer.next().await.unwrap();
            assert_eq!((call.method.as_str(), &call.params), ("configure", values));
            assert_eq!(office.stored().1, u64::try_from(turn).unwrap(), "stored before the plugin accepted it");
            peer.answer(&call.id, ok());
        };
        let (plugin, ()) = tokio::join!(office.update(values.clone(), None), accept);
        assert_eq!(plugin.unwrap().desired.configuration_revision, u64::try_from(turn + 1).unwrap());
        assert_eq!(office.stored().0, *values);
    }
    office.world.shut_down().await;
}

/// CONTRACT 3.13, step 3.
#[tokio::test(start_paused = true)]
async fn without_a_connection_nothing_is_accepted() {
    let office = Office::new().await;
    assert_eq!(office.update(json!({}), None).await.unwrap_err().reason, Reason::PluginNotConnected);
    let supervised = NewConfiguration { values: serde_json::Map::new(), options: "".into() };
    let error = office.world.handle.update_configuration(office.world.id, supervised).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginNotConnected, "one that is inactive");
    office.world.shut_down().await;
}

/// CONTRACT 3.13, step 4: JSON-RPC error, `ok: false`, undecodable reply, and a reply without `ok`.
#[tokio::test(start_paused = true)]
async fn whatever_is_not_a_yes_is_a_no_and_nothing_is_stored() {
    let answers = [
        Ok(json!({"method": "configure", "ok": false})),
        Ok(json!({"method": "configure", "ok": "true"})),
        Ok(json!({"method": "configure"})),
        Ok(json!("yes")),
        Err(RpcError::failed("raised")),
    ];
    for answer in answers {
        let office = Office::new().await;
        let described = format!("{answer:?}");
        office.answering(move || answer.clone()).await;
        let error = office.update(json!({"greeting": "hi"}), None).await.unwrap_err();
        assert_eq!(error.reason, Reason::ConfigurationRejected, "{described}");
        assert_eq!(office.stored(), (json!({}), 0), "{described}");
        office.world.shut_down().await;
    }
}

/// CONTRACT 3.13, step 4: at most 30 s; a lost connection ends it at once.
#[tokio::test(start_paused = true)]
async fn a_plugin_that_does_not_answer_has_30_s_and_one_that_hangs_up_none() {
    let office = Office::new().await;
    let mut peer = office.dial().await;
    let began = Instant::now();
    let silence = office.update(json!({}), None).await.unwrap_err();
    assert_eq!((silence.reason, began.elapsed()), (Reason::ConfigurationRejected, Duration::from_secs(30)));
    let hang_up = async {
        peer.next().await.unwrap();
        peer.next().await.unwrap();
        drop(peer);
    };
    let (answer, ()) = tokio::join!(office.update(json!({}), None), hang_up);
    assert_eq!((answer.unwrap_err().reason, began.elapsed().as_secs()), (Reason::ConfigurationRejected, 30));
    assert_eq!(office.stored(), (json!({}), 0));
    office.world.shut_down().await;
}

/// A caller that read an older configuration changes nothing, and the plugin is not asked.
#[tokio::test(start_paused = true)]
async fn an_expected_generation_that_is_another_by_now_is_a_conflict() {
    let office = Office::new().await;
    office.answering(ok).await;
    office.update(json!({"greeting": "one"}), Some(1)).await.unwrap();
    let error = office.update(json!({"greeting": "two"}), Some(1)).await.unwrap_err();
    assert_eq!((error.reason, &*error.metadata["actual"]), (Reason::GenerationConflict, "2"));
    office.update(json!({"greeting": "two"}), Some(2)).await.unwrap();
    assert_eq!(office.stored(), (json!({"greeting": "two"}), 2));
    office.world.shut_down().await;
}

/// Of two that expect the same generation one wins: they are asked one after the other.
#[tokio::test(start_paused = true)]
async fn of_two_updates_at_once_that_expect_the_same_generation_one_wins() {
    let office = Office::new().await;
    office.answering(ok).await;
    let (one, two) = tokio::join!(
        office.update(json!({"greeting": "one"}), Some(1)),
        office.update(json!({"greeting": "two"}), Some(1)),
    );
    let lost = one.err().or(two.err()).expect("both were stored");
    assert_eq!((lost.reason, office.stored().1), (Reason::GenerationConflict, 1));
    office.world.shut_down().await;
}

/// What the plugin has accepted must not be lost because the caller has gone.
#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_part_the_plugin_from_the_store() {
    let office = Office::new().await;
    let mut peer = office.dial().await;
    tokio::select! {
        _ = office.update(json!({"greeting": "hi"}), None) => panic!("nobody accepted it"),
        call = peer.next() => peer.answer(&call.unwrap().id, ok()),
    }
    let mut records = office.world.handle.slot(office.plugin.id).unwrap().subscribe();
    records.wait_for(|p| p.as_ref().is_some_and(|p| p.desired.configuration_revision == 1)).await.unwrap();
    office.world.shut_down().await;
}

/// The caller is told when the store did not take what the plugin accepted.
#[tokio::test(start_paused = true)]
async fn an_acceptance_that_can_not_be_stored_is_an_error() {
    let office = Office::new().await;
    office.answering(ok).await;
    office.world.store.is_away.store(true, Ordering::SeqCst);
    assert_eq!(office.update(json!({}), None).await.unwrap_err().reason, Reason::StoreUnavailable);
    office.world.store.is_away.store(false, Ordering::SeqCst);
    office.update(json!({"greeting": "hi"}), Some(1)).await.unwrap();
    office.world.shut_down().await;
}

/// Hears this many configurations and accepts them.
async fn heard(peer: &mut FakePeer, count: usize) -> Vec<Value> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let call = tokio::time::timeout(Duration::from_secs(60), peer.next()).await.expect("nothing was said").unwrap();
        peer.answer(&call.id, ok());
        heard.push(call.params);
    }
    heard
}

/// What a plugin runs with must not be what is stored nowhere: it gets back what is, and be that nothing.
#[tokio::test(start_paused = true)]
async fn what_the_store_did_not_take_is_taken_back_from_the_plugin() {
    let office = Office::new().await;
    let mut peer = office.dial().await;
    for stored in [json!({}), json!({"greeting": "stored"})] {
        office.world.store.is_away.store(true, Ordering::SeqCst);
        let (refused, heard_then) = tokio::join!(office.update(json!({"greeting": "new"}), None), heard(&mut peer, 2));
        assert_eq!(refused.unwrap_err().reason, Reason::StoreUnavailable);
        assert_eq!(heard_then, [json!({"greeting": "new"}), stored]);
        office.world.store.is_away.store(false, Ordering::SeqCst);
        let next = office.update(json!({"greeting": "stored"}), None);
        tokio::join!(next, heard(&mut peer, 1)).0.unwrap();
    }
    office.world.shut_down().await;
}

/// Another change came first, or the plugin is being deleted.
#[tokio::test(start_paused = true)]
async fn what_is_refused_after_the_plugin_accepted_it_is_taken_back_from_the_plugin() {
    let office = Office::new().await;
    let mut peer = office.dial().await;
    let slot = office.world.handle.slot(office.plugin.id).unwrap();
    let amend = |reply| {
        let change = DesiredChange::Configure(Arc::default());
        let options = ChangeOptions { if_generation: Some(99), .."test".into() };
        let configured = slot.session().map(|session| session.id());
        Call::Amend(Amend { change, goal: Goal::Settled, options, configured, reply })
    };
    let call = office.world.handle.call(&slot, office.plugin.id, Duration::from_secs(30), amend);
    let (refused, heard_then) = tokio::join!(call, heard(&mut peer, 1));
    assert_eq!(refused.unwrap_err().reason, Reason::GenerationConflict);
    assert_eq!(heard_then, [json!({})]);
    office.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_there_is_no_room_to_ask_for_is_taken_back_from_the_plugin() {
    let office = Office::new().await;
    let mut peer = office.dial().await;
    office.world.store.hangs.store(true, Ordering::SeqCst);
    // The actor takes one of them; then the queue is filled again.
    for _ in 0..2 {
        for _ in 0..INBOX {
            let (handle, id) = (office.world.handle.clone(), office.plugin.id);
            tokio::spawn(async move { handle.rotate_token(id, "test").await });
        }
        // Long enough for all to be asked, and no time at all: the clock stands still.
        for _ in 0..INBOX {
            tokio::task::yield_now().await;
        }
    }
    let (refused, heard_then) = tokio::join!(office.update(json!({"greeting": "new"}), None), heard(&mut peer, 2));
    assert_eq!(refused.unwrap_err().reason, Reason::TooBusy);
    assert_eq!(heard_then, [json!({"greeting": "new"}), json!({})]);
    office.world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_was_stored_after_all_is_what_the_plugin_runs_with() {
    let office = Office::new().await;
    let mut peer = office.dial().await;
    let new = json!({"greeting": "new"});
    office.world.store.begin_to_doubt();
    let (refused, heard_then) = tokio::join!(office.update(new.clone(), None), heard(&mut peer, 2));
    assert_eq!(refused.unwrap_err().reason, Reason::StoreUnavailable);
    assert_eq!(heard_then, [new.clone(), json!({})]);
    office.world.store.find_out();
    assert_eq!(heard(&mut peer, 1).await[0], new);
    assert_eq!(office.stored(), (new, 1));
    office.world.shut_down().await;
}

/// It may have asked for its configuration before the new one was stored.
#[tokio::test(start_paused = true)]
async fn a_connection_made_before_a_configuration_is_stored_is_given_that() {
    let office = Office::new().await;
    let mut first = office.dial().await;
    let new = json!({"greeting": "new"});
    let successor = async {
        let call = first.next().await.unwrap();
        // It says yes while it is replaced: the second takes over once the first has not answered a ping.
        let dialled = async {
            let second = office.dial().await;
            first.answer(&call.id, ok());
            second
        };
        heard(&mut dialled.await, 1).await
    };
    let (stored, told) = tokio::join!(office.update(new.clone(), None), successor);
    stored.unwrap();
    assert_eq!(told, [new]);
    office.world.shut_down().await;
}

/// plugd's own decision: what connects asks for it, so that a `configure` is always a change.
#[tokio::test(start_paused = true)]
async fn a_new_connection_is_not_given_the_stored_configuration() {
    let office = Office::new().await;
    let mut first = office.dial().await;
    let accept = async {
        let call = first.next().await.unwrap();
        first.answer(&call.id, ok());
    };
    let (stored, ()) = tokio::join!(office.update(json!({"greeting": "hi"}), None), accept);
    stored.unwrap();
    office.world.handle.update_manifest(office.plugin.id, mk_manifest(), "test").await.unwrap();
    let mut second = office.dial().await;
    let pushed = tokio::time::timeout(Duration::from_secs(60), second.next()).await;
    assert!(pushed.is_err(), "it was told {pushed:?}");
    office.world.shut_down().await;
}
