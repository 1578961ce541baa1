//! The first schema.

use sea_orm::{DatabaseBackend, DbErr};
use sea_orm_migration::prelude::{
    ColumnDef, DeriveMigrationName, Index, IntoIden, MigrationTrait, SchemaManager, Table, TableCreateStatement,
    async_trait,
};

use crate::store::entity::{access_token, configuration_history, document, journal, plugin, store};

/// Characters of an xid.
const XID: u32 = 20;
/// Characters that an RFC 3339 time with nanoseconds can have.
const TIME: u32 = 40;
/// Bytes of a SHA-256.
const DIGEST: u32 = 32;
/// Characters of a word of ours: a state, a role.
const WORD: u32 = 32;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in [store_table(), document_table(backend), plugin_table(backend), journal_table(backend)] {
            manager.create_table(table).await?;
        }
        manager.create_table(configuration_history_table()).await?;
        manager.create_table(access_token_table()).await?;
        create_indexes(manager).await
    }

    /// A half-made schema could be neither used nor made again.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn store_table() -> TableCreateStatement {
    Table::create()
        .table(store::Entity)
        .col(ColumnDef::new(store::Column::Id).integer().not_null().primary_key())
        .col(text(store::Column::Epoch, XID))
        .col(ColumnDef::new(store::Column::Head).big_integer().not_null())
        .col(ColumnDef::new(store::Column::Compacted).big_integer().not_null())
        .take()
}

fn document_table(backend: DatabaseBackend) -> TableCreateStatement {
    Table::create()
        .table(document::Entity)
        .col(digest(document::Column::Digest).primary_key())
        .col(long_text(document::Column::Body, backend))
        .col(ColumnDef::new(document::Column::Retired).big_integer().null())
        .take()
}

fn plugin_table(backend: DatabaseBackend) -> TableCreateStatement {
    Table::create()
        .table(plugin::Entity)
        .col(text(plugin::Column::Id, XID).primary_key())
        .col(ColumnDef::new(plugin::Column::Revision).big_integer().not_null())
        .col(digest(plugin::Column::Manifest))
        .col(digest(plugin::Column::Configuration))
        .col(long_text(plugin::Column::Record, backend))
        .take()
}

fn journal_table(backend: DatabaseBackend) -> TableCreateStatement {
    Table::create()
        .table(journal::Entity)
        .col(ColumnDef::new(journal::Column::Revision).big_integer().not_null().primary_key())
        .col(text(journal::Column::Time, TIME))
        .col(text(journal::Column::PluginId, XID))
        .col(ColumnDef::new(journal::Column::StateBefore).string_len(WORD).null())
        .col(ColumnDef::new(journal::Column::IsRemoval).boolean().not_null())
        .col(digest(journal::Column::Manifest))
        .col(digest(journal::Column::Configuration))
        .col(long_text(journal::Column::Record, backend))
        .take()
}

fn configuration_history_table() -> TableCreateStatement {
    Table::create()
        .table(configuration_history::Entity)
        .col(text(configuration_history::Column::PluginId, XID))
        .col(ColumnDef::new(configuration_history::Column::Revision).big_integer().not_null())
        .col(digest(configuration_history::Column::Configuration))
        .col(text(configuration_history::Column::Created, TIME))
        .col(ColumnDef::new(configuration_history::Column::Author).text().not_null())
        .primary_key(
            Index::create().col(configuration_history::Column::PluginId).col(configuration_history::Column::Revision),
        )
        .take()
}

fn access_token_table() -> TableCreateStatement {
    Table::create()
        .table(access_token::Entity)
        .col(text(access_token::Column::Id, XID).primary_key())
        .col(ColumnDef::new(access_token::Column::Name).text().not_null())
        .col(text(access_token::Column::Role, WORD))
        .col(digest(access_token::Column::Hash).unique_key())
        .col(text(access_token::Column::Created, TIME))
        .col(ColumnDef::new(access_token::Column::Expires).string_len(TIME).null())
        .take()
}

/// What the collection of documents asks for (`store::writer::compaction`).
async fn create_indexes(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let retired =
        Index::create().name("document_retired").table(document::Entity).col(document::Column::Retired).take();
    let history = Index::create()
        .name("configuration_history_configuration")
        .table(configuration_history::Entity)
        .col(configuration_history::Column::Configuration)
        .take();
    manager.create_index(retired).await?;
    manager.create_index(history).await
}

fn text(column: impl IntoIden, length: u32) -> ColumnDef {
    ColumnDef::new(column).string_len(length).not_null().take()
}

fn digest(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).binary_len(DIGEST).not_null().take()
}

/// MySQL's `text` ends at 64 KiB.
fn long_text(column: impl IntoIden, backend: DatabaseBackend) -> ColumnDef {
    let mut column = ColumnDef::new(column);
    match backend {
        DatabaseBackend::MySql => column.custom("longtext"),
        _ => column.text(),
    };
    column.not_null().take()
}
