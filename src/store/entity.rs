//! The tables, with a column for each thing that an operator would ask for in SQL. Words, ids and digests are text as the
//! API writes them; times are the database's own. [`super::rows`] makes them of the domain's types and back.

use sea_orm::{
    ColIdx, DbErr, IntoActiveValue, QueryResult, TryFromU64, TryGetError, TryGetable, Value,
    sea_query::{ArrayType, ColumnType, Nullable, StringLen, ValueType, ValueTypeErr, postgres_array::NotU8},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::domain::{ActiveState, Confinement, Digest, HookId, Mode, PluginId, RunId, State, TokenId, access::Role};

/// Key of the only row of `store`.
pub(super) const ROW: i32 = 1;

/// The text that serde writes for a value: an id, a digest, or the word of an enum's variant.
fn text<T: Serialize>(value: &T) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The value that serde writes as this text.
fn from_text<T: DeserializeOwned>(text: String) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(text))
}

/// Makes the domain's own types columns of text: `sea_orm`'s derives would have to be written on them, or on twins of them.
macro_rules! text_columns {
    ($($name:ty),+) => { $(
        impl From<$name> for Value {
            fn from(value: $name) -> Self {
                Self::String(text(&value))
            }
        }

        impl TryGetable for $name {
            fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
                from_text(String::try_get_by(row, index)?).map_err(|error| DbErr::Type(error.to_string()).into())
            }
        }

        impl ValueType for $name {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                from_text(<String as ValueType>::try_from(value)?).map_err(|_| ValueTypeErr)
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> ArrayType {
                ArrayType::String
            }

            fn column_type() -> ColumnType {
                ColumnType::String(StringLen::None)
            }
        }

        impl Nullable for $name {
            fn null() -> Value {
                Value::String(None)
            }
        }

        impl IntoActiveValue<$name> for $name {
            fn into_active_value(self) -> sea_orm::ActiveValue<$name> {
                sea_orm::ActiveValue::Set(self)
            }
        }

        impl NotU8 for $name {}

        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )+ };
}

text_columns!(ActiveState, Confinement, Mode, State, Role, Digest, HookId, PluginId, RunId, TokenId);

/// What the tables are made of.
mod prelude {
    pub use sea_orm::entity::prelude::*;
    pub use serde::{Deserialize, Serialize};

    pub use crate::domain::{
        ActiveState, Confinement, Digest, HookId, Mode, PluginId, RunId, State, TokenId, access::Role,
    };
}

/// Each plugin as it is now. The journal's records are rows of this table.
pub mod plugin {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "plugin")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: PluginId,
        /// The revision of its last change.
        pub revision: i64,
        pub created: DateTimeUtc,
        /// The revision that installed it.
        pub installed: i64,
        /// The name of the request that installed it, and the digest of what that asked for.
        #[sea_orm(unique)]
        pub request_id: Option<String>,
        pub request_digest: Option<Digest>,
        /// What its manifest says, for whoever asks in SQL.
        pub manifest_id: String,
        pub name: String,
        pub version: String,
        pub description: String,
        pub manifest_digest: Digest,
        pub mode: Mode,
        pub active: ActiveState,
        pub generation: i64,
        pub active_generation: i64,
        pub restart_generation: i64,
        pub package_digest: Option<Digest>,
        pub previous_package_digest: Option<Digest>,
        pub previous_manifest_digest: Option<Digest>,
        pub restored: bool,
        /// What the operator decided about it alone, as JSON; none when nothing.
        #[sea_orm(column_type = "Text", nullable)]
        pub policy: Option<String>,
        pub configuration_revision: i64,
        pub token: Option<String>,
        pub token_epoch: i64,
        pub state: State,
        pub since: DateTimeUtc,
        pub observed_generation: i64,
        /// What went wrong, as JSON: `stage`, `message`, and what else is known.
        #[sea_orm(column_type = "Text", nullable)]
        pub failure: Option<String>,
        /// The state that it left, while it is stopping.
        pub stopping_from: Option<State>,
        pub restarts: i64,
        pub deaths_at_start: i64,
        pub run_id: Option<RunId>,
        pub pid: Option<i64>,
        /// What holds the run.
        pub confinement: Option<Confinement>,
        /// What runs it, what it is called there, and on which host, if not on plugd's own.
        pub provider: Option<String>,
        pub run_name: Option<String>,
        pub host: Option<String>,
        pub degraded: bool,
        pub events_dropped: i64,
        pub protocol_faults: i64,
        pub last_protocol_fault: String,
        pub proven_package_digest: Option<Digest>,
        pub failed_package_digest: Option<Digest>,
        pub serial: i64,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The configurations of each plugin: the newest hundred, and those that the journal can still need.
pub mod configuration {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "configuration")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub plugin_id: PluginId,
        /// The `configuration_revision` that the plugin had with it.
        #[sea_orm(primary_key, auto_increment = false)]
        pub revision: i64,
        /// Its JSON, as text: a server would change numbers, and refuse zero bytes.
        #[sea_orm(column_type = "Text")]
        pub body: String,
        pub author: String,
        pub created: DateTimeUtc,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// Configurations that are not listed any more, and may be needed by the journal yet. They are not marked themselves: each
/// may have a MiB, which would be written once more.
pub mod unlisted {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "unlisted_configuration")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub plugin_id: PluginId,
        /// The newest of them; those before it are not listed either.
        #[sea_orm(primary_key, auto_increment = false)]
        pub newest: i64,
        /// The revision of the store with which that was so. Once the journal has forgotten it, nobody needs them.
        pub since: i64,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The manifests of all plugins, each once under the SHA-256 of its JSON.
pub mod manifest {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "manifest")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub digest: Digest,
        /// Its JSON, as text: a server would change numbers, and refuse zero bytes.
        #[sea_orm(column_type = "Text")]
        pub body: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// Manifests that a plugin has stopped using, and that the journal or another plugin may need yet. They are not marked
/// themselves, for the same reason.
pub mod unused {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "unused_manifest")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub digest: Digest,
        /// The last revision at which some plugin stopped using it. Once the journal has forgotten that, only a plugin can
        /// still need it.
        pub since: i64,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The journal: a row a revision.
pub mod journal {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "journal")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub revision: i64,
        pub time: DateTimeUtc,
        pub plugin_id: PluginId,
        /// The state reported before the change; null when the plugin is new.
        pub state_before: Option<State>,
        pub removal: bool,
        /// The row of the plugin after the change, as JSON.
        #[sea_orm(column_type = "Text")]
        pub record: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// Access tokens, without their secrets.
pub mod access_token {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "access_token")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: TokenId,
        pub name: String,
        pub role: Role,
        #[sea_orm(unique)]
        pub hash: Vec<u8>,
        pub created: DateTimeUtc,
        pub expires: Option<DateTimeUtc>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// Webhooks, with their secrets.
pub mod hook {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "hook")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: HookId,
        pub url: String,
        /// The states that are told of, and the plugins, as JSON: arrays of texts.
        pub states: String,
        pub plugins: String,
        /// It signs, so it is kept as it is.
        pub secret: String,
        pub created: DateTimeUtc,
        pub author: String,
        /// What happened up to this revision of this history is delivered.
        pub epoch: String,
        pub revision: i64,
        pub missed: i64,
        pub enabled: bool,
        pub failures: i64,
        pub last_error: Option<String>,
        pub last_attempt: Option<DateTimeUtc>,
        pub next_attempt: Option<DateTimeUtc>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The audit trail: a row a call that changed something, or was to.
pub mod audit_event {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize, Deserialize)]
    #[sea_orm(table_name = "audit_event")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub time: DateTimeUtc,
        /// The token that the call was made with, and what it was called and was good for then.
        pub token_id: TokenId,
        pub token_name: String,
        pub role: Role,
        pub address: Option<String>,
        pub method: String,
        pub plugin_id: Option<PluginId>,
        /// The token that the call was about.
        pub about_token_id: Option<TokenId>,
        pub hook_id: Option<HookId>,
        pub code: String,
        pub reason: Option<String>,
        pub trace_id: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The one row that says where the history stands and who may write.
pub mod store {
    use super::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "store")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        /// Names this database for as long as it exists.
        pub database_id: String,
        /// Names this history of revisions.
        pub epoch: String,
        /// The newest revision.
        pub head: i64,
        /// Revisions up to this one are no longer in the journal.
        pub compacted: i64,
        /// Which start of plugd may write: see [`crate::store::lease`].
        pub owner: String,
        /// The boot of the host under which that was: what needs no sync of its own is lost with it.
        pub boot: String,
        /// Whether that start of plugd has closed the database.
        pub closed: bool,
        /// Where the other nodes of its cluster reach the owner; none where it is alone.
        pub address: Option<String>,
        /// Counts the owners: each has the next number.
        pub term: i64,
        /// Until when no other node may become the owner, by the database's clock; none where the owner is alone.
        pub until: Option<DateTimeUtc>,
        /// Grows when the leader of a cluster changes the access tokens: the others read them again.
        pub token_changes: i64,
    }

    impl ActiveModelBehavior for ActiveModel {}
}
