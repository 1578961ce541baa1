//! The one error that crosses module borders: a reason that programs switch on, words for a person.

use std::collections::BTreeMap;

/// Why something was refused or failed. Stable: clients switch on its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No such plugin, or not an id.
    PluginNotFound,
    /// No such access token.
    TokenNotFound,
    /// The plugin's package is not in the store of packages.
    PackageNotFound,
    /// There is no previous package to go back to.
    NoPreviousPackage,
    /// A field of the request is wrong.
    InvalidArgument,
    /// The archive is not a valid package.
    InvalidPackage,
    /// The manifest breaks a rule.
    InvalidManifest,
    /// The configuration does not fit the plugin's schema.
    InvalidConfiguration,
    /// The package belongs to another plugin.
    ManifestIdMismatch,
    /// A package could not be fetched from its address.
    FetchFailed,
    /// The request or archive is larger than allowed.
    TooLarge,
    /// Not possible for an external plugin.
    ExternalPlugin,
    /// Not possible for a supervised plugin.
    SupervisedPlugin,
    /// The plugin ended in error.
    PluginFailed,
    /// The plugin is not connected.
    PluginNotConnected,
    /// The plugin refused the configuration.
    ConfigurationRejected,
    /// The plugin answered a call with an error.
    PluginCallFailed,
    /// The plugin did not answer a call in time.
    PluginCallTimedOut,
    /// A later call changed the desired state.
    Superseded,
    /// The plugin is being deleted.
    BeingDeleted,
    /// The stored revision is another than the caller expected.
    RevisionConflict,
    /// Not settled within the time that the caller would wait.
    NotSettled,
    /// The revision is no longer kept.
    RevisionCompacted,
    /// The revision does not exist yet.
    RevisionUnknown,
    /// The cursor belongs to another history.
    EpochUnknown,
    /// The stream reached its maximum age.
    MaxAgeReached,
    /// The server is draining.
    Draining,
    /// Too many streams or calls at once.
    TooBusy,
    /// The store does not answer.
    StoreUnavailable,
    /// No credential, or not a valid one.
    Unauthenticated,
    /// The credential is good but not for this.
    PermissionDenied,
    /// The last administrator's token can't be revoked.
    LastAdminToken,
    /// Not built yet.
    Unimplemented,
    /// A defect of plugd; its log says more.
    Internal,
}

/// The kind of an error, in the words of gRPC's codes. `grpc::status` maps it to a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong whatever the state.
    InvalidArgument,
    /// There is no such thing.
    NotFound,
    /// The state does not allow it.
    FailedPrecondition,
    /// Something else came first.
    Aborted,
    /// A place outside of what is kept.
    OutOfRange,
    /// The time is up.
    DeadlineExceeded,
    /// Not now.
    Unavailable,
    /// Too much.
    ResourceExhausted,
    /// Who are you?
    Unauthenticated,
    /// Not you.
    PermissionDenied,
    /// Not built.
    Unimplemented,
    /// A defect.
    Internal,
}

impl Reason {
    /// The stable name: `PLUGIN_NOT_FOUND`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.row().1
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn suggestion(self) -> &'static str {
        self.row().2
    }

    /// Name, kind and suggestion, one row a reason.
    #[rustfmt::skip]
    #[allow(clippy::too_many_lines, reason = "a table")]
    const fn row(self) -> (&'static str, Kind, &'static str) {
        match self {
            Self::PluginNotFound => ("PLUGIN_NOT_FOUND", Kind::NotFound, "List the plugins to see their ids."),
            Self::TokenNotFound => ("TOKEN_NOT_FOUND", Kind::NotFound, "List the tokens to see their ids."),
            Self::PackageNotFound => ("PACKAGE_NOT_FOUND", Kind::NotFound, "Upload the package again."),
            Self::NoPreviousPackage => ("NO_PREVIOUS_PACKAGE", Kind::FailedPrecondition, "Upload the package that you want instead."),
            Self::InvalidArgument => ("INVALID_ARGUMENT", Kind::InvalidArgument, "Correct the field and send the request again."),
            Self::InvalidPackage => ("INVALID_PACKAGE", Kind::InvalidArgument, "Build the package again and upload it."),
            Self::InvalidManifest => ("INVALID_MANIFEST", Kind::InvalidArgument, "Correct the manifest and send it again."),
            Self::InvalidConfiguration => ("INVALID_CONFIGURATION", Kind::InvalidArgument, "Send each field with the type that its schema says."),
            Self::ManifestIdMismatch => ("MANIFEST_ID_MISMATCH", Kind::InvalidArgument, "Install the package as a plugin of its own, or upload one with the same manifest id."),
            Self::FetchFailed => ("FETCH_FAILED", Kind::InvalidArgument, "Check the address, or download the package yourself and upload it."),
            Self::TooLarge => ("TOO_LARGE", Kind::ResourceExhausted, "Send less: a package may have 50 MiB."),
            Self::ExternalPlugin => ("EXTERNAL_PLUGIN", Kind::FailedPrecondition, "External plugins are run by somebody else; start or stop them there."),
            Self::SupervisedPlugin => ("SUPERVISED_PLUGIN", Kind::FailedPrecondition, "Only external plugins have this; update the package instead."),
            Self::PluginFailed => ("PLUGIN_FAILED", Kind::FailedPrecondition, "Read the plugin's logs, mend it and activate it again."),
            Self::PluginNotConnected => ("PLUGIN_NOT_CONNECTED", Kind::FailedPrecondition, "Activate the plugin and wait until it is active."),
            Self::ConfigurationRejected => ("CONFIGURATION_REJECTED", Kind::FailedPrecondition, "Read the plugin's logs for why it refused the configuration."),
            Self::PluginCallFailed => ("PLUGIN_CALL_FAILED", Kind::FailedPrecondition, "Read the plugin's answer and its logs."),
            Self::PluginCallTimedOut => ("PLUGIN_CALL_TIMED_OUT", Kind::DeadlineExceeded, "Try again, or give the call more time."),
            Self::Superseded => ("SUPERSEDED", Kind::Aborted, "Read the plugin to see what is desired now; call again if you still want something else."),
            Self::BeingDeleted => ("BEING_DELETED", Kind::Aborted, "The plugin will be gone in a moment; nothing is left to do."),
            Self::RevisionConflict => ("REVISION_CONFLICT", Kind::Aborted, "Read the current revision and apply your change to that."),
            Self::NotSettled => ("NOT_SETTLED", Kind::DeadlineExceeded, "The transition goes on; read or watch the plugin to see it end."),
            Self::RevisionCompacted => ("REVISION_COMPACTED", Kind::OutOfRange, "Watch anew from a snapshot."),
            Self::RevisionUnknown => ("REVISION_UNKNOWN", Kind::OutOfRange, "Watch anew from a snapshot."),
            Self::EpochUnknown => ("EPOCH_UNKNOWN", Kind::OutOfRange, "The store is a new one; watch anew from a snapshot."),
            Self::MaxAgeReached => ("MAX_AGE_REACHED", Kind::Unavailable, "Resume with the last cursor."),
            Self::Draining => ("DRAINING", Kind::Unavailable, "Connect again in a moment and resume."),
            Self::TooBusy => ("TOO_BUSY", Kind::Unavailable, "Try again in a moment."),
            Self::StoreUnavailable => ("STORE_UNAVAILABLE", Kind::Unavailable, "Try again in a moment; running plugins go on running."),
            Self::Unauthenticated => ("UNAUTHENTICATED", Kind::Unauthenticated, "Send a token: \"authorization: Bearer TOKEN\". The first one is in admin.token in the data folder."),
            Self::PermissionDenied => ("PERMISSION_DENIED", Kind::PermissionDenied, "Use a token with the role that this needs."),
            Self::LastAdminToken => ("LAST_ADMIN_TOKEN", Kind::FailedPrecondition, "Create another administrator's token first."),
            Self::Unimplemented => ("UNIMPLEMENTED", Kind::Unimplemented, "Use a newer plugd."),
            Self::Internal => ("INTERNAL", Kind::Internal, "Read plugd's log, and report it."),
        }
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
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// No plugin has this id.
    #[must_use]
    pub fn plugin_not_found(id: &str) -> Self {
        let shown: String = id.chars().take(64).collect();
        Self::new(Reason::PluginNotFound, format!("there is no plugin {shown:?}")).with("plugin_id", shown)
    }
}
