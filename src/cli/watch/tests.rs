use super::*;
use crate::{
    api::v1::{self, PluginStatus},
    cli::{global::Output, ui::tests::mk_ui},
};

fn mk() -> Plugin {
    let status = PluginStatus { state: ReportedState::Active.into(), ..PluginStatus::default() };
    Plugin {
        active_state: ActiveState::Active.into(),
        version: "1".to_owned(),
        package_digest: Some("new".to_owned()),
        previous_package_digest: Some("old".to_owned()),
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
        (change.is_visible(), change.json("")["what"].clone())
    };
    let observes = |plugin: &mut Plugin| plugin.status.as_mut().unwrap().observed_generation = 1;
    assert_eq!(what(&observes), (false, json!([])));
    assert_eq!(what(&|plugin| plugin.configuration_revision = Some(1)), (true, json!(["configured"])));
    let fails = |plugin: &mut Plugin| {
        plugin.status.as_mut().unwrap().failure =
            Some(v1::Failure { message: "x".to_owned(), ..v1::Failure::default() });
    };
    assert_eq!(what(&fails), (true, json!([])));
}

#[test]
fn a_line_says_what_changed_beside_the_state() {
    assert_eq!(with(|_, _| {}), "active");
    assert_eq!(with(|plugin, _| plugin.configuration_revision = Some(1)), "active (configured)");
    assert_eq!(with(|plugin, _| plugin.package_digest = Some("x".into())), "active (updated to version 1)");
    assert_eq!(
        with(|plugin, _| plugin.package_digest = Some("old".into())),
        "active (back to the package before: version 1)"
    );
    let manifest = |plugin: &mut Plugin| plugin.manifest = "another".into();
    assert_eq!(with(|plugin, _| manifest(plugin)), "active (manifest changed, version 1)");
    assert_eq!(
        with(|plugin, _| {
            plugin.set_mode(PluginMode::External);
            plugin.generation = 1;
        }),
        "active (new token)"
    );
    assert_eq!(with(|_, status| status.events_dropped = 3), "active (queue overflow: 3 events lost)");
    let faults = |status: &mut PluginStatus| {
        (status.protocol_faults, status.last_protocol_fault) = (2, Some("not JSON".to_owned()));
    };
    assert_eq!(with(|_, status| faults(status)), "active (broke the protocol, 2 times: not JSON)");
    assert_eq!(with(|_, status| status.degraded = true), "active (does not answer)");
    assert_eq!(with(|plugin, _| plugin.generation = 1), "active (to be started anew)");
    assert_eq!(with(|plugin, _| plugin.set_active_state(ActiveState::Inactive)), "active (to be stopped)");
    let mut silent = mk();
    silent.status.as_mut().unwrap().degraded = true;
    assert_eq!(after(silent, |_, _| {}), "active (answers again)");
    let stopping = |status: &mut PluginStatus| status.set_state(ReportedState::Stopping);
    assert_eq!(with(|_, status| stopping(status)), "active -> stopping");
}
