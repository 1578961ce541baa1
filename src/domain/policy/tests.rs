use std::time::Duration;

use super::*;

fn mk_policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

#[test]
fn a_policy_that_decides_nothing_is_good() {
    assert_eq!(Policy::default().check(), Ok(()));
    assert!(Policy::default().is_default());
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    type Case = (&'static str, fn(&mut Policy));
    let cases: [Case; 14] = [
        ("policy.read_paths", |policy| policy.process.read.push("relative".into())),
        ("policy.write_paths", |policy| policy.process.write.push("/nul\0".into())),
        ("policy.environment.\"A=B\"", |policy| {
            drop(policy.process.environment.insert("A=B".into(), String::new().into()))
        }),
        ("policy.environment.\"A\"", |policy| {
            drop(policy.process.environment.insert("A".into(), "\0".to_owned().into()))
        }),
        ("policy.environment.\"PLUGD_RPC_URL\"", |policy| {
            policy.process.environment.insert("PLUGD_RPC_URL".into(), String::new().into());
        }),
        ("policy.limits.processes", |policy| policy.process.limits.processes = Some(0)),
        ("policy.supervision.ping_interval", |policy| policy.supervision.ping_interval = Some(Duration::ZERO)),
        ("policy.limits.processes", |policy| policy.process.limits.processes = Some(4_194_305)),
        ("policy.limits.cpu_millis", |policy| policy.process.limits.cpu_millis = Some(9)),
        ("policy.supervision.grace", |policy| policy.supervision.grace = Some(Duration::MAX)),
        ("policy.tcp_ports", |policy| policy.process.tcp_ports = vec![443, 0]),
        ("policy.image", |policy| policy.process.image = Some("an image".into())),
        ("policy.image", |policy| policy.process.image = Some("a".repeat(MAX_IMAGE + 1))),
        ("policy", |policy| policy.process.read = vec!["/".repeat(MAX_BYTES)]),
    ];
    for (field, change) in cases {
        let error = mk_policy(change).check().unwrap_err();
        assert_eq!(error.violations.first().map(|violation| violation.field.as_str()), Some(field), "{error}");
    }
}

#[test]
fn images_are_named_as_registries_name_them() {
    let longest = "a".repeat(MAX_IMAGE);
    let names = ["python:3.13-slim", "registry.example:5000/team/my_plugin@sha256:00ff", "[::1]:5000/x", &longest];
    names.iter().for_each(|name| assert!(is_image(name), "{name}"));
    ["", " python", "python;3", "pythön", "a\n"].iter().for_each(|name| assert!(!is_image(name), "{name}"));
}

#[test]
fn only_what_a_process_has_from_its_start_needs_another_run() {
    let supervised = mk_policy(|policy| policy.supervision.grace = Some(Duration::from_secs(1)));
    assert!(!Policy::default().needs_another_run(&supervised));
    let limited = mk_policy(|policy| policy.process.limits.processes = Some(1));
    assert!(Policy::default().needs_another_run(&limited));
}

#[test]
fn a_policy_comes_back_from_json_as_it_was() {
    let policy = mk_policy(|policy| {
        policy.process.sandbox = Some(SandboxLevel::Strict);
        policy.process.user = "1000:1001".parse().ok();
        policy.process.environment.insert("KEY".into(), "hidden".to_owned().into());
        policy.process.stop_signal = "term".parse().ok();
        policy.process.image = Some("python:3.13-slim".to_owned());
        policy.supervision.max_restarts = Some(MaxRestarts::Unlimited);
        policy.supervision.backoff = Some(Duration::from_millis(1500));
    });
    assert!(!format!("{policy:?}").contains("hidden"), "{policy:?}");
    let json = serde_json::to_string(&policy).unwrap();
    assert!(json.contains("SIGTERM"), "{json}");
    assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
}

#[test]
fn the_words_of_values_are_read() {
    assert_eq!("sigusr1".parse(), Ok(StopSignal::Sigusr1));
    assert_eq!("SIGSEGV".parse::<StopSignal>(), Err(()));
    assert_eq!("unlimited".parse(), Ok(MaxRestarts::Unlimited));
    assert_eq!("-1".parse::<MaxRestarts>(), Err(()));
    assert_eq!("1:4294967295".parse::<User>(), Err(()));
    assert!(!MaxRestarts::Unlimited.is_reached(u32::MAX) && MaxRestarts::Times(0).is_reached(0));
}
