//! The gRPC API, one file a service. `auth` decides who may call what, `convert` what travels, `status` how errors look.
//!
//! A new RPC is, in this order:
//!
//! 1. documented in its service's file in `proto/plugd/v1`;
//! 2. a row of `METHODS` in `auth`: who may call it, and whether it changes something and so is audited;
//! 3. a function in the service's file here. What it changes of what is desired is a variant of
//!    `domain::change::DesiredChange`, which `supervisor::Handle` commits;
//! 4. a handler in the file of its resource in `rest`, if browsers need it, and a command in `cli`, if operators do;
//! 5. in the servers that the tests of these two have (`rest/tests/fake.rs`, `cli/tests/fake.rs`), and in a test in `tests/`.

mod about;
mod access;
mod audit;
mod auth;
mod bus;
mod configuration;
mod convert;
mod failures;
mod hook;
mod log;
mod package;
mod page;
mod plugin;
mod policy;
mod server;
pub mod status;
mod streams;
pub mod tokens;
mod transfers;
mod upload;
mod wait;
mod watch;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use self::transfers::Places;
pub use self::{
    about::{Examination, Identity, Part, ServerService},
    access::AccessService,
    auth::{Guard, caller, in_time, is_method},
    bus::BusService,
    hook::HookService,
    server::{Builder, InMemory, Server},
    tokens::{Access, Caller},
};
use crate::{
    domain::{Error, Reason, RunId, Usage, events::EventCatalog},
    fetch,
    logs::Logs,
    store::Store,
    supervisor::{Handle, Packages},
    telemetry::trace::Parent,
};

/// For the fuzzer: reads a token of each list, and a cursor. What is read is spelled so that it is read as the same.
#[cfg(fuzzing)]
pub(crate) fn fuzz_cursor(text: &str) {
    fuzz_place::<crate::domain::plugin::Place>(text);
    fuzz_place::<crate::domain::TokenId>(text);
    fuzz_place::<u64>(text);
    fuzz_place::<(String, u64)>(text);
}

#[cfg(fuzzing)]
fn fuzz_place<P: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) {
    let scope = page::Scope::new("ListPlugins", &());
    let place = scope.place::<P>(text);
    assert_eq!(place.as_ref().and_then(|place| scope.place(&scope.token(place))), place);
}

type Answer<T> = Result<Response<T>, Status>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Tells what a run uses of the host, if that is known. It must not wait.
pub type UsageOf = Arc<dyn Fn(RunId) -> Option<Usage> + Send + Sync>;

/// What the services about plugins are made of.
pub struct Parts {
    /// Plugins.
    pub handle: Handle,
    /// Packages.
    pub packages: Arc<Packages>,
    /// What plugins print.
    pub logs: Logs,
    /// What plugins use.
    pub usage: UsageOf,
    /// Earlier configurations.
    pub store: Store,
    /// Events that manifests may name.
    pub catalog: EventCatalog,
    /// How packages are downloaded.
    pub fetch: fetch::Options,
    /// How often an idle watch hears something, unless it says.
    pub heartbeat: Duration,
    /// The longest that a watch may last; none: no limit.
    pub watch_max_age: Option<Duration>,
    /// Supervised plugins are not run here (CONTRACT 1.2).
    pub is_disabled: bool,
    /// Ends streams.
    pub draining: CancellationToken,
}

/// The services about plugins: `PluginService`, `PackageService`, `ConfigurationService` and `LogService`.
#[derive(Clone)]
pub struct Services {
    parts: Arc<Parts>,
    uploads: Arc<Places>,
    downloads: Arc<Places>,
    encoded: Arc<watch::Encoded>,
}

/// What comes of a call is a part of this.
fn parent_of<T>(request: &Request<T>) -> Option<Parent> {
    Parent::of(request.metadata().as_ref())
}

impl Services {
    /// The services over these parts.
    pub fn new(parts: Parts) -> Self {
        let [uploads, downloads] = ["uploads", "downloads"].map(|what| Arc::new(Places::new(what)));
        Self { parts: Arc::new(parts), uploads, downloads, encoded: Arc::default() }
    }

    /// Uploads and downloads of packages that are under way.
    pub fn transfers(&self) -> [usize; 2] {
        [self.uploads.taken(), self.downloads.taken()]
    }

    /// The caller, unless plugins are disabled altogether.
    fn admit<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        if self.parts.is_disabled {
            let message = "This plugd has not enabled plugins.";
            return Err(Error::new(Reason::PluginsDisabled, message).with("disabled", "plugins").into());
        }
        caller(request)
    }
}
