//! The environment of a plugin: a few of the host's variables, those of its policy, the plugin's own, nothing else.

use std::ffi::{OsStr, OsString};

use crate::{domain::policy::OWN_VARIABLES, runtime::StartSpec};

/// A variable and its value.
pub(super) type Variable = (OsString, OsString);

/// The host's variables that the operator allows, those that the operator gives this plugin, then those of its run.
pub(super) fn environment(
    host: impl Iterator<Item = Variable>,
    allow: &[String],
    spec: &StartSpec,
) -> impl Iterator<Item = Variable> {
    let own = spec.own_variables().map(|(name, value)| (name.into(), value.into()));
    let given = &spec.policy.process.environment;
    let is_ours = |name: &str| given.contains_key(name) || OWN_VARIABLES.contains(&name);
    let is_set = move |name: &OsStr| name.to_str().is_some_and(is_ours);
    let allowed = host.filter(move |(name, _)| !is_set(name) && allow.iter().any(|pattern| is_match(pattern, name)));
    allowed.chain(given.iter().map(|(name, value)| (name.into(), value.expose().into()))).chain(own)
}

fn is_match(pattern: &str, name: &OsStr) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.as_encoded_bytes().starts_with(prefix.as_bytes()),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        domain::{Digest, PluginId, RunId, policy::Policy},
        runtime::StartSpec,
    };

    #[test]
    fn only_allowed_variables_and_the_plugins_own_pass() {
        let mut policy = Policy::default();
        let given =
            [("LC_ALL", "given"), ("KEY", "given")].map(|(name, value)| (name.to_owned(), value.to_owned().into()));
        policy.process.environment.extend(given);
        let spec = StartSpec {
            plugin: PluginId::from_bytes([1; 12]),
            run: RunId::from_bytes([2; 12]),
            command: String::new(),
            args: Vec::new(),
            policy: Arc::new(policy),
            prepare_timeout: Duration::ZERO,
            grace: Duration::ZERO,
            package: Digest([0; 32]),
            url: "ws://h?token=secret".to_owned().into(),
            traceparent: Some("00-1-2-01".to_owned()),
        };
        assert!(!format!("{spec:?}").contains("token=secret"), "{spec:?}");
        let host = ["PATH", "PATHS", "LC_ALL", "LC", "AWS_SECRET", "TRACEPARENT"].map(|name| (name.into(), "v".into()));
        let allow = ["PATH".to_owned(), "LC_*".to_owned(), "TRACEPARENT".to_owned()];
        let variables: Vec<_> = environment(host.into_iter(), &allow, &spec).collect();
        let names: Vec<_> = variables.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        let own = ["STORYDEN_RPC_URL", "PLUGD_RPC_URL", "PLUGD_PLUGIN_ID", "TRACEPARENT"];
        assert_eq!(names, [["PATH", "KEY", "LC_ALL"].as_slice(), &own].concat());
        assert_eq!([&variables[1].1, &variables[2].1], ["given", "given"], "the plugin's own come before the host's");
        assert_eq!(variables[6].1, "00-1-2-01", "plugd's own trace is not the plugin's");
    }
}
