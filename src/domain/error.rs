//! The one error that crosses module borders: a reason that programs switch on, words for a person.

use std::collections::BTreeMap;

/// The reasons, one row each: variant, stable name, kind, and what a person can do about it.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $variant:ident => $name:literal, $kind:ident, $suggestion:literal;)+) => {
        /// Why something was refused or failed. Stable: clients switch on its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])+ $variant,)+
        }

        impl Reason {
            /// Every reason that there is.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            const fn row(self) -> (&'static str, Kind, &'static str) {
                match self {
                    $(Self::$variant => ($name, Kind::$kind, $suggestion),)+
                }
            }
        }
    };
}

reasons! {
    /// No such plugin, or not an id.
    PluginNotFound => "PLUGIN_NOT_FOUND", NotFound, "List the plugins to see their ids.";
    /// No such access token.
    TokenNotFound => "TOKEN_NOT_FOUND", NotFound, "List the tokens to see their ids.";
    /// The plugin's package is not in the store of packages.
    PackageNotFound => "PACKAGE_NOT_FOUND", NotFound, "Upload the package again.";
    /// There is no previous package to go back to.
    NoPreviousPackage => "NO_PREVIOUS_PACKAGE", FailedPrecondition, "Upload the package that you want instead.";
    /// A field of the request is wrong.
    InvalidArgument => "INVALID_ARGUMENT", InvalidArgument, "Correct the field and send the request again.";
    /// The archive is not a valid package.
    InvalidPackage => "INVALID_PACKAGE", InvalidArgument, "Build the package again and upload it.";
    /// The manifest breaks a rule.
    InvalidManifest => "INVALID_MANIFEST", InvalidArgument, "Correct the manifest and send it again.";
    /// The configuration does not fit the plugin's schema.
    InvalidConfiguration => "INVALID_CONFIGURATION", InvalidArgument, "Send each field with the type that its schema says.";
    /// The package belongs to another plugin.
    ManifestIdMismatch => "MANIFEST_ID_MISMATCH", InvalidArgument, "Install the package as a plugin of its own, or upload one with the same manifest id.";
    /// A package could not be fetched from its address.
    FetchFailed => "FETCH_FAILED", InvalidArgument, "Check the address, or download the package yourself and upload it.";
    /// The request or archive is larger than allowed.
    TooLarge => "TOO_LARGE", ResourceExhausted, "Send less: a package may have 50 MiB.";
    /// As many access tokens work as there may be.
    TooManyTokens => "TOO_MANY_TOKENS", ResourceExhausted, "Revoke tokens that nobody uses, and give new ones a time after which they expire.";
    /// Not possible for an external plugin.
    ExternalPlugin => "EXTERNAL_PLUGIN", FailedPrecondition, "External plugins are run by somebody else; start or stop them there.";
    /// Not possible for a supervised plugin.
    SupervisedPlugin => "SUPERVISED_PLUGIN", FailedPrecondition, "Only external plugins have this; update the package instead.";
    /// The plugin ended in error.
    PluginFailed => "PLUGIN_FAILED", FailedPrecondition, "Mend what the message says, and the logs if the plugin ran; then update the package, or activate the same one again.";
    /// The plugin is not connected.
    PluginNotConnected => "PLUGIN_NOT_CONNECTED", FailedPrecondition, "Activate the plugin and wait until it is active.";
    /// The plugin refused the configuration.
    ConfigurationRejected => "CONFIGURATION_REJECTED", FailedPrecondition, "Read the plugin's logs for why it refused the configuration.";
    /// The plugin answered a call with an error.
    PluginCallFailed => "PLUGIN_CALL_FAILED", FailedPrecondition, "Read the plugin's answer and its logs.";
    /// The plugin did not answer a call in time.
    PluginCallTimedOut => "PLUGIN_CALL_TIMED_OUT", DeadlineExceeded, "Try again, or give the call more time.";
    /// A later call changed the desired state.
    Superseded => "SUPERSEDED", Aborted, "Read the plugin to see what is desired now; call again if you still want something else.";
    /// A request with this name was made before, for something else.
    RequestIdReused => "REQUEST_ID_REUSED", AlreadyExists, "Give each request a request_id of its own, for example a random UUID.";
    /// The plugin is being deleted.
    BeingDeleted => "BEING_DELETED", Aborted, "The plugin will be gone in a moment; nothing is left to do.";
    /// Something desired was changed since the caller looked.
    GenerationConflict => "GENERATION_CONFLICT", Aborted, "Read the plugin, and apply your change to what is desired of it now.";
    /// Not settled within the time that the caller would wait.
    NotSettled => "NOT_SETTLED", DeadlineExceeded, "The transition goes on; read or watch the plugin to see it end.";
    /// The revision is no longer kept.
    RevisionCompacted => "REVISION_COMPACTED", OutOfRange, "Watch anew from a snapshot.";
    /// The revision does not exist yet.
    RevisionUnknown => "REVISION_UNKNOWN", OutOfRange, "Watch anew from a snapshot.";
    /// The cursor belongs to another history.
    EpochUnknown => "EPOCH_UNKNOWN", OutOfRange, "The store is a new one; watch anew from a snapshot.";
    /// The stream reached its maximum age.
    MaxAgeReached => "MAX_AGE_REACHED", Unavailable, "Resume with the last cursor.";
    /// The server is draining.
    Draining => "DRAINING", Unavailable, "Connect again in a moment and resume.";
    /// Too many streams or calls at once.
    TooBusy => "TOO_BUSY", Unavailable, "Try again in a moment.";
    /// A package travels too slowly.
    TooSlow => "TOO_SLOW", DeadlineExceeded, "Try again over a faster connection.";
    /// The store does not answer.
    StoreUnavailable => "STORE_UNAVAILABLE", Unavailable, "Try again in a moment; running plugins go on running.";
    /// No credential, or not a valid one.
    Unauthenticated => "UNAUTHENTICATED", Unauthenticated, "Send a token: \"authorization: Bearer TOKEN\". The first one is in admin.token in the data folder.";
    /// The credential is good but not for this.
    PermissionDenied => "PERMISSION_DENIED", PermissionDenied, "Use a token with the role that this needs.";
    /// This plugd runs no plugins at all.
    PluginsDisabled => "PLUGINS_DISABLED", PermissionDenied, "Have the operator start plugd with --runtime-provider local.";
    /// The last administrator's token can't be revoked.
    LastAdminToken => "LAST_ADMIN_TOKEN", FailedPrecondition, "Create another administrator's token first.";
    /// A defect of plugd; its log says more.
    Internal => "INTERNAL", Internal, "Read plugd's log, and report it.";
}

/// The kind of an error, in the words of gRPC's codes. `grpc::status` maps it to a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong whatever the state.
    InvalidArgument,
    /// What the request names does not exist.
    NotFound,
    /// There is one already, and it is another.
    AlreadyExists,
    /// The plugin's state does not allow it.
    FailedPrecondition,
    /// Another change came first.
    Aborted,
    /// It lies outside of the history that is kept.
    OutOfRange,
    /// The time is up.
    DeadlineExceeded,
    /// Not possible at the moment.
    Unavailable,
    /// More than a limit allows.
    ResourceExhausted,
    /// There is no credential, or not a valid one.
    Unauthenticated,
    /// The credential is valid, but not for this.
    PermissionDenied,
    /// A defect of plugd.
    Internal,
}

impl Reason {
    /// The stable name: `PLUGIN_NOT_FOUND`.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The kind.
    pub const fn kind(self) -> Kind {
        self.row().1
    }

    /// What a person can do about it.
    pub const fn suggestion(self) -> &'static str {
        self.row().2
    }
}

/// One field of a request that is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field: `manifest.id`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// What was wrong. Its `Display` is for a person and holds nothing that only plugd's log should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// For programs.
    pub reason: Reason,
    /// For a person.
    pub message: String,
    /// Fields at fault, if any.
    pub violations: Vec<Violation>,
    /// More for programs, for example the plugin's id.
    pub metadata: BTreeMap<String, String>,
}

/// A result with the domain's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error for this reason in these words.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), violations: Vec::new(), metadata: BTreeMap::new() }
    }

    /// An `INVALID_ARGUMENT` about one field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        let violation = Violation { field: field.into(), description: description.into() };
        let message = format!("{}: {}", violation.field, violation.description);
        Self { violations: vec![violation], ..Self::new(Reason::InvalidArgument, message) }
    }

    /// The same with one more pair of metadata.
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// No plugin has this id.
    pub fn plugin_not_found(id: &str) -> Self {
        let shown = super::text::shorten(id, 64);
        Self::new(Reason::PluginNotFound, format!("there is no plugin {shown:?}")).with("plugin_id", shown)
    }
}
