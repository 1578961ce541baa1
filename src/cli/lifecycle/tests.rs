use super::*;
use crate::api::v1::{self, PluginStatus};

#[test]
fn a_transition_is_told_with_its_reason() {
    let said = |state: ReportedState, message: &str, restart_count| {
        let failure =
            (!message.is_empty()).then(|| v1::Failure { message: message.to_owned(), ..v1::Failure::default() });
        let status = PluginStatus { state: state.into(), failure, restart_count, ..PluginStatus::default() };
        transition(&Plugin { status: Some(status), ..Plugin::default() })
    };
    let why = "did not connect within 30s";
    assert_eq!(said(ReportedState::Connecting, "", 0).unwrap(), "is connecting");
    assert_eq!(said(ReportedState::Connecting, why, 2).unwrap(), "is connecting, restart 2");
    assert_eq!(said(ReportedState::Stopping, why, 0).unwrap(), format!("is stopping: {why}"));
    assert_eq!(said(ReportedState::Restarting, why, 1).unwrap(), format!("is to be started again, restart 1: {why}"));
    assert_eq!(said(ReportedState::Error, why, 3), None);
}
