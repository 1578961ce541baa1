//! One change of one plugin, for people and for programs.

use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::{
    api::v1::{ActiveState, Cursor, Plugin, ReportedState},
    cli::{
        shape,
        ui::{Style, Ui, sanitize},
    },
};

/// One change of one plugin.
pub(super) struct Change<'a> {
    /// What kind of change it is.
    pub(super) kind: &'static str,
    /// Its place in the order.
    pub(super) revision: u64,
    /// When it was committed.
    pub(super) time: Option<Timestamp>,
    /// The plugin before it, if it was seen then.
    pub(super) before: Option<&'a Plugin>,
    /// The plugin after it.
    pub(super) plugin: &'a Plugin,
}

impl<'a> Change<'a> {
    /// A plugin as a snapshot has it.
    pub(super) fn seen(plugin: &'a Plugin, before: Option<&'a Plugin>) -> Self {
        let since = plugin.status.as_ref().and_then(|status| status.since);
        Self { kind: "snapshot", revision: plugin.revision, time: since, before, plugin }
    }

    /// A plugin that a snapshot no longer has.
    pub(super) fn gone(plugin: &'a Plugin) -> Self {
        Self { kind: "removed", revision: plugin.revision, time: None, before: None, plugin }
    }

    /// For programs.
    pub(super) fn json(&self, cursor: &Cursor) -> Value {
        json!({
            "kind": self.kind,
            "cursor": format!("{}:{}", cursor.epoch, cursor.revision),
            "revision": self.revision,
            "time": shape::time(self.time.as_ref()),
            "plugin_id": self.plugin.id,
            "previous_state": self.before.map(shape::state_of).map(shape::state),
            "what": self.what(),
            "plugin": shape::plugin(self.plugin),
        })
    }

    /// Is there something to tell? A plugin that only took note of what it was asked for looks as before.
    #[must_use]
    pub(super) fn is_visible(&self) -> bool {
        let Some(before) = self.before.filter(|_| self.kind == "changed") else { return true };
        let (was, is) = (shape::state_of(before), shape::state_of(self.plugin));
        let message = |plugin: &Plugin| plugin.status.as_ref().map(|status| status.message.clone());
        was != is
            || before.name != self.plugin.name
            || message(before) != message(self.plugin)
            || !self.remarks().is_empty()
            || before.generation != self.plugin.generation
    }

    /// For people.
    pub(super) fn line(&self, ui: &Ui) -> String {
        let plugin = self.plugin;
        let message = plugin.status.as_ref().map_or("", |status| &status.message);
        let parts = [
            ui.paint(Style::Dim, &shape::short_time(self.time.as_ref())),
            format!("{:>6}", self.revision),
            plugin.id.clone(),
            sanitize(&plugin.name),
            self.transition(ui),
            sanitize(message),
        ];
        parts.join("  ").trim_end().to_owned()
    }

    fn transition(&self, ui: &Ui) -> String {
        let painted = |state: ReportedState| ui.paint(shape::style(state), shape::state(state));
        let now = shape::state_of(self.plugin);
        let states = match self.before.map(shape::state_of) {
            _ if self.kind == "removed" => return ui.paint(Style::Dim, "removed"),
            Some(before) if before != now => format!("{} -> {}", shape::state(before), painted(now)),
            _ => painted(now),
        };
        let mut remarks = self.remarks();
        remarks.extend(self.desire(now).map(str::to_owned));
        if remarks.is_empty() { states } else { format!("{states} ({})", remarks.join(", ")) }
    }

    /// What is still to happen to a plugin that stays in its state.
    fn desire(&self, now: ReportedState) -> Option<&'static str> {
        let stays = self.before.is_none_or(|before| shape::state_of(before) == now);
        match (self.plugin.desired_state(), now) {
            _ if !stays => None,
            (ActiveState::Active, ReportedState::Inactive) => Some("to be started"),
            (ActiveState::Inactive, state) if state != ReportedState::Inactive => Some("to be stopped"),
            _ => None,
        }
    }

    /// What changed beside the state, for programs.
    fn what(&self) -> Vec<String> {
        if self.is_visible() { self.remarks() } else { vec!["observed".to_owned()] }
    }

    /// What changed beside the state.
    fn remarks(&self) -> Vec<String> {
        let Some(before) = self.before else { return Vec::new() };
        let (now, mut remarks) = (self.plugin, package(before, self.plugin));
        if before.configuration_revision != now.configuration_revision {
            remarks.push("configured".to_owned());
        }
        // Only administrators see tokens; to others none was there before and none is now.
        if before.token != now.token {
            remarks.push("new token".to_owned());
        }
        remarks.extend(health(before, now));
        let is_asked_anew = before.generation != now.generation && before.desired_state() == now.desired_state();
        if remarks.is_empty() && is_asked_anew && now.desired_state() == ActiveState::Active {
            remarks.push("to be started anew".to_owned());
        }
        remarks
    }
}

/// What happened to its package or manifest.
fn package(before: &Plugin, now: &Plugin) -> Vec<String> {
    let version = shape::version(&now.version);
    let what = if before.package_digest != now.package_digest {
        match before.previous_package_digest == now.package_digest {
            true => format!("back to the package before: {version}"),
            false => format!("updated to {version}"),
        }
    } else if before.manifest != now.manifest {
        format!("manifest changed, {version}")
    } else {
        return Vec::new();
    };
    vec![what]
}

/// Signs of life, and events that did not get through.
fn health(before: &Plugin, now: &Plugin) -> Vec<String> {
    let (Some(before), Some(now)) = (&before.status, &now.status) else { return Vec::new() };
    let mut remarks = Vec::new();
    match (before.degraded, now.degraded) {
        (_, true) => remarks.push("does not answer".to_owned()),
        (true, false) if before.state == now.state => remarks.push("answers again".to_owned()),
        _ => {}
    }
    if let Some(lost @ 1..) = now.events_dropped.checked_sub(before.events_dropped) {
        remarks.push(format!("queue overflow: {lost} events lost"));
    }
    if let Some(count @ 1..) = now.protocol_faults.checked_sub(before.protocol_faults) {
        remarks.push(format!("broke the protocol, {count} times: {}", sanitize(&now.last_protocol_fault)));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::v1::PluginStatus,
        cli::{options::Output, ui::tests::mk_ui},
    };

    fn mk() -> Plugin {
        let status = PluginStatus { state: ReportedState::Active.into(), ..PluginStatus::default() };
        Plugin {
            desired_state: ActiveState::Active.into(),
            version: "1".to_owned(),
            package_digest: "new".to_owned(),
            previous_package_digest: "old".to_owned(),
            status: Some(status),
            ..Plugin::default()
        }
    }

    fn with(change: impl FnOnce(&mut Plugin, &mut PluginStatus)) -> String {
        after(mk(), change)
    }

    fn after(before: Plugin, change: impl FnOnce(&mut Plugin, &mut PluginStatus)) -> String {
        let mut plugin = mk();
        let mut status = plugin.status.take().unwrap();
        change(&mut plugin, &mut status);
        plugin.status = Some(status);
        let change = Change { kind: "changed", revision: 1, time: None, before: Some(&before), plugin: &plugin };
        change.transition(&mk_ui(Output::Table).0)
    }

    #[test]
    fn a_change_that_looks_as_before_is_for_programs_only() {
        let before = mk();
        let what = |change: &dyn Fn(&mut Plugin)| {
            let mut plugin = mk();
            change(&mut plugin);
            let change = Change { kind: "changed", revision: 1, time: None, before: Some(&before), plugin: &plugin };
            (change.is_visible(), change.json(&Cursor::default())["what"].clone())
        };
        let observes = |plugin: &mut Plugin| plugin.status.as_mut().unwrap().observed_generation = 1;
        assert_eq!(what(&observes), (false, json!(["observed"])));
        assert_eq!(what(&|plugin| plugin.configuration_revision = 1), (true, json!(["configured"])));
        assert_eq!(what(&|plugin| plugin.status.as_mut().unwrap().message = "x".to_owned()), (true, json!([])));
    }

    #[test]
    fn a_line_says_what_changed_beside_the_state() {
        assert_eq!(with(|_, _| {}), "active");
        assert_eq!(with(|plugin, _| plugin.configuration_revision = 1), "active (configured)");
        assert_eq!(with(|plugin, _| plugin.package_digest = "x".into()), "active (updated to version 1)");
        assert_eq!(
            with(|plugin, _| plugin.package_digest = "old".into()),
            "active (back to the package before: version 1)"
        );
        let manifest = |plugin: &mut Plugin| plugin.manifest = Some(prost_types::Struct::default());
        assert_eq!(with(|plugin, _| manifest(plugin)), "active (manifest changed, version 1)");
        assert_eq!(with(|plugin, _| plugin.token = "t".into()), "active (new token)");
        assert_eq!(with(|_, status| status.events_dropped = 3), "active (queue overflow: 3 events lost)");
        let faults = |status: &mut PluginStatus| {
            (status.protocol_faults, status.last_protocol_fault) = (2, "not JSON".to_owned());
        };
        assert_eq!(with(|_, status| faults(status)), "active (broke the protocol, 2 times: not JSON)");
        assert_eq!(with(|_, status| status.degraded = true), "active (does not answer)");
        assert_eq!(with(|plugin, _| plugin.generation = 1), "active (to be started anew)");
        assert_eq!(with(|plugin, _| plugin.set_desired_state(ActiveState::Inactive)), "active (to be stopped)");
        let mut silent = mk();
        silent.status.as_mut().unwrap().degraded = true;
        assert_eq!(after(silent, |_, _| {}), "active (answers again)");
        let stopping = |status: &mut PluginStatus| status.set_state(ReportedState::Stopping);
        assert_eq!(with(|_, status| stopping(status)), "active -> stopping");
    }
}
