//! The schema. A change of it is another migration.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, QueryOrder};
use sea_orm_migration::{
    MigrationTrait, MigratorTrait, SchemaManager,
    prelude::{ColumnDef, Index, IndexCreateStatement, IntoIden, Table, TableCreateStatement, async_trait},
    schema::{
        big_integer, big_integer_null, boolean, integer, string, string_null, text, text_null,
        timestamp_with_time_zone, timestamp_with_time_zone_null, var_binary,
    },
    seaql_migrations,
};

use super::{
    StoreError,
    entity::{access_token, audit_event, configuration, hook, journal, manifest, plugin, store, unlisted, unused},
    nodes, package_rows,
};

/// Bytes of a SHA-256.
const DIGEST: u32 = 32;

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Initial)]
    }
}

/// Brings the schema up to what this binary knows.
///
/// # Errors
/// [`StoreError::Newer`], with nothing changed, when a newer plugd has been here; or the database's own.
pub(super) async fn migrate(db: &DatabaseConnection) -> Result<(), StoreError> {
    let unknown = unknown_migrations(db).await?;
    if unknown.is_empty() { Ok(Migrator::up(db, None).await?) } else { Err(StoreError::Newer(unknown)) }
}

/// Whether a plugd has made its tables here.
///
/// # Errors
/// [`StoreError::Newer`] when a newer plugd has been here; or the database's own.
pub(super) async fn is_begun(db: &DatabaseConnection) -> Result<bool, StoreError> {
    let unknown = unknown_migrations(db).await?;
    let is_begun = SchemaManager::new(db).has_table(Migrator::migration_table_name().to_string()).await?;
    if unknown.is_empty() { Ok(is_begun) } else { Err(StoreError::Newer(unknown)) }
}

/// The migrations that this binary knows, in their order.
pub(super) fn known() -> Vec<String> {
    Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect()
}

/// The migrations that made the tables here; none where there are none yet.
pub(super) async fn applied(db: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
    let table = Migrator::migration_table_name().to_string();
    if !SchemaManager::new(db).has_table(table).await? {
        return Ok(Vec::new());
    }
    let applied = seaql_migrations::Entity::find().order_by_asc(seaql_migrations::Column::Version).all(db).await?;
    Ok(applied.into_iter().map(|row| row.version).collect())
}

async fn unknown_migrations(db: &DatabaseConnection) -> Result<Vec<String>, StoreError> {
    let known = known();
    Ok(applied(db).await?.into_iter().filter(|name| !known.contains(name)).collect())
}

struct Initial;

impl sea_orm_migration::MigrationName for Initial {
    fn name(&self) -> &str {
        "m0001_initial"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Initial {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let of_plugins = [manifest(), unused(), plugin(), configuration(), unlisted(), journal()];
        for table in of_plugins.into_iter().chain([store(), access_token(), hook(), audit_event()]) {
            manager.create_table(table).await?;
        }
        // Beside a file, packages are files too, and no plugd has another beside it.
        if manager.get_database_backend() == DbBackend::Postgres {
            manager.get_connection().execute_unprepared(package_rows::TABLES).await?;
            manager.get_connection().execute_unprepared(nodes::TABLE).await?;
        }
        manager.create_index(of_plugin_in_journal()).await
    }

    /// A half-made schema could not be used.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn store() -> TableCreateStatement {
    use store::Column;
    Table::create()
        .table(store::Entity)
        .col(integer(Column::Id).primary_key())
        .col(string(Column::DatabaseId))
        .col(string(Column::Epoch))
        .col(big_integer(Column::Head))
        .col(big_integer(Column::Compacted))
        .col(string(Column::Owner))
        .col(string(Column::Boot))
        .col(boolean(Column::Closed))
        .col(text_null(Column::Address))
        .col(big_integer(Column::Term))
        .col(timestamp_with_time_zone_null(Column::Until))
        .col(big_integer(Column::TokenChanges))
        .take()
}

fn manifest() -> TableCreateStatement {
    use manifest::Column;
    Table::create().table(manifest::Entity).col(string(Column::Digest).primary_key()).col(text(Column::Body)).take()
}

fn unused() -> TableCreateStatement {
    use unused::Column;
    Table::create()
        .table(unused::Entity)
        .col(string(Column::Digest).primary_key())
        .col(big_integer(Column::Since))
        .take()
}

fn plugin() -> TableCreateStatement {
    use plugin::Column;
    Table::create()
        .table(plugin::Entity)
        .col(string(Column::Id).primary_key())
        .col(big_integer(Column::Revision))
        .col(time(Column::Created))
        .col(big_integer(Column::Installed))
        .col(text_null(Column::RequestId).unique_key())
        .col(string_null(Column::RequestDigest))
        .col(text(Column::ManifestId))
        .col(text(Column::Name))
        .col(text(Column::Version))
        .col(text(Column::Description))
        .col(string(Column::ManifestDigest))
        .col(string(Column::Mode))
        .col(string(Column::Active))
        .col(big_integer(Column::Generation))
        .col(big_integer(Column::ActiveGeneration))
        .col(big_integer(Column::RestartGeneration))
        .col(string_null(Column::PackageDigest))
        .col(string_null(Column::PreviousPackageDigest))
        .col(string_null(Column::PreviousManifestDigest))
        .col(boolean(Column::Restored))
        .col(text_null(Column::Policy))
        .col(big_integer(Column::ConfigurationRevision))
        .col(text_null(Column::Token))
        .col(big_integer(Column::TokenEpoch))
        .col(string(Column::State))
        .col(time(Column::Since))
        .col(big_integer(Column::ObservedGeneration))
        .col(text_null(Column::Failure))
        .col(string_null(Column::StoppingFrom))
        .col(big_integer(Column::Restarts))
        .col(big_integer(Column::DeathsAtStart))
        .col(string_null(Column::RunId))
        .col(big_integer_null(Column::Pid))
        .col(string_null(Column::Confinement))
        .col(text_null(Column::Provider))
        .col(text_null(Column::RunName))
        .col(text_null(Column::Host))
        .col(boolean(Column::Degraded))
        .col(big_integer(Column::EventsDropped))
        .col(big_integer(Column::ProtocolFaults))
        .col(text(Column::LastProtocolFault))
        .col(string_null(Column::ProvenPackageDigest))
        .col(string_null(Column::FailedPackageDigest))
        .col(big_integer(Column::Serial))
        .take()
}

fn configuration() -> TableCreateStatement {
    use configuration::Column;
    Table::create()
        .table(configuration::Entity)
        .col(string(Column::PluginId))
        .col(big_integer(Column::Revision))
        .col(text(Column::Body))
        .col(text(Column::Author))
        .col(time(Column::Created))
        .primary_key(Index::create().col(Column::PluginId).col(Column::Revision))
        .take()
}

fn unlisted() -> TableCreateStatement {
    use unlisted::Column;
    Table::create()
        .table(unlisted::Entity)
        .col(string(Column::PluginId))
        .col(big_integer(Column::Newest))
        .col(big_integer(Column::Since))
        .primary_key(Index::create().col(Column::PluginId).col(Column::Newest))
        .take()
}

fn journal() -> TableCreateStatement {
    use journal::Column;
    Table::create()
        .table(journal::Entity)
        .col(big_integer(Column::Revision).primary_key())
        .col(time(Column::Time))
        .col(string(Column::PluginId))
        .col(string_null(Column::StateBefore))
        .col(boolean(Column::Removal))
        .col(text(Column::Record))
        .take()
}

/// For the past of one plugin among that of many.
fn of_plugin_in_journal() -> IndexCreateStatement {
    use journal::Column;
    Index::create()
        .name("journal_plugin_id_revision")
        .table(journal::Entity)
        .col(Column::PluginId)
        .col(Column::Revision)
        .take()
}

fn access_token() -> TableCreateStatement {
    use access_token::Column;
    Table::create()
        .table(access_token::Entity)
        .col(string(Column::Id).primary_key())
        .col(text(Column::Name))
        .col(string(Column::Role))
        .col(var_binary(Column::Hash, DIGEST).unique_key())
        .col(time(Column::Created))
        .col(timestamp_with_time_zone_null(Column::Expires))
        .take()
}

fn hook() -> TableCreateStatement {
    use hook::Column;
    Table::create()
        .table(hook::Entity)
        .col(string(Column::Id).primary_key())
        .col(text(Column::Url))
        .col(text(Column::States))
        .col(text(Column::Plugins))
        .col(text(Column::Secret))
        .col(time(Column::Created))
        .col(text(Column::Author))
        .col(string(Column::Epoch))
        .col(big_integer(Column::Revision))
        .col(big_integer(Column::Missed))
        .col(boolean(Column::Enabled))
        .col(big_integer(Column::Failures))
        .col(text_null(Column::LastError))
        .col(timestamp_with_time_zone_null(Column::LastAttempt))
        .col(timestamp_with_time_zone_null(Column::NextAttempt))
        .take()
}

fn audit_event() -> TableCreateStatement {
    use audit_event::Column;
    Table::create()
        .table(audit_event::Entity)
        .col(big_integer(Column::Id).primary_key())
        .col(time(Column::Time))
        .col(string(Column::TokenId))
        .col(text(Column::TokenName))
        .col(string(Column::Role))
        .col(string_null(Column::Address))
        .col(string(Column::Method))
        .col(string_null(Column::PluginId))
        .col(string_null(Column::AboutTokenId))
        .col(string_null(Column::HookId))
        .col(string(Column::Code))
        .col(string_null(Column::Reason))
        .col(string(Column::TraceId))
        .take()
}

fn time(column: impl IntoIden) -> ColumnDef {
    timestamp_with_time_zone(column)
}
