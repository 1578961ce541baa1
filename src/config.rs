//! What an operator can set: flags > environment > TOML file > defaults, typed.
//!
//! Each setting is declared once, in [`Config`] or [`RestConfig`]: its name (the key in the file, and with hyphens the
//! flag), its type, its default and the environment variables that it is read from, the first of which wins: the
//! `PLUGD_*` name, then the name that CONTRACT section 15 has for it. An empty variable counts as not set.
//! Durations are written as in Go (`100ms`, `5s`, `1m30s`), sizes as `10MB` or `64KiB`, lists with commas.
//!
//! The crate `figment` does the same with less precision: it knows no lines of a file, names one source for all
//! variables together, and guesses their types, so that a secret of digits becomes a number.

mod settings;
mod value;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use settings::{Environment, Error, Flags, Setting, Settings, load};
pub use value::{Bytes, Cpus, EventCatalog, HttpUrl, RuntimeProvider, Value, duration};

use crate::{
    domain::{
        SandboxLevel, Secret,
        policy::{MaxRestarts, StopSignal, User, UserRange},
    },
    telemetry::LogFormat,
};
use settings::settings;

settings! {
    /// Settings of `plugd serve`.
    pub struct Config checked by check {
        /// Address on which gRPC, REST and the plugins' WebSocket are served.
        listen: SocketAddr = "127.0.0.1:8000", "HOST:PORT", ["PLUGD_LISTEN", "LISTEN_ADDR"];
        /// Certificate that it is encrypted with, PEM, with those that vouch for it; read again when it changes; not set = no encryption.
        tls_cert: Option<PathBuf> = "", "FILE", ["PLUGD_TLS_CERT"];
        /// The certificate's private key, PEM.
        tls_key: Option<PathBuf> = "", "FILE", ["PLUGD_TLS_KEY"];
        /// Serve encrypted with a certificate that plugd makes for itself and keeps in its data folder.
        tls_self_signed: bool = "false", "BOOL", ["PLUGD_TLS_SELF_SIGNED"];
        /// Who vouches for clients, PEM: nobody without a certificate of theirs gets a connection; not set = everybody does.
        tls_client_ca: Option<PathBuf> = "", "FILE", ["PLUGD_TLS_CLIENT_CA"];
        /// Folder of everything that plugd stores.
        data_dir: PathBuf = "./data", "DIR", ["PLUGD_DATA_DIR"];
        /// Folder of the plugins' working directories and logs.
        plugin_dir: PathBuf = "{data_dir}/plugins", "DIR", ["PLUGD_PLUGIN_DIR", "PLUGIN_DATA_PATH"];
        /// Address of the database: sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE, percent-encoded; better given by variable or file than by flag, which others can see; not set = the file plugd.db in the data folder.
        database_url: Option<String> = "", "URL", ["PLUGD_DATABASE_URL"];
        /// Address at which the other plugd on the same PostgreSQL reach this one: one of them leads, the others follow; not set = it is alone.
        advertise: Option<HttpUrl> = "", "URL", ["PLUGD_ADVERTISE"];
        /// File with what they know each other by, the same for each: at least 32 characters that nobody can guess.
        cluster_token_file: Option<PathBuf> = "", "FILE", ["PLUGD_CLUSTER_TOKEN_FILE"];
        /// Who vouches for them where their addresses are https, PEM; not set = those whom browsers believe.
        cluster_ca: Option<PathBuf> = "", "FILE", ["PLUGD_CLUSTER_CA"];
        /// What runs supervised plugins: local (processes of this host), kubernetes (pods of the cluster that KUBECONFIG names, or that plugd itself is a pod of) or none.
        runtime_provider: RuntimeProvider = "local", "NAME", ["PLUGD_RUNTIME_PROVIDER", "PLUGIN_RUNTIME_PROVIDER"];
        /// Address at which pods reach this plugd, like http://plugd:8000: their packages come from there, and plugins dial it.
        kube_plugd_url: Option<HttpUrl> = "", "URL", ["PLUGD_KUBE_PLUGD_URL"];
        /// Image for each command that a manifest may name, as python3=python:3.13-slim, with commas; *=IMAGE is for all others.
        kube_image: Vec<String> = "", "COMMAND=IMAGE", ["PLUGD_KUBE_IMAGE"];
        /// Image of plugd, which lays packages out in pods; not set = plugd of this version.
        kube_plugd_image: Option<String> = "", "IMAGE", ["PLUGD_KUBE_PLUGD_IMAGE"];
        /// Namespace of the plugins' pods; not set = that of plugd's own pod, or of the context in KUBECONFIG.
        kube_namespace: Option<String> = "", "NAME", ["PLUGD_KUBE_NAMESPACE"];
        /// Storage class of the volumes in which the folders of plugins outlive their pods, one for each plugin; not set = they are gone with the pod.
        kube_volume_claims: Option<String> = "", "CLASS", ["PLUGD_KUBE_VOLUME_CLAIMS"];
        /// Size of each of those volumes; those that there are stay as they are.
        kube_volume_size: Bytes = "1GiB", "SIZE", ["PLUGD_KUBE_VOLUME_SIZE"];
        /// Restarts of a crashing plugin before it is in error, or unlimited.
        max_restart_attempts: MaxRestarts = "3", "N", ["PLUGD_MAX_RESTART_ATTEMPTS", "PLUGIN_MAX_RESTART_ATTEMPTS"];
        /// Delay before the first restart; doubles each time.
        backoff: Duration = "1s", "TIME", ["PLUGD_BACKOFF"];
        /// The most that the delay grows to.
        max_backoff: Duration = "60s", "TIME", ["PLUGD_MAX_BACKOFF", "PLUGIN_MAX_BACKOFF_DURATION"];
        /// How long a plugin runs until it is stable, which clears its restart count.
        stable_after: Duration = "30s", "TIME", ["PLUGD_STABLE_AFTER", "PLUGIN_RUNTIME_CRASH_THRESHOLD"];
        /// Delay before the restart of a plugin that was stable.
        stable_crash_backoff: Duration = "5s", "TIME", ["PLUGD_STABLE_CRASH_BACKOFF", "PLUGIN_RUNTIME_CRASH_BACKOFF"];
        /// How long the laying out of a package may take.
        prepare_timeout: Duration = "60s", "TIME", ["PLUGD_PREPARE_TIMEOUT"];
        /// How long a started plugin may take to connect.
        connect_timeout: Duration = "30s", "TIME", ["PLUGD_CONNECT_TIMEOUT"];
        /// How often a connected plugin is asked for proof of life.
        ping_interval: Duration = "15s", "TIME", ["PLUGD_PING_INTERVAL"];
        /// How long it may take to answer that.
        ping_timeout: Duration = "10s", "TIME", ["PLUGD_PING_TIMEOUT"];
        /// How long a plugin whose connection was lost may take to dial in again or to exit.
        reconnect_timeout: Duration = "10s", "TIME", ["PLUGD_RECONNECT_TIMEOUT"];
        /// Signal that asks a plugin to stop.
        stop_signal: StopSignal = "SIGINT", "SIGNAL", ["PLUGD_STOP_SIGNAL"];
        /// How long after that signal a plugin is killed.
        grace: Duration = "5s", "TIME", ["PLUGD_GRACE"];
        /// How long after the kill a plugin is reported as unkillable.
        kill_timeout: Duration = "5s", "TIME", ["PLUGD_KILL_TIMEOUT"];
        /// Plugins that are started at the same time.
        max_concurrent_starts: u32 = "8", "N", ["PLUGD_MAX_CONCURRENT_STARTS"];
        /// User and group that plugins run as and own their folders as, as 1000:1000; needs root; not set = plugd's own.
        plugin_user: Option<User> = "", "UID:GID", ["PLUGD_PLUGIN_USER"];
        /// Users of whom each plugin gets one for itself and as its group, as 60000-64999; needs root; not set = no such users.
        plugin_uids: Option<UserRange> = "", "UID-UID", ["PLUGD_PLUGIN_UIDS"];
        /// How much plugins are shut in: off, protect (they see their own folder and none of plugd's, and write there and to temporary files only) or strict (besides, they read the system's folders only and connect to plugd only); a policy allows one plugin more.
        sandbox: SandboxLevel = "protect", "LEVEL", ["PLUGD_SANDBOX"];
        /// Files and folders that plugins may read besides.
        sandbox_read: Vec<PathBuf> = "", "PATH:PATH", ["PLUGD_SANDBOX_READ"];
        /// Files and folders that they may read and write besides.
        sandbox_write: Vec<PathBuf> = "", "PATH:PATH", ["PLUGD_SANDBOX_WRITE"];
        /// Memory of a plugin, all its processes together; without a control group the address space of each of them; not set = as plugd's.
        limit_memory: Option<Bytes> = "", "SIZE", ["PLUGD_LIMIT_MEMORY"];
        /// Files that each process of a plugin may have open; not set = as plugd's.
        limit_open_files: Option<u64> = "", "N", ["PLUGD_LIMIT_OPEN_FILES"];
        /// Processes and threads of a plugin; without a control group those of the plugins' user, all plugins together, and no limit for root; not set = as plugd's.
        limit_processes: Option<u64> = "", "N", ["PLUGD_LIMIT_PROCESSES"];
        /// Size of a file that a plugin writes; not set = as plugd's.
        limit_file_size: Option<Bytes> = "", "SIZE", ["PLUGD_LIMIT_FILE_SIZE"];
        /// Processors of a plugin, like 2 or 0.5; needs a control group; not set = as plugd's.
        limit_cpus: Option<Cpus> = "", "N", ["PLUGD_LIMIT_CPUS"];
        /// Processor time after which a process of a plugin is ended, in whole seconds; not set = as plugd's.
        limit_cpu_time: Option<Duration> = "", "TIME", ["PLUGD_LIMIT_CPU_TIME"];
        /// Address of the application's own API, as plugins are told it.
        public_api_address: HttpUrl = "http://localhost:8000", "URL", ["PLUGD_PUBLIC_API_ADDRESS", "PUBLIC_API_ADDRESS"];
        /// Key that `access_get` gives plugins when no application answers it.
        access_key: Option<Secret> = "", "KEY", ["PLUGD_ACCESS_KEY"];
        /// Variables of plugd's environment that plugins get; a trailing * matches the rest of a name.
        env_allow: Vec<String> = "PATH,HOME,LANG,LC_*,TZ,TMPDIR", "NAMES", ["PLUGD_ENV_ALLOW"];
        /// Origins, besides plugd's own, whose pages may read with a cookie; to change things they need a bearer token.
        allowed_origins: Vec<String> = "", "ORIGINS", ["PLUGD_ALLOWED_ORIGINS"];
        /// Whether packages may be fetched from private addresses, and webhooks posted to those, as in a closed network.
        fetch_private: bool = "false", "BOOL", ["PLUGD_FETCH_PRIVATE"];
        /// Events that manifests may name: none (any), storyden, or a file with one name a line.
        event_catalog: EventCatalog = "none", "NAME|FILE", ["PLUGD_EVENT_CATALOG"];
        /// How often an idle watch gets a heartbeat that asked for no other interval.
        heartbeat: Duration = "15s", "TIME", ["PLUGD_HEARTBEAT"];
        /// Age at which a watch is ended, to be resumed; not set = never.
        watch_max_age: Option<Duration> = "", "TIME", ["PLUGD_WATCH_MAX_AGE"];
        /// Address on which metrics are served to everybody, at /metrics; besides, a viewer's token gets them from the address above.
        metrics_listen: Option<SocketAddr> = "", "HOST:PORT", ["PLUGD_METRICS_LISTEN"];
        /// Addresses of proxies, `plugd rest` among them, that are believed whom they speak for (X-Forwarded-For), with commas.
        trusted_proxies: Vec<IpAddr> = "", "ADDRESSES", ["PLUGD_TRUSTED_PROXIES"];
        /// Revisions that can be resumed from.
        journal_keep: u64 = "100000", "N", ["PLUGD_JOURNAL_KEEP"];
        /// Calls that the audit trail remembers; older ones are forgotten.
        audit_keep: u64 = "100000", "N", ["PLUGD_AUDIT_KEEP"];
        /// Size at which a plugin's log is rotated.
        log_max_bytes: Bytes = "10MB", "SIZE", ["PLUGD_LOG_MAX_BYTES"];
        /// Rotated logs that are kept of each plugin, at most 2000; each run begins a new one.
        log_keep: u32 = "3", "N", ["PLUGD_LOG_KEEP"];
        /// Connections of clients that are open at the same time; plugins' connections do not count.
        max_connections: u32 = "1024", "N", ["PLUGD_MAX_CONNECTIONS"];
        /// Form of plugd's own log: text or json.
        log_format: LogFormat = "text", "FORMAT", ["PLUGD_LOG_FORMAT"];
        /// What plugd's own log holds, as "info" or "warn,plugd=debug".
        log: String = "info,sea_orm_migration=warn", "FILTER", ["PLUGD_LOG"];
    }
}

settings! {
    /// Settings of `plugd rest`, the REST shim in a process of its own.
    pub struct RestConfig checked by check_rest {
        /// Address on which REST is served.
        listen: SocketAddr = "127.0.0.1:8001", "HOST:PORT", ["PLUGD_REST_LISTEN"];
        /// Certificate that it is encrypted with, PEM, with those that vouch for it; read again when it changes; not set = no encryption.
        tls_cert: Option<PathBuf> = "", "FILE", ["PLUGD_REST_TLS_CERT"];
        /// The certificate's private key, PEM.
        tls_key: Option<PathBuf> = "", "FILE", ["PLUGD_REST_TLS_KEY"];
        /// Address of the plugd that answers.
        upstream: HttpUrl = "http://127.0.0.1:8000", "URL", ["PLUGD_UPSTREAM"];
        /// Who vouches for that plugd, or its own certificate, PEM; not set = those whom browsers believe.
        upstream_ca: Option<PathBuf> = "", "FILE", ["PLUGD_UPSTREAM_CA"];
        /// Certificate to show to it, PEM; needed where it has a tls_client_ca.
        upstream_cert: Option<PathBuf> = "", "FILE", ["PLUGD_UPSTREAM_CERT"];
        /// That certificate's private key, PEM.
        upstream_key: Option<PathBuf> = "", "FILE", ["PLUGD_UPSTREAM_KEY"];
        /// Origins, besides its own, whose pages may read with a cookie; to change things they need a bearer token.
        allowed_origins: Vec<String> = "", "ORIGINS", ["PLUGD_ALLOWED_ORIGINS"];
        /// Connections that are open at the same time.
        max_connections: u32 = "1024", "N", ["PLUGD_MAX_CONNECTIONS"];
        /// Form of its own log: text or json.
        log_format: LogFormat = "text", "FORMAT", ["PLUGD_LOG_FORMAT"];
        /// What its own log holds, as "info" or "warn,plugd=debug".
        log: String = "info,sea_orm_migration=warn", "FILTER", ["PLUGD_LOG"];
    }
}

/// Refuses settings of `plugd serve` that don't go together.
fn check(config: &Config) -> Result<(), &'static str> {
    let is_inside = config.plugin_dir.starts_with(&config.data_dir);
    let is_server = config.database_url.as_ref().is_some_and(|url| url.starts_with("postgres"));
    let rules = [
        (
            config.advertise.is_some() != config.cluster_token_file.is_some(),
            "advertise and cluster_token_file belong together: set both on each node of a cluster, or none",
        ),
        (
            config.advertise.is_some() && !is_server,
            "advertise needs a database that several plugd can use: set database_url to one of PostgreSQL",
        ),
        (
            config.plugin_user.is_some() && is_inside,
            "plugin_user can't enter data_dir, which is plugd's alone: set plugin_dir to a folder outside of it",
        ),
        (
            config.plugin_uids.is_some() && is_inside,
            "plugin_uids can't enter data_dir, which is plugd's alone: set plugin_dir to a folder outside of it",
        ),
        (
            config.plugin_uids.is_some() && config.plugin_user.is_some(),
            "plugin_uids and plugin_user exclude each other: plugins have a user each, or all the same",
        ),
        (
            config.runtime_provider == RuntimeProvider::Kubernetes && config.kube_plugd_url.is_none(),
            "runtime_provider kubernetes needs kube_plugd_url: the address at which pods reach this plugd",
        ),
        (
            config
                .kube_image
                .iter()
                .any(|image| image.split_once('=').is_none_or(|(name, image)| name.is_empty() || image.is_empty())),
            "kube_image takes COMMAND=IMAGE, like python3=python:3.13-slim, with commas between them",
        ),
        (config.kube_volume_size.0 == 0, "kube_volume_size is 0: no plugin could keep anything"),
        (config.ping_interval.is_zero(), "ping_interval is zero: give it at least 1s"),
        (config.heartbeat.is_zero(), "heartbeat is zero: give it at least 1s"),
        (config.max_concurrent_starts == 0, "max_concurrent_starts is 0: nothing would ever start"),
        (config.max_connections == 0, NOBODY_CONNECTS),
    ];
    rules.into_iter().find(|(is_broken, _)| *is_broken).map_or(Ok(()), |(_, message)| Err(message))
}

/// The same for `plugd rest`.
fn check_rest(config: &RestConfig) -> Result<(), &'static str> {
    if config.max_connections == 0 { Err(NOBODY_CONNECTS) } else { Ok(()) }
}

const NOBODY_CONNECTS: &str = "max_connections is 0: nobody could connect";

#[cfg(test)]
mod tests;
