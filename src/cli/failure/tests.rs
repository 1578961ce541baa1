use std::collections::HashMap;

use tonic_types::ErrorDetails;

use super::*;

fn status(code: Code, reason: &str) -> Status {
    let metadata = HashMap::from([(api::SUGGESTED.to_owned(), "do this".to_owned())]);
    Status::with_error_details(code, "it broke", ErrorDetails::with_error_info(reason, api::ERROR_DOMAIN, metadata))
}

#[test]
fn a_cause_is_said_once() {
    let cause = anyhow::anyhow!("no such database").context("refused: no such database").context("can't start");
    assert_eq!(Failure::from(cause).what, "can't start: refused: no such database");
    let half = anyhow::Error::from(tls::Error::Incomplete { given: "--tls-cert", missing: "--tls-key" });
    assert_eq!(Failure::from(half).exit, Exit::Usage);
    let taken = anyhow::Error::from(io::Error::from(io::ErrorKind::AddrInUse)).context("can't listen");
    assert!(Failure::from(taken).hint.unwrap().contains("--listen"));
}

#[test]
fn every_kind_of_error_has_its_exit_code() {
    let cases = [
        (status(Code::NotFound, "PLUGIN_NOT_FOUND"), 3),
        (status(Code::Unauthenticated, "UNAUTHENTICATED"), 4),
        (status(Code::PermissionDenied, "PERMISSION_DENIED"), 4),
        (status(Code::FailedPrecondition, "PLUGIN_FAILED"), 5),
        (status(Code::FailedPrecondition, "EXTERNAL_PLUGIN"), 9),
        (status(Code::Aborted, "SUPERSEDED"), 6),
        (status(Code::DeadlineExceeded, "NOT_SETTLED"), 7),
        (Status::cancelled("Timeout expired"), 7),
        (status(Code::Unavailable, "DRAINING"), 8),
        (status(Code::InvalidArgument, "INVALID_PACKAGE"), 9),
        (status(Code::OutOfRange, "REVISION_COMPACTED"), 9),
        (status(Code::ResourceExhausted, "TOO_LARGE"), 9),
        (status(Code::Internal, "INTERNAL"), 1),
    ];
    for (status, exit) in cases {
        assert_eq!(Failure::from(status.clone()).exit as u8, exit, "{status}");
    }
}

#[test]
fn a_failure_says_what_is_wrong_and_what_to_do() {
    let failure = Failure::from(status(Code::NotFound, "TOKEN_NOT_FOUND"));
    assert_eq!(failure.to_string(), "error: it broke\n  hint: do this");
}

#[test]
fn programs_get_all_of_a_failure() {
    let shown = Failure::from(status(Code::NotFound, "TOKEN_NOT_FOUND")).json();
    let error = json!({"exit_code": 3, "message": "it broke", "hint": "do this", "reason": "TOKEN_NOT_FOUND"});
    assert_eq!(shown, error);
}

#[test]
fn a_failure_for_several_plugins_is_one_error_with_that_of_each() {
    let failed = |what: &str, exit| Failure::new(what).hint("do this").exit(exit);
    let failures = [("a", failed("no such plugin", Exit::NotFound)), ("b", failed("it crashed", Exit::PluginFailed))];
    let failures = failures.map(|(plugin, failure)| (plugin.to_owned(), failure));
    let failure = Failure::of_several(failures.into(), 3, "activated");
    assert_eq!(failure.exit, Exit::PluginFailed, "the highest");
    let each = |exit: u8, what: &str| json!({"exit_code": exit, "message": what, "hint": "do this", "reason": null});
    let expected = json!({
        "exit_code": 5, "message": "2 of 3 plugins are not activated", "hint": null, "reason": null,
        "plugins": {"a": each(3, "no such plugin"), "b": each(5, "it crashed")},
    });
    assert_eq!(failure.json(), expected);
    let words = "error: a: no such plugin\n  hint: do this\nerror: b: it crashed\n  hint: do this\n\
                 error: 2 of 3 plugins are not activated";
    assert_eq!(failure.to_string(), words);
}

#[test]
fn a_plugin_failure_of_another_domain_is_not_taken_for_one() {
    let details = ErrorDetails::with_error_info("PLUGIN_FAILED", "example.com", HashMap::new());
    let status = Status::with_error_details(Code::FailedPrecondition, "no", details);
    assert_eq!(Failure::from(status).exit, Exit::Refused);
}

#[test]
fn the_exit_codes_are_documented() {
    for exit in 0..=Exit::Refused as u8 {
        assert!(EXIT_CODES.contains(&format!("\n  {exit}  ")), "{exit}");
    }
}
