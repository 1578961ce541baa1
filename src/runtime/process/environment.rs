//! The environment of a plugin: a few of the host's variables, the plugin's own three, nothing else.

use std::ffi::{OsStr, OsString};

use crate::runtime::StartSpec;

/// A variable and its value.
pub(super) type Variable = (OsString, OsString);

/// The host's variables that the operator allows, then those of the plugin.
pub(super) fn environment(
    host: impl Iterator<Item = Variable>,
    allow: &[String],
    spec: &StartSpec,
) -> impl Iterator<Item = Variable> {
    let own = [
        ("STORYDEN_RPC_URL", spec.url.expose().to_owned()),
        ("PLUGD_RPC_URL", spec.url.expose().to_owned()),
        ("PLUGD_PLUGIN_ID", spec.plugin.to_string()),
    ];
    let own = own.map(|(name, value)| (name.into(), value.into()));
    host.filter(|(name, _)| allow.iter().any(|pattern| is_match(pattern, name))).chain(own)
}

fn is_match(pattern: &str, name: &OsStr) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.as_encoded_bytes().starts_with(prefix.as_bytes()),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Digest, PluginId, RunId},
        runtime::StartSpec,
    };

    #[test]
    fn only_allowed_variables_and_the_plugins_own_pass() {
        let spec = StartSpec {
            plugin: PluginId::from_bytes([1; 12]),
            run: RunId::from_bytes([2; 12]),
            command: String::new(),
            args: Vec::new(),
            package: Digest([0; 32]),
            url: "ws://h?token=secret".to_owned().into(),
        };
        assert!(!format!("{spec:?}").contains("token=secret"), "{spec:?}");
        let host = ["PATH", "PATHS", "LC_ALL", "LC", "AWS_SECRET"].map(|name| (name.into(), "v".into()));
        let allow = ["PATH".to_owned(), "LC_*".to_owned()];
        let names: Vec<_> = environment(host.into_iter(), &allow, &spec).map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "LC_ALL", "STORYDEN_RPC_URL", "PLUGD_RPC_URL", "PLUGD_PLUGIN_ID"]);
    }
}
