//! The one error that crosses module borders: a reason that programs switch on, words for a person.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// The reasons, one row each: variant, stable name, kind, and what a person can do about it.
macro_rules! reasons {
    ($($variant:ident => $name:literal, $kind:ident, $suggestion:literal;)+) => {
        /// Why something was refused or failed. Stable: clients switch on its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $(#[serde(rename = $name)] $variant,)+
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
    PluginNotFound => "PLUGIN_NOT_FOUND", NotFound, "List the plugins to see their ids.";
    TokenNotFound => "TOKEN_NOT_FOUND", NotFound, "List the tokens to see their ids.";
    HookNotFound => "HOOK_NOT_FOUND", NotFound, "List the webhooks to see their ids.";
    PackageNotFound => "PACKAGE_NOT_FOUND", NotFound, "Upload the package again.";
    NoPreviousPackage => "NO_PREVIOUS_PACKAGE", FailedPrecondition, "Upload the package that you want instead.";
    InvalidArgument => "INVALID_ARGUMENT", InvalidArgument, "Correct the field and send the request again.";
    InvalidPackage => "INVALID_PACKAGE", InvalidArgument, "Build the package again and upload it.";
    InvalidManifest => "INVALID_MANIFEST", InvalidArgument, "Correct the manifest and send it again.";
    InvalidConfiguration => "INVALID_CONFIGURATION", InvalidArgument, "Send each field with the type that its schema says.";
    ManifestIdMismatch => "MANIFEST_ID_MISMATCH", InvalidArgument, "Install the package as a plugin of its own, or upload one with the same manifest id.";
    FetchFailed => "FETCH_FAILED", InvalidArgument, "Check the address, or download the package yourself and upload it.";
    TooLarge => "TOO_LARGE", ResourceExhausted, "Send less; a package may have 50 MiB at most.";
    TooManyFailedAttempts => "TOO_MANY_FAILED_ATTEMPTS", ResourceExhausted, "Send a token that is good: that is taken at once. Others are looked at again in a while.";
    TooManyTokens => "TOO_MANY_TOKENS", ResourceExhausted, "Revoke tokens that are not used, and let new ones expire.";
    TooManyHooks => "TOO_MANY_HOOKS", ResourceExhausted, "Delete webhooks that are not used; one can tell of all plugins.";
    DeliveryFailed => "DELIVERY_FAILED", FailedPrecondition, "Mend what the message says, at the receiver or in the address, and test again.";
    ExternalPlugin => "EXTERNAL_PLUGIN", FailedPrecondition, "External plugins are run by somebody else; start or stop them there.";
    SupervisedPlugin => "SUPERVISED_PLUGIN", FailedPrecondition, "Only external plugins have this; update the package instead.";
    PluginFailed => "PLUGIN_FAILED", FailedPrecondition, "Read the message and the plugin's logs, then update the package, or activate the same one again.";
    PluginNotConnected => "PLUGIN_NOT_CONNECTED", FailedPrecondition, "Activate the plugin; an external one has to dial in by itself. Then wait until it is active.";
    ConfigurationRejected => "CONFIGURATION_REJECTED", FailedPrecondition, "Read the plugin's logs for why it refused the configuration.";
    PluginCallFailed => "PLUGIN_CALL_FAILED", FailedPrecondition, "Read the plugin's answer and its logs.";
    PluginCallTimedOut => "PLUGIN_CALL_TIMED_OUT", DeadlineExceeded, "Try again, or give the call more time.";
    Superseded => "SUPERSEDED", Aborted, "Read the plugin to see what is desired now; call again if you still want something else.";
    RequestIdReused => "REQUEST_ID_REUSED", AlreadyExists, "Give each request a request_id of its own, for example a random UUID.";
    BeingDeleted => "BEING_DELETED", Aborted, "Nothing is left to do: the plugin will be gone in a moment.";
    GenerationConflict => "GENERATION_CONFLICT", Aborted, "Read the plugin, and apply your change to what is desired of it now.";
    NotSettled => "NOT_SETTLED", DeadlineExceeded, "The transition goes on; read or watch the plugin to see it end.";
    DeadlineExceeded => "DEADLINE_EXCEEDED", DeadlineExceeded, "What was asked for may still happen: read the plugin to see. Give the call more time.";
    RevisionCompacted => "REVISION_COMPACTED", OutOfRange, "Start a new watch without a cursor.";
    RevisionUnknown => "REVISION_UNKNOWN", OutOfRange, "Start a new watch without a cursor.";
    EpochUnknown => "EPOCH_UNKNOWN", OutOfRange, "The cursor is of another store; start a new watch without a cursor.";
    MaxAgeReached => "MAX_AGE_REACHED", Unavailable, "Resume with the last cursor.";
    Draining => "DRAINING", Unavailable, "Connect again in a moment and resume.";
    TooBusy => "TOO_BUSY", Unavailable, "Try again in a moment.";
    TooSlow => "TOO_SLOW", DeadlineExceeded, "Try again over a faster connection.";
    StoreUnavailable => "STORE_UNAVAILABLE", Unavailable, "Try again in a moment; running plugins go on running.";
    NoLeader => "NO_LEADER", Unavailable, "Try again in a moment: another node takes the lead by itself.";
    Unauthenticated => "UNAUTHENTICATED", Unauthenticated, "Send a token: \"authorization: Bearer TOKEN\". The first one is in admin.token in the data folder.";
    PermissionDenied => "PERMISSION_DENIED", PermissionDenied, "Use a token with the role that this needs.";
    PluginsDisabled => "PLUGINS_DISABLED", PermissionDenied, "Have the operator start plugd with --runtime-provider local.";
    LastAdminToken => "LAST_ADMIN_TOKEN", FailedPrecondition, "Create another administrator's token first.";
    Internal => "INTERNAL", Internal, "Report it, with what plugd's log says of it.";
}

/// The kind of an error, in the words of gRPC's codes. `grpc::status` maps it to a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    DeadlineExceeded,
    Unavailable,
    ResourceExhausted,
    Unauthenticated,
    PermissionDenied,
    Internal,
}

impl Reason {
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    pub const fn kind(self) -> Kind {
        self.row().1
    }

    pub const fn suggestion(self) -> &'static str {
        self.row().2
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field: `manifest.id`.
    pub field: String,
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
    pub violations: Vec<Violation>,
    /// More for programs, for example the plugin's id.
    pub metadata: BTreeMap<String, String>,
    /// After how long trying again makes sense, where that is known.
    pub retry_after: Option<Duration>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let (violations, metadata) = (Vec::new(), BTreeMap::new());
        Self { reason, message: message.into(), violations, metadata, retry_after: None }
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

    /// The same, which makes sense to try again after this long.
    pub fn after(self, delay: Duration) -> Self {
        Self { retry_after: Some(delay), ..self }
    }

    pub fn hook_not_found(id: &str) -> Self {
        let shown = super::text::shorten(id, 64);
        Self::new(Reason::HookNotFound, format!("there is no webhook {shown:?}")).with("hook_id", shown)
    }

    pub fn plugin_not_found(id: &str) -> Self {
        let shown = super::text::shorten(id, 64);
        Self::new(Reason::PluginNotFound, format!("there is no plugin {shown:?}")).with("plugin_id", shown)
    }
}
