//! What a plugin goes through while a command waits for it, as remarks: a plugin that never connects takes minutes to fail.

use std::{pin::pin, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    Context,
    failure::Failure,
    follow::{Sink, follow},
    shape,
    ui::{Ui, sanitize},
};
use crate::api::v1::{Plugin, ReportedState, WatchStateRequest, WatchStateResponse, watch_state_response::Frame};

/// How long a command may be silent.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does this, and says what the plugin goes through if it takes long.
pub(super) async fn during<T>(context: &Context, plugin_id: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(PATIENCE, &mut work).await {
        return done;
    }
    tokio::select! {
        done = &mut work => done,
        () = narrate(context, plugin_id) => work.await,
    }
}

/// Says each state of the plugin. Ends when it can't be watched, as by one who may start it only.
async fn narrate(context: &Context, plugin_id: &str) {
    let request = WatchStateRequest { plugin_ids: vec![plugin_id.to_owned()], ..WatchStateRequest::default() };
    let mut narrator = Narrator { ui: &context.ui, said: String::new() };
    let _ = follow(&context.api, request, &mut narrator, &CancellationToken::new()).await;
}

struct Narrator<'a> {
    ui: &'a Ui,
    said: String,
}

impl Narrator<'_> {
    fn say(&mut self, plugin: &Plugin) {
        let Some(words) = words(plugin).filter(|words| *words != self.said) else { return };
        self.ui.note(&format!("{} {words}", sanitize(&plugin.name)));
        self.said = words;
    }
}

/// What a plugin is about; none when it is settled, which the command tells by itself.
fn words(plugin: &Plugin) -> Option<String> {
    let status = plugin.status.as_ref()?;
    let why = if status.message.is_empty() { String::new() } else { format!(": {}", sanitize(&status.message)) };
    let again = if status.restart_count == 0 { String::new() } else { format!(", restart {}", status.restart_count) };
    let state = shape::state(status.state());
    match status.state() {
        ReportedState::Starting | ReportedState::Connecting => Some(format!("is {state}{again}")),
        ReportedState::Stopping => Some(format!("is {state}{why}")),
        ReportedState::Restarting => Some(format!("is to be started again{again}{why}")),
        _ => None,
    }
}

impl Sink for Narrator<'_> {
    fn frame(&mut self, frame: WatchStateResponse) -> Result<(), Failure> {
        match frame.frame {
            Some(Frame::Snapshot(chunk)) => chunk.plugins.iter().for_each(|plugin| self.say(plugin)),
            Some(Frame::Events(batch)) => {
                batch.events.iter().filter_map(|event| event.plugin.as_ref()).for_each(|plugin| self.say(plugin));
            }
            _ => {}
        }
        Ok(())
    }

    fn lost(&mut self, _: &Status) {}

    fn broken(&mut self, _: &Status) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1::PluginStatus;

    #[test]
    fn a_transition_is_told_with_its_reason() {
        let said = |state: ReportedState, message: &str, restart_count| {
            let message = message.to_owned();
            let status = PluginStatus { state: state.into(), message, restart_count, ..PluginStatus::default() };
            words(&Plugin { status: Some(status), ..Plugin::default() })
        };
        let why = "did not connect within 30s";
        assert_eq!(said(ReportedState::Connecting, "", 0).unwrap(), "is connecting");
        assert_eq!(said(ReportedState::Connecting, why, 2).unwrap(), "is connecting, restart 2");
        assert_eq!(said(ReportedState::Stopping, why, 0).unwrap(), format!("is stopping: {why}"));
        assert_eq!(
            said(ReportedState::Restarting, why, 1).unwrap(),
            format!("is to be started again, restart 1: {why}")
        );
        assert_eq!(said(ReportedState::Error, why, 3), None);
    }
}
