//! What the pod of a run looks like, and whose pod one is.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::{Options, StartSpec};
use crate::{
    domain::{Failure, Placement, PluginId, RunId, Secret, Stage, policy::OWN_VARIABLES, policy::User},
    runtime::token_in,
};

/// The folder of install directories in a pod.
const FOLDER: &str = "/plugins";
/// The variable with the URL of the package.
pub const URL_VARIABLE: &str = "PLUGD_PACKAGE_URL";
/// The variable with the digest of the package.
pub const DIGEST_VARIABLE: &str = "PLUGD_PACKAGE_DIGEST";

/// The container that lays the package out, before the other one.
pub(super) const FETCHER: &str = "package";
/// The container of the plugin.
pub(super) const CONTAINER: &str = "plugin";

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const INSTANCE: &str = "plugd/instance";
const PLUGIN: &str = "plugd/plugin";
const RUN: &str = "plugd/run";

/// Who plugins run as of which nobody says it: no image has a user of this number with rights of its own.
const USER: User = User { uid: 65532, gid: 65532 };

/// The name of the pod of a run.
pub(super) fn name(plugin: PluginId, run: RunId) -> String {
    format!("plugd-{plugin}-{run}")
}

/// Where a run is of which this pod was seen, if any was.
pub(super) fn placement(namespace: Option<&str>, (plugin, run): (PluginId, RunId), pod: Option<&Pod>) -> Placement {
    let name = format!("{}/{}", namespace.unwrap_or_default(), name(plugin, run));
    let host = pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone());
    Placement { provider: "kubernetes".to_owned(), name, host }
}

/// The name of the claim of a plugin's volume. With the instance in it: else two databases that know the same plugin would share
/// its files.
pub(super) fn claim(instance: &str, plugin: PluginId) -> String {
    format!("plugd-{instance}-{plugin}")
}

/// Selects the pods of this instance.
pub(super) fn selector(instance: &str) -> String {
    format!("{INSTANCE}={instance}")
}

/// What tells whose something is.
pub(super) fn labels(instance: &str, plugin: PluginId) -> [(String, String); 3] {
    let labels = [(MANAGED_BY, "plugd".to_owned()), (INSTANCE, instance.to_owned()), (PLUGIN, plugin.to_string())];
    labels.map(|(name, value)| (name.to_owned(), value))
}

/// The plugin that something is of; none if its labels don't say so.
pub(super) fn plugin_of(metadata: &ObjectMeta) -> Option<PluginId> {
    metadata.labels.as_ref()?.get(PLUGIN)?.parse().ok()
}

/// Whose pod this is; none if its labels don't say so.
pub(super) fn whose(pod: &Pod) -> Option<(PluginId, RunId)> {
    let run = pod.metadata.labels.as_ref()?.get(RUN)?.parse().ok()?;
    Some((plugin_of(&pod.metadata)?, run))
}

/// Whether the pod is of this run of this instance.
pub(super) fn is_of(pod: &Pod, instance: &str, run: RunId) -> bool {
    let is_instance =
        pod.metadata.labels.as_ref().and_then(|labels| labels.get(INSTANCE)).is_some_and(|it| it == instance);
    is_instance && whose(pod).is_some_and(|(_, other)| other == run)
}

/// The token with which the plugin in the pod dials.
pub(super) fn token(pod: &Pod) -> Option<Secret> {
    let container = pod.spec.as_ref()?.containers.iter().find(|container| container.name == CONTAINER)?;
    let variable = container.env.as_ref()?.iter().find(|variable| OWN_VARIABLES[..2].contains(&&*variable.name))?;
    Some(token_in(variable.value.as_ref()?).to_owned().into())
}

/// How long what is in the pod may take to end.
pub(super) fn grace_of(pod: &Pod) -> Duration {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    Duration::from_secs(seconds.and_then(|seconds| seconds.try_into().ok()).unwrap_or(1))
}

/// Whole seconds, and never none: at zero the object goes at once, and the process stays.
pub(super) fn seconds(grace: Duration) -> u32 {
    let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

/// The pod of a run.
///
/// # Errors
/// No image is known for its command.
pub(super) fn mk_pod(options: &Options, spec: &StartSpec) -> Result<Pod, Failure> {
    let image = image(options, spec)?;
    let mut labels = BTreeMap::from(labels(&options.instance, spec.plugin));
    labels.insert(RUN.to_owned(), spec.run.to_string());
    let user = spec.policy.process.user.or(options.user).unwrap_or(USER);
    let pod = json!({
        "metadata": {"name": name(spec.plugin, spec.run), "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": seconds(spec.grace),
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": user.uid,
                "runAsGroup": user.gid,
                "fsGroup": user.gid,
                // Else each start would go through all files that a volume keeps.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [folder(options, spec.plugin), {"name": "tmp", "emptyDir": {}}],
            "initContainers": [fetching(options, spec)],
            "containers": [running(image, options, spec)],
        },
    });
    serde_json::from_value(pod)
        .map_err(|error| Failure::new(Stage::Start, format!("no pod can be made of it: {error}")).permanent())
}

/// The container that lays the package out.
fn fetching(options: &Options, spec: &StartSpec) -> Value {
    json!({
        "name": FETCHER,
        "image": options.plugd_image,
        "command": ["plugd", "fetch", FOLDER],
        "env": variables(fetch_variables(spec)),
        "volumeMounts": mounts(),
        "securityContext": shut_in(),
        // So that its last words are in the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

/// The container of the plugin.
fn running(image: &str, options: &Options, spec: &StartSpec) -> Value {
    let command: Vec<String> = [&spec.command].into_iter().chain(&spec.args).map(|text| literal(text)).collect();
    json!({
        "name": CONTAINER,
        "image": image,
        "command": command,
        "workingDir": format!("{FOLDER}/{}", spec.plugin),
        "env": variables(plugin_variables(spec)),
        "resources": {"limits": resources(options, spec)},
        "volumeMounts": mounts(),
        "securityContext": shut_in(),
    })
}

/// Where the plugin's folder is: in a volume of its own, if there are any, else gone with the pod.
fn folder(options: &Options, plugin: PluginId) -> Value {
    match &options.volumes {
        Some(_) => {
            json!({"name": "package", "persistentVolumeClaim": {"claimName": claim(&options.instance, plugin)}})
        }
        None => json!({"name": "package", "emptyDir": {}}),
    }
}

fn mounts() -> Value {
    json!([{"name": "package", "mountPath": FOLDER}, {"name": "tmp", "mountPath": "/tmp"}])
}

/// The policy's image, else the one for the plugin's command.
fn image<'a>(options: &'a Options, spec: &'a StartSpec) -> Result<&'a str, Failure> {
    if let Some(image) = &spec.policy.process.image {
        return Ok(image);
    }
    let command = &spec.command;
    let image_of = |name: &str| options.images.iter().find(|(known, _)| known == name).map(|(_, image)| image.as_str());
    image_of(command).or_else(|| image_of("*")).ok_or_else(|| {
        let words = format!(
            "no image is known for the command {command:?}: give the plugin one with `plugd policy set {} image=IMAGE`, or start \
             plugd with --kube-image {command}=IMAGE, or with *=IMAGE for all other commands",
            spec.plugin
        );
        Failure::new(Stage::Start, words).permanent()
    })
}

/// What keeps a container from all but its own folder and `/tmp`.
fn shut_in() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

fn resources(options: &Options, spec: &StartSpec) -> BTreeMap<&'static str, String> {
    let limits = spec.policy.process.limits.or(options.limits);
    let memory = limits.memory_bytes.map(|bytes| ("memory", bytes.to_string()));
    let cpu = limits.cpu_millis.map(|millis| ("cpu", format!("{millis}m")));
    memory.into_iter().chain(cpu).collect()
}

fn fetch_variables(spec: &StartSpec) -> Vec<(&str, String)> {
    let [_, _, id, _] = OWN_VARIABLES;
    let url = spec.url.expose().replacen("ws", "http", 1).replacen("/rpc?", "/rpc/package?", 1);
    vec![(id, spec.plugin.to_string()), (URL_VARIABLE, url), (DIGEST_VARIABLE, spec.package.to_string())]
}

fn plugin_variables(spec: &StartSpec) -> Vec<(&str, String)> {
    let given = spec.policy.process.environment.iter().map(|(name, value)| (name.as_str(), value.expose().to_owned()));
    given.chain(spec.own_variables()).collect()
}

fn variables(variables: Vec<(&str, String)>) -> Vec<Value> {
    variables.into_iter().map(|(name, value)| json!({"name": name, "value": literal(&value)})).collect()
}

/// A text that a cluster takes as it is: it would put a variable's value in place of `$(NAME)`.
fn literal(text: &str) -> String {
    text.replace("$(", "$$(")
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::{super::Volumes, *};
    use crate::domain::{
        Digest,
        policy::{Limits, Policy},
    };

    pub(in super::super) fn mk_spec(command: &str) -> StartSpec {
        StartSpec {
            plugin: PluginId::from_bytes([1; 12]),
            run: RunId::from_bytes([2; 12]),
            command: command.to_owned(),
            args: vec!["main.py".to_owned(), "$(HOME)".to_owned()],
            policy: Arc::default(),
            prepare_timeout: Duration::from_secs(60),
            grace: Duration::from_millis(1500),
            package: Digest([3; 32]),
            url: "ws://plugd:8000/rpc?plugin_id=x&token=sdprt_secret".to_owned().into(),
            traceparent: None,
        }
    }

    fn mk_options() -> Options {
        Options {
            namespace: None,
            instance: "here".to_owned(),
            images: vec![("python3".to_owned(), "python:3.13-slim".to_owned())],
            plugd_image: "plugd:1".to_owned(),
            limits: Limits { memory_bytes: Some(1024), ..Limits::default() },
            user: None,
            volumes: None,
            max_concurrent_starts: 1,
        }
    }

    #[test]
    fn a_run_is_where_its_pod_is() {
        let spec = mk_spec("python3");
        let mut pod = mk_pod(&mk_options(), &spec).unwrap();
        let placed = |pod: Option<&Pod>| placement(Some("ours"), (spec.plugin, spec.run), pod);
        let name = format!("ours/plugd-{}-{}", spec.plugin, spec.run);
        assert_eq!((placed(None).name, placed(Some(&pod)).host), (name, None));
        pod.spec.as_mut().unwrap().node_name = Some("a-host".to_owned());
        assert_eq!(placed(Some(&pod)).host.as_deref(), Some("a-host"));
        assert_eq!(placed(None).provider, "kubernetes");
    }

    #[test]
    fn a_pod_is_shut_in_and_has_what_its_policy_gives_it() {
        let mut policy = Policy::default();
        policy.process.environment.insert("KEY".to_owned(), "$(PATH)".to_owned().into());
        policy.process.limits.cpu_millis = Some(500);
        policy.process.user = User::new(7, 8);
        let spec = StartSpec { policy: Arc::new(policy), ..mk_spec("python3") };
        let pod = serde_json::to_value(mk_pod(&mk_options(), &spec).unwrap()).unwrap();
        let (pod, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
        assert_eq!(pod["restartPolicy"], "Never");
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(
            (&pod["terminationGracePeriodSeconds"], &pod["securityContext"]["runAsUser"]),
            (&json!(2), &json!(7))
        );
        for container in [&pod["initContainers"][0], container] {
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        }
        assert_eq!(container["image"], "python:3.13-slim");
        assert_eq!(container["command"], json!(["python3", "main.py", "$$(HOME)"]));
        assert_eq!(container["resources"]["limits"], json!({"memory": "1024", "cpu": "500m"}));
        assert_eq!(container["env"][0], json!({"name": "KEY", "value": "$$(PATH)"}));
    }

    #[test]
    fn a_pod_tells_whose_it_is_and_with_what_it_dials() {
        let spec = mk_spec("python3");
        let pod = mk_pod(&mk_options(), &spec).unwrap();
        assert_eq!(whose(&pod), Some((spec.plugin, spec.run)));
        assert!(is_of(&pod, "here", spec.run) && !is_of(&pod, "there", spec.run));
        assert_eq!(token(&pod).unwrap().expose(), "sdprt_secret");
        let fetched = fetch_variables(&spec);
        assert_eq!(fetched[1].1, "http://plugd:8000/rpc/package?plugin_id=x&token=sdprt_secret");
    }

    #[test]
    fn a_command_without_an_image_is_refused_with_the_option_that_would_give_it_one() {
        let failure = mk_pod(&mk_options(), &mk_spec("./greeter")).unwrap_err();
        assert!(
            failure.is_permanent
                && failure.message.contains("--kube-image ./greeter=IMAGE")
                && failure.message.contains("image=IMAGE`"),
            "{}",
            failure.message
        );
        let any = ("*".to_owned(), "debian".to_owned());
        let options = Options { images: vec![any], ..mk_options() };
        assert!(mk_pod(&options, &mk_spec("./greeter")).is_ok());
    }

    #[test]
    fn the_image_of_a_policy_goes_before_that_of_the_command() {
        let mut policy = Policy::default();
        policy.process.image = Some("registry.example/own:1".to_owned());
        for command in ["python3", "./greeter"] {
            let spec = StartSpec { policy: Arc::new(policy.clone()), ..mk_spec(command) };
            let pod = mk_pod(&mk_options(), &spec).unwrap().spec.unwrap();
            assert_eq!(pod.containers[0].image.as_deref(), Some("registry.example/own:1"));
            assert_eq!(pod.init_containers.unwrap()[0].image.as_deref(), Some("plugd:1"));
        }
    }

    #[test]
    fn the_folder_of_a_plugin_is_in_its_claim_where_there_are_claims() {
        let volumes = Some(Volumes { class: "fast".to_owned(), bytes: 1 });
        let spec = mk_spec("python3");
        let pod = mk_pod(&Options { volumes, ..mk_options() }, &spec).unwrap();
        let volumes = pod.spec.unwrap().volumes.unwrap();
        let used = volumes[0].persistent_volume_claim.as_ref().unwrap();
        assert_eq!((&*volumes[0].name, used.claim_name.clone()), ("package", claim("here", spec.plugin)));
        assert!(volumes[1].empty_dir.is_some());
    }

    #[test]
    fn no_grace_is_none_at_all() {
        let graces = [0, 1, 1000, 1001].map(|millis| seconds(Duration::from_millis(millis)));
        assert_eq!(graces, [1, 1, 1, 2]);
    }
}
