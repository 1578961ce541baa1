//! What an operator decides about plugins: for all of them by settings, for one of them by a policy.

mod supervision;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    SandboxLevel, Secret,
    error::{Error, Result},
};

use supervision::LONGEST;
pub use supervision::{Supervision, SupervisionPolicy};
pub use values::{Limits, MaxRestarts, StopSignal, User, UserRange};

/// Most bytes of a policy as JSON: it is part of every record of its plugin.
pub const MAX_BYTES: usize = 16 * 1024;

/// Most characters of an image's name: a name has up to 255, a tag 128, a digest 71.
const MAX_IMAGE: usize = 512;

/// Variables that plugd itself sets: two with the URL that the plugin dials, and one with its id.
pub const OWN_VARIABLES: [&str; 4] = ["STORYDEN_RPC_URL", "PLUGD_RPC_URL", "PLUGD_PLUGIN_ID", "TRACEPARENT"];

/// What an operator decides about one supervised plugin. What is absent is as for all plugins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    #[serde(flatten)]
    pub process: ProcessPolicy,
    pub supervision: SupervisionPolicy,
}

/// The part of a policy that a process has from its start to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessPolicy {
    /// How much it is shut in.
    pub sandbox: Option<SandboxLevel>,
    /// Files and folders that it may read, beside those that all plugins may: absolute paths.
    pub read: Vec<String>,
    /// Files and folders that it may read and write besides.
    pub write: Vec<String>,
    /// TCP ports that it may connect to where it is shut in strictly, beside plugd's.
    pub tcp_ports: Vec<u16>,
    pub limits: Limits,
    /// Variables that it gets, beside those that all plugins get.
    pub environment: BTreeMap<String, Secret>,
    /// Who it runs as and who owns its files.
    pub user: Option<User>,
    pub stop_signal: Option<StopSignal>,
    /// The image of its container, where plugins are pods.
    pub image: Option<String>,
}

impl Policy {
    /// Whether a process that was started with this policy must make way for one that is started with the other.
    pub fn needs_another_run(&self, other: &Self) -> bool {
        self.process != other.process
    }

    /// Whether nothing is decided.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// # Errors
    /// `INVALID_ARGUMENT`: it is too large, or a path, a variable, a limit or a time can't be used.
    pub fn check(&self) -> Result<()> {
        let process = &self.process;
        let paths = [("read_paths", &process.read), ("write_paths", &process.write)].into_iter().flat_map(bad_paths);
        let variables = process.environment.iter().filter_map(bad_variable);
        let limits =
            process.limits.unusable().map(|name| fault(&format!("limits.{name}"), "is too little or too much"));
        let times = self.supervision.unusable().map(|name| {
            let problem = format!("must be more than nothing, and at most {} s", LONGEST.as_secs());
            fault(&format!("supervision.{name}"), &problem)
        });
        let image = process.image.as_ref().is_some_and(|image| !is_image(image)).then(|| {
            fault("image", &format!("is no image: at most {MAX_IMAGE} letters, digits and . _ - / : @ are expected"))
        });
        let ports = process.tcp_ports.contains(&0).then(|| fault("tcp_ports", "has port 0, which is none"));
        let size = (self.bytes() > MAX_BYTES)
            .then(|| Error::field("policy", format!("has more than {MAX_BYTES} bytes as JSON: make it smaller")));
        paths
            .chain(variables)
            .chain(limits)
            .chain(times)
            .chain(ports)
            .chain(image)
            .chain(size)
            .next()
            .map_or(Ok(()), Err)
    }

    fn bytes(&self) -> usize {
        serde_json::to_vec(self).map_or(usize::MAX, |json| json.len())
    }
}

/// Whether this can be the name of a container's image. A cluster says by itself whether there is one of that name.
pub fn is_image(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@[]".contains(&byte);
    (1..=MAX_IMAGE).contains(&name.len()) && name.bytes().all(is_usual)
}

fn fault(field: &str, problem: &str) -> Error {
    Error::field(format!("policy.{field}"), problem)
}

fn bad_paths((name, paths): (&'static str, &Vec<String>)) -> impl Iterator<Item = Error> {
    let is_bad = |path: &&String| !path.starts_with('/') || path.contains('\0');
    paths.iter().filter(is_bad).map(move |path| fault(name, &format!("has {path:?}, which is no absolute path")))
}

fn bad_variable((name, value): (&String, &Secret)) -> Option<Error> {
    let problem = if name.is_empty() || name.contains(['=', '\0']) {
        "is no name of a variable"
    } else if value.expose().contains('\0') {
        "has a NUL character"
    } else if OWN_VARIABLES.contains(&name.as_str()) {
        "is set by plugd itself"
    } else {
        return None;
    };
    Some(fault(&format!("environment.{name:?}"), problem))
}

#[cfg(test)]
mod tests;
