//! Configurations: stored only once the plugin has accepted them (CONTRACT 3.13).

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{
    Handle, Slot,
    actor::{Amend, Call, ChangeOptions, Goal, check_generation},
    handle::ANSWER,
};
use crate::{
    domain::{Error, Plugin, PluginId, Reason, Result, State, change::DesiredChange, configuration},
    link::Session,
    telemetry::trace::Parent,
};

/// How long a plugin may take to accept a configuration (CONTRACT 11.3).
const CONFIGURE: Duration = Duration::from_secs(30);

/// A new configuration, and who wants it.
#[derive(Clone)]
pub struct NewConfiguration {
    pub values: Map<String, Value>,
    pub options: ChangeOptions,
}

impl Handle {
    /// Replaces the configuration of an active plugin.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `INVALID_CONFIGURATION`, `PLUGIN_NOT_CONNECTED`, `GENERATION_CONFLICT`,
    /// `CONFIGURATION_REJECTED`: nothing is stored then. `STORE_UNAVAILABLE`: it is not known whether it is.
    pub async fn update_configuration(&self, id: PluginId, new: NewConfiguration) -> Result<Arc<Plugin>> {
        let slot = self.slot(id)?;
        // Who gives up while others are asked leaves no trace.
        let turn = timeout(CONFIGURE, slot.configuring.clone().lock_owned()).await;
        let turn = turn.map_err(|_| Error::new(Reason::TooBusy, "another configuration is still being set"))?;
        let handle = self.clone();
        // From here on, what the plugin accepts is stored also when the caller goes away in between.
        let update = tokio::spawn(async move {
            let _turn = turn;
            handle.configure(&slot, id, new).await
        });
        update.await.unwrap_or_else(|_| Err(Error::new(Reason::Internal, "the update of the configuration failed")))
    }

    async fn configure(&self, slot: &Arc<Slot>, id: PluginId, new: NewConfiguration) -> Result<Arc<Plugin>> {
        let plugin = self.get(id)?;
        configuration::check(plugin.desired.manifest.configuration_schema.as_ref(), &new.values)?;
        check_generation(&plugin, new.options.if_generation)?;
        let session = connected(slot, &plugin)?;
        push(slot, &session, (&plugin, &new.values), new.options.parent).await?;
        let NewConfiguration { values, options, .. } = new;
        let change = DesiredChange::Configure(Arc::new(values));
        // Should it not be stored, the plugin's actor gives it back what is.
        let configured = Some(session.id());
        let amend = |reply| Call::Amend(Amend { change, goal: Goal::Settled, options, configured, reply });
        let committed = self.call(slot, id, ANSWER, amend).await;
        if committed.as_ref().is_err_and(|error| error.reason == Reason::TooBusy) {
            // The actor was never asked.
            tokio::spawn(give_stored(Arc::clone(slot), session));
        }
        self.settled(committed?, None).await
    }
}

/// Gives a connected plugin the configuration that is stored: not beside a new one that it is being asked to accept, and
/// the one that is stored then.
pub(super) async fn give_stored(slot: Arc<Slot>, session: Session) {
    let _turn = slot.configuring.lock().await;
    let Some(plugin) = slot.plugin() else { return };
    if let Err(error) = push(&slot, &session, (&plugin, &plugin.desired.configuration), None).await {
        tracing::warn!(plugin = %plugin.id, %error, "the plugin keeps another configuration than the stored one");
    }
}

fn connected(slot: &Slot, plugin: &Plugin) -> Result<Session> {
    let session = slot.session().filter(|_| plugin.reported.state == State::Active);
    session.ok_or_else(|| {
        let message = "the plugin must be active and connected to accept a configuration";
        Error::new(Reason::PluginNotConnected, message).with("plugin_id", plugin.id)
    })
}

async fn push(
    slot: &Slot,
    session: &Session,
    (plugin, values): (&Plugin, &Map<String, Value>),
    parent: Option<Parent>,
) -> Result<()> {
    let rejected = |why: String| Error::new(Reason::ConfigurationRejected, why).with("plugin_id", plugin.id);
    match slot.call(session, ("configure", values.clone()), CONFIGURE, parent).await {
        Ok(answer) if answer.get("ok") == Some(&Value::Bool(true)) => Ok(()),
        Ok(_) => Err(rejected("the plugin did not accept the configuration".to_owned())),
        Err(error) => Err(rejected(format!("the configuration did not get through: {error}"))),
    }
}
