//! What a policy can have, by keys that are named as the settings of `plugd serve` are.

use std::{fmt::Write, time::Duration};

use crate::{
    api::v1::{Limits, Policy, SandboxLevel, StopSignal, Supervision, User, supervision::Restarts},
    config::{Bytes, Cpus, Value},
    domain::{self, policy as values},
};

/// Where a value is in a policy, and what kind it is of.
enum Field {
    Sandbox,
    Paths(fn(&mut Policy) -> &mut Vec<String>),
    Ports,
    Count(fn(&mut Limits) -> &mut Option<u64>),
    Size(fn(&mut Limits) -> &mut Option<u64>),
    Seconds(fn(&mut Limits) -> &mut Option<u64>),
    Cpus,
    User,
    StopSignal,
    Image,
    Time(fn(&mut Supervision) -> &mut Option<prost_types::Duration>),
    Restarts,
}

/// Why a value can't be assigned.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Unusable {
    /// There is no such key.
    Key,
    /// The key takes this.
    Value(&'static str),
}

/// What comes before the name of a variable.
pub(in crate::cli) const VARIABLE: &str = "env.";

const FIELDS: [(&str, Field, &str); 25] = [
    ("sandbox", Field::Sandbox, "off, protect or strict"),
    ("sandbox-read", Field::Paths(|policy| &mut policy.read_paths), "PATH:PATH that it may read besides"),
    ("sandbox-write", Field::Paths(|policy| &mut policy.write_paths), "PATH:PATH that it may read and write besides"),
    ("tcp-ports", Field::Ports, "PORT,PORT that it may connect to where it is shut in strictly"),
    ("limit-memory", Field::Size(|limits| &mut limits.memory_bytes), "memory, like 512MiB"),
    ("limit-open-files", Field::Count(|limits| &mut limits.open_files), "open files"),
    ("limit-processes", Field::Count(|limits| &mut limits.processes), "processes and threads"),
    ("limit-file-size", Field::Size(|limits| &mut limits.file_bytes), "size of a file that it writes"),
    ("limit-cpus", Field::Cpus, "processors, like 2 or 0.5"),
    ("limit-cpu-time", Field::Seconds(|limits| &mut limits.cpu_seconds), "processor time of each process, like 60s"),
    ("user", Field::User, "UID:GID that it runs as"),
    ("stop-signal", Field::StopSignal, "what asks it to stop, like SIGTERM"),
    (
        "image",
        Field::Image,
        "image of its container, like python:3.13-slim, where plugins are pods; else it says nothing",
    ),
    ("prepare-timeout", Field::Time(|it| &mut it.prepare_timeout), "how long the laying out of its package may take"),
    ("connect-timeout", Field::Time(|it| &mut it.connect_timeout), "how long it may take to connect"),
    ("reconnect-timeout", Field::Time(|it| &mut it.reconnect_timeout), "to connect again or exit"),
    ("ping-interval", Field::Time(|it| &mut it.ping_interval), "how often it is asked for proof of life"),
    ("ping-timeout", Field::Time(|it| &mut it.ping_timeout), "how long it may take to answer that"),
    ("stable-after", Field::Time(|it| &mut it.stable_after), "how long it runs until it is stable"),
    ("grace", Field::Time(|it| &mut it.grace), "how long after the stop signal it is killed"),
    ("kill-timeout", Field::Time(|it| &mut it.kill_timeout), "how long after that it is reported as unkillable"),
    ("backoff", Field::Time(|it| &mut it.backoff), "delay before the first restart; doubles each time"),
    ("max-backoff", Field::Time(|it| &mut it.max_backoff), "the most that the delay grows to"),
    ("stable-crash-backoff", Field::Time(|it| &mut it.stable_crash_backoff), "delay when it was stable"),
    ("max-restart-attempts", Field::Restarts, "restarts before it is in error, or unlimited"),
];

/// The keys, variables apart.
pub(in crate::cli) fn keys() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(key, _, _)| *key)
}

/// What `plugd policy set --help` says of the keys.
pub(in crate::cli) fn help() -> String {
    let mut help = "Keys; what is not set is as for all plugins:\n".to_owned();
    for (key, _, what) in &FIELDS {
        let _ = writeln!(help, "  {key:<21} {what}");
    }
    help + "  env.NAME              a variable of its environment; @FILE for what is in a file\n\nExamples:\n  \
            plugd policy set my-plugin sandbox=strict tcp-ports=443 limit-memory=512MiB\n  \
            plugd policy set my-plugin max-restart-attempts=unlimited env.API_KEY=@api-key.txt"
}

/// Sets what this key names, or takes it back where there is no value.
///
/// # Errors
/// Why it can't be.
pub(in crate::cli) fn assign(policy: &mut Policy, key: &str, text: Option<&str>) -> Result<(), Unusable> {
    if let Some(name) = key.strip_prefix(VARIABLE) {
        match text {
            Some(text) => policy.environment.insert(name.to_owned(), text.to_owned()),
            None => policy.environment.remove(name),
        };
        return Ok(());
    }
    let (_, field, _) = FIELDS.iter().find(|(name, _, _)| *name == key).ok_or(Unusable::Key)?;
    field.assign(policy, text)
}

/// Everything that a policy decides, as keys and values that [`assign`] takes.
pub(in crate::cli) fn decided(policy: &Policy) -> Vec<(String, String)> {
    let fields = FIELDS.iter().filter_map(|(key, field, _)| Some(((*key).to_owned(), field.shown(policy)?)));
    let mut variables: Vec<_> = policy.environment.iter().collect();
    variables.sort_unstable();
    let variables = variables.into_iter().map(|(name, value)| (format!("{VARIABLE}{name}"), value.clone()));
    fields.chain(variables).collect()
}

/// A value as a setting has it; none where there is no text.
fn read<T: Value>(text: Option<&str>) -> Result<Option<T>, Unusable> {
    text.map(|text| T::read(text).ok_or(Unusable::Value(T::EXPECTED))).transpose()
}

/// A value as [`read`] takes it.
fn words(value: &impl Value) -> String {
    value.to_toml().unwrap_or_default().trim_matches('"').to_owned()
}

impl Field {
    fn assign(&self, policy: &mut Policy, text: Option<&str>) -> Result<(), Unusable> {
        match self {
            Self::Sandbox => {
                policy.sandbox = read::<domain::SandboxLevel>(text)?.map(SandboxLevel::from).unwrap_or_default().into()
            }
            Self::Paths(at) => *at(policy) = split(text, ':').collect(),
            Self::Ports => policy.tcp_ports = ports(text)?,
            Self::Count(at) => *at(policy.limits.get_or_insert_default()) = read(text)?,
            Self::Size(at) => *at(policy.limits.get_or_insert_default()) = read::<Bytes>(text)?.map(|size| size.0),
            Self::Seconds(at) => {
                *at(policy.limits.get_or_insert_default()) = read::<Duration>(text)?.map(|time| time.as_secs());
            }
            Self::Cpus => policy.limits.get_or_insert_default().cpu_millis = read::<Cpus>(text)?.map(|cpus| cpus.0),
            Self::User => policy.user = read(text)?.map(|values::User { uid, gid }| User { uid, gid }),
            Self::StopSignal => {
                policy.stop_signal = read::<values::StopSignal>(text)?.map(StopSignal::from).unwrap_or_default().into()
            }
            Self::Image => policy.image = image(text)?,
            Self::Time(at) => {
                let time = read::<Duration>(text)?.and_then(|time| time.try_into().ok());
                *at(policy.supervision.get_or_insert_default()) = time;
            }
            Self::Restarts => policy.supervision.get_or_insert_default().restarts = read(text)?.map(restarts),
        }
        Ok(())
    }

    fn shown(&self, policy: &Policy) -> Option<String> {
        // A copy, since one function says where a value is to be read and to be written.
        let mut policy = policy.clone();
        let mut limits = policy.limits.unwrap_or_default();
        let mut supervision = policy.supervision.unwrap_or_default();
        match self {
            Self::Sandbox => name(policy.sandbox().as_str_name(), "SANDBOX_LEVEL_").map(str::to_lowercase),
            Self::Paths(at) => Some(at(&mut policy).join(":")).filter(|paths| !paths.is_empty()),
            Self::Ports => {
                let ports: Vec<_> = policy.tcp_ports.iter().map(u32::to_string).collect();
                Some(ports.join(",")).filter(|ports| !ports.is_empty())
            }
            Self::Count(at) | Self::Size(at) => at(&mut limits).map(|count| count.to_string()),
            Self::Seconds(at) => at(&mut limits).map(|seconds| format!("{seconds}s")),
            Self::Cpus => limits.cpu_millis.map(|millis| words(&Cpus(millis))),
            Self::User => policy.user.map(|User { uid, gid }| values::User { uid, gid }.to_string()),
            Self::StopSignal => name(policy.stop_signal().as_str_name(), "STOP_SIGNAL_").map(str::to_owned),
            Self::Image => Some(policy.image).filter(|image| !image.is_empty()),
            Self::Time(at) => at(&mut supervision).and_then(|time| Some(words(&Duration::try_from(time).ok()?))),
            Self::Restarts => supervision.restarts.map(|restarts| match restarts {
                Restarts::MaxRestarts(most) => most.to_string(),
                Restarts::UnlimitedRestarts(_) => "unlimited".to_owned(),
            }),
        }
    }
}

/// The word of an enumeration's value that is given.
fn name<'a>(value: &'a str, prefix: &str) -> Option<&'a str> {
    value.strip_prefix(prefix).filter(|name| *name != "UNSPECIFIED")
}

fn split(text: Option<&str>, separator: char) -> impl Iterator<Item = String> {
    let items = text.unwrap_or_default().split(separator).filter(|item| !item.is_empty());
    items.map(str::to_owned)
}

fn ports(text: Option<&str>) -> Result<Vec<u32>, Unusable> {
    let port = |item: String| item.parse::<u16>().map(u32::from);
    split(text, ',').map(port).collect::<Result<_, _>>().map_err(|_| Unusable::Value("a list of ports with commas"))
}

fn image(text: Option<&str>) -> Result<String, Unusable> {
    let name = text.unwrap_or_default();
    let is_usable = text.is_none_or(values::is_image);
    is_usable.then(|| name.to_owned()).ok_or(Unusable::Value("the name of an image, like python:3.13-slim,"))
}

fn restarts(most: values::MaxRestarts) -> Restarts {
    match most {
        values::MaxRestarts::Times(most) => Restarts::MaxRestarts(most),
        values::MaxRestarts::Unlimited => Restarts::UnlimitedRestarts(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_shown_as_it_can_be_set_again() {
        let given = [
            ("sandbox", "strict"),
            ("sandbox-read", "/a:/b"),
            ("tcp-ports", "80,443"),
            ("limit-memory", "1024"),
            ("limit-processes", "7"),
            ("limit-cpus", "1.5"),
            ("limit-cpu-time", "60s"),
            ("user", "1000:1001"),
            ("stop-signal", "SIGTERM"),
            ("image", "python:3.13-slim"),
            ("connect-timeout", "90s"),
            ("backoff", "1500ms"),
            ("max-restart-attempts", "unlimited"),
            ("env.KEY", "a=b"),
        ];
        let mut policy = Policy::default();
        given.iter().for_each(|(key, value)| assign(&mut policy, key, Some(value)).unwrap());
        let given: Vec<_> = given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(decided(&policy), given);
        given.iter().for_each(|(key, _)| assign(&mut policy, key, None).unwrap());
        assert_eq!(decided(&policy), []);
    }

    #[test]
    fn every_key_takes_back_what_it_has_and_refuses_what_it_cannot_use() {
        for key in keys() {
            let refused = assign(&mut Policy::default(), key, Some("no\0value"));
            let is_path = key.starts_with("sandbox-");
            assert_eq!(refused.is_err(), !is_path, "{key}");
        }
        assert_eq!(assign(&mut Policy::default(), "grac", Some("5s")), Err(Unusable::Key));
    }
}
