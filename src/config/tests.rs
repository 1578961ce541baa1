use std::{path::Path, time::Duration};

use super::*;

fn load(flags: &[(&'static str, &str)], variables: &[(&str, &str)], text: &str) -> Result<Config, Error> {
    let flags = flags.iter().fold(Flags::default(), |flags, (name, value)| flags.with(name, *value));
    settings::merged(&flags, &variables.iter().copied().collect(), Some((Path::new("plugd.toml"), text)))
}

/// The settings in a file.
fn of_file(path: &Path) -> Result<Config, Error> {
    super::load(&Flags::default(), &Environment::default(), Some(path))
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = load(&[], &[], "").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.plugin_dir, Path::new("./data/plugins"));
    assert_eq!(config.database_url, None);
    assert_eq!(config.max_restart_attempts, MaxRestarts::Times(3));
    assert_eq!(config.max_backoff, Duration::from_secs(60));
    assert_eq!(config.stable_after, Duration::from_secs(30));
    assert_eq!(config.stop_signal, StopSignal::Sigint);
    assert_eq!(config.event_catalog, EventCatalog::Any);
    assert_eq!(config.watch_max_age, None);
    assert_eq!(config.log_max_bytes, Bytes(10_000_000));
    assert_eq!(config.env_allow, ["PATH", "HOME", "LANG", "LC_*", "TZ", "TMPDIR"]);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let (flag, variable, text) = ([("grace", "1s")], [("PLUGD_GRACE", "2s")], "grace = \"3s\"");
    let grace = |config: Config| config.grace.as_secs();
    assert_eq!(grace(load(&flag, &variable, text).unwrap()), 1);
    assert_eq!(grace(load(&[], &variable, text).unwrap()), 2);
    assert_eq!(grace(load(&[], &[], text).unwrap()), 3);
    assert_eq!(grace(load(&[], &[], "").unwrap()), 5);
}

#[test]
fn plugd_names_beat_those_of_the_contract_and_an_empty_variable_is_not_set() {
    let both = [("PLUGD_MAX_BACKOFF", "7s"), ("PLUGIN_MAX_BACKOFF_DURATION", "8s")];
    assert_eq!(load(&[], &both, "").unwrap().max_backoff.as_secs(), 7);
    let empty = [("PLUGD_MAX_BACKOFF", ""), ("PLUGIN_MAX_BACKOFF_DURATION", "8s")];
    assert_eq!(load(&[], &empty, "").unwrap().max_backoff.as_secs(), 8);
}

#[test]
fn proxies_are_named_by_their_addresses() {
    let config = load(&[], &[("PLUGD_TRUSTED_PROXIES", "127.0.0.1, ::1")], "").unwrap();
    assert_eq!(config.trusted_proxies, [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]);
    assert!(config.to_toml().contains("trusted_proxies = [\"127.0.0.1\",\"::1\"]"), "{}", config.to_toml());
    let error = load(&[("trusted_proxies", "proxy.example")], &[], "").unwrap_err();
    assert!(error.to_string().contains("IP addresses with commas"), "{error}");
}

#[test]
fn everything_stored_follows_the_data_folder_unless_it_is_set_itself() {
    let config = load(&[("data_dir", "/var/lib/plugd")], &[("PLUGIN_DATA_PATH", "/srv/plugins")], "").unwrap();
    assert_eq!(config.plugin_dir, Path::new("/srv/plugins"));
    let config = load(&[("data_dir", "/var/lib/a%41 ?#b")], &[], "").unwrap();
    assert_eq!(config.plugin_dir, Path::new("/var/lib/a%41 ?#b/plugins"));
}

#[test]
fn a_file_takes_numbers_lists_and_texts() {
    let text = "# settings\nlisten = \":9000\"\nlog_keep = 7\nallowed_origins = [\"https://a.example\", \"https://b.example\"]\n";
    let config = load(&[], &[], text).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:9000");
    assert_eq!(config.log_keep, 7);
    assert_eq!(config.allowed_origins, ["https://a.example", "https://b.example"]);
}

#[test]
fn an_error_names_where_the_value_stands_what_it_is_and_what_is_expected() {
    let cases = [
        (load(&[("listen", "here")], &[], ""), "flag --listen: \"here\" is no value for listen: an address and a port"),
        (
            load(&[], &[("PLUGIN_RUNTIME_PROVIDER", "sprites")], ""),
            "environment variable PLUGIN_RUNTIME_PROVIDER: \"sprites\" is no value for runtime_provider: local, kubernetes or none is expected",
        ),
        (
            load(&[], &[], "\nping_interval = \"-5s\""),
            "plugd.toml line 2: \"-5s\" is no value for ping_interval: a time like",
        ),
        (load(&[], &[], "log_keep = 3\n\npong = \"5s\"\n"), "plugd.toml line 3: there is no setting \"pong\""),
        (load(&[], &[], "log_keep = 3\nlog_keep ="), "plugd.toml line 2: "),
        (load(&[("ping_interval", "0s")], &[], ""), "ping_interval is zero"),
    ];
    for (result, expected) in cases {
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_setting_that_was_probably_meant() {
    let message = |text: &str| load(&[], &[], text).unwrap_err().to_string();
    for (key, meant) in [("log_kep", "log_keep"), ("ping", "ping_timeout"), ("max-connections", "max_connections")] {
        let expected = format!("plugd.toml line 1: there is no setting {key:?}; did you mean {meant}?");
        assert_eq!(message(&format!("{key} = 1")), expected);
    }
    assert_eq!(message("zzz = 1"), "plugd.toml line 1: there is no setting \"zzz\"");
}

#[test]
fn a_list_is_written_with_commas_or_spaces() {
    for names in ["A,B", "A B", "A, B"] {
        assert_eq!(load(&[], &[("PLUGD_ENV_ALLOW", names)], "").unwrap().env_allow, ["A", "B"], "{names}");
    }
}

#[test]
fn a_user_of_plugins_is_two_numbers_and_has_a_folder_that_it_can_enter() {
    let user = |user| load(&[("plugin_user", user), ("plugin_dir", "/srv/plugins")], &[], "");
    assert_eq!(user("1000:1001").unwrap().plugin_user, Some(User { uid: 1000, gid: 1001 }));
    for text in ["me:me", "1000", ":", "1000:", "4294967295:1", "-1:1"] {
        assert!(user(text).is_err(), "{text}");
    }
    let error = load(&[("plugin_user", "1000:1000")], &[], "").unwrap_err();
    assert!(error.to_string().starts_with("plugin_user can't enter data_dir"), "{error}");
}

#[test]
fn users_of_plugins_are_a_range_without_root_and_exclude_one_user_for_all() {
    let uids = |uids| load(&[("plugin_uids", uids), ("plugin_dir", "/srv/plugins")], &[], "");
    let range = uids("60000-60001").unwrap().plugin_uids.unwrap();
    assert_eq!(range.uids().collect::<Vec<_>>(), [60000, 60001]);
    assert!(range.contains(60001) && !range.contains(60002));
    for text in ["60000", "0-9", "9-8", "1-4294967295", "-9", "a-b"] {
        assert!(uids(text).is_err(), "{text}");
    }
    let error = load(&[("plugin_uids", "5-6")], &[], "").unwrap_err();
    assert!(error.to_string().starts_with("plugin_uids can't enter data_dir"), "{error}");
    let both = [("plugin_uids", "5-6"), ("plugin_user", "7:7"), ("plugin_dir", "/srv/plugins")];
    assert!(load(&both, &[], "").unwrap_err().to_string().contains("exclude each other"));
}

#[test]
fn limits_of_plugins_are_not_set_unless_they_are() {
    let config = load(&[], &[], "").unwrap();
    assert_eq!((config.limit_memory, config.limit_open_files, config.limit_processes), (None, None, None));
    assert_eq!((config.limit_file_size, config.limit_cpu_time, config.plugin_user), (None, None, None));
    assert_eq!(config.limit_cpus, None);
    let config = load(&[("limit_memory", "1GiB"), ("limit_cpu_time", "90s")], &[], "").unwrap();
    assert_eq!((config.limit_memory, config.limit_cpu_time), (Some(Bytes(1 << 30)), Some(Duration::from_secs(90))));
}

#[test]
fn the_runtime_provider_is_read_whatever_its_case() {
    let config = load(&[], &[("PLUGIN_RUNTIME_PROVIDER", "NONE")], "").unwrap();
    assert_eq!(config.runtime_provider, RuntimeProvider::None);
}

#[test]
fn printed_settings_are_read_as_the_same_settings() {
    let config = load(
        &[
            ("watch_max_age", "1h"),
            ("backoff", "1.5s"),
            ("limit_file_size", "5MB"),
            ("limit_cpus", "0.25"),
            ("plugin_user", "7:8"),
            ("plugin_dir", "/p"),
            ("stop_signal", "term"),
        ],
        &[],
        "",
    )
    .unwrap();
    assert_eq!(load(&[], &[], &config.to_toml()).unwrap(), config);
}

#[test]
fn a_share_of_the_processors_is_a_number_that_the_kernel_takes() {
    let cpus = |text| load(&[("limit_cpus", text)], &[], "").map(|config| config.limit_cpus);
    for (text, thousandths) in [("1.5", 1500), ("2", 2000), ("0.01", 10), ("0.3", 300)] {
        assert_eq!(cpus(text).unwrap(), Some(Cpus(thousandths)), "{text}");
    }
    for text in ["0", "-1", "0.001", "NaN", "inf", "1e9", "two"] {
        assert!(cpus(text).is_err(), "{text}");
    }
}

#[test]
fn printed_settings_hold_no_password() {
    let config = load(&[("database_url", "postgres://me:se@secret@host/db")], &[], "").unwrap();
    assert!(config.to_toml().contains("postgres://me@host/db"));
    for address in [
        "postgres://me:se@secret@host/db",
        "postgres://me:a/secret@host/db",
        "postgres://me:a?secret@host/db",
        "postgres://host/db?user=me&password=secret&sslmode=require",
    ] {
        let printed = load(&[("database_url", address)], &[], "").unwrap().to_toml();
        assert!(!printed.contains("secret"), "{printed}");
    }
    let config = load(&[("access_key", "hidden")], &[], "").unwrap();
    assert!(!config.to_toml().contains("hidden"));
    assert_eq!(config.access_key.as_ref().map(|key| key.expose()), Some("hidden"));
}

#[test]
fn every_setting_has_a_plugd_variable_first_and_no_variable_sets_two() {
    let mut seen = std::collections::BTreeSet::new();
    for setting in Config::ALL {
        assert!(setting.env[0].starts_with("PLUGD_"), "{}", setting.name);
        assert!(setting.env.iter().all(|name| seen.insert(*name)), "{}", setting.name);
    }
}

#[test]
fn a_file_may_have_a_byte_order_mark_and_line_ends_of_windows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugd.toml");
    std::fs::write(&path, "\u{feff}log_keep = 7\r\ngrace = \"3s\"\r\n").unwrap();
    let config = of_file(&path).unwrap();
    assert_eq!((config.log_keep, config.grace), (7, Duration::from_secs(3)));
}

#[test]
fn a_file_that_is_none_or_too_large_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| of_file(path).unwrap_err().to_string();
    let expected = format!("can't read {}: it is a folder, not a file", folder.path().display());
    assert_eq!(message(folder.path()), expected);
    let path = folder.path().join("plugd.toml");
    std::fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
    assert!(message(&path).contains("more than 4194304 bytes"), "{}", message(&path));
}

#[test]
fn times_are_read_as_go_writes_them() {
    let cases = [
        ("100ms", 100),
        ("5s", 5000),
        ("1m", 60_000),
        ("1m30s", 90_000),
        ("1.5s", 1500),
        ("1h2m3s", 3_723_000),
        (".5s", 500),
        ("+2s", 2000),
        ("1us", 0),
        ("0.000000001h", 0),
        ("2000\u{b5}s", 2),
    ];
    for (text, milliseconds) in cases {
        assert_eq!(duration(text).map(|time| time.as_millis()), Some(milliseconds), "{text}");
    }
    assert_eq!(duration("0"), Some(Duration::ZERO));
    assert_eq!(duration("0.000000001s"), Some(Duration::from_nanos(1)));
    assert_eq!(duration("9223372036854775807ns"), Some(Duration::from_nanos(i64::MAX.unsigned_abs())));
    assert_eq!(duration("2d"), Some(Duration::from_secs(2 * 24 * 60 * 60)));
}

#[test]
fn what_is_not_a_time_is_refused() {
    for text in [
        "",
        "+",
        ".",
        ".s",
        "5",
        "-5s",
        "5 parsecs",
        "s",
        "-0.1ms",
        "1h-2m",
        "1.2.3s",
        "9223372036854775808ns",
        "99999999999999999999s",
        "99999999999999999999d",
    ] {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn a_time_survives_its_text_form() {
    for nanoseconds in [0, 1, 1_000_000, 1_500_000_000, 90_000_000_000] {
        let time = Duration::from_nanos(nanoseconds);
        assert_eq!(duration(time.to_toml().unwrap().trim_matches('"')), Some(time));
    }
}
