//! The first schema.

use sea_orm::DbErr;
use sea_orm_migration::prelude::{
    ColumnDef, DeriveMigrationName, Index, IntoIden, IntoTableRef, MigrationTrait, SchemaManager, Table,
    TableCreateStatement, async_trait,
};

use crate::store::entity::{access_token, configuration_history, document, journal, plugin, store};

/// Characters of an xid.
pub(super) const XID: u32 = 20;
/// Characters that an RFC 3339 time with nanoseconds can have.
const TIME: u32 = 40;
/// Bytes of a SHA-256.
const DIGEST: u32 = 32;
/// Characters of a word of ours: a state, a role.
const WORD: u32 = 32;

const RETIRED: &str = "document_retired";
const HISTORY: &str = "configuration_history_configuration";

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [store_table(), document_table(), plugin_table(), journal_table()] {
            manager.create_table(table).await?;
        }
        manager.create_table(configuration_history_table()).await?;
        manager.create_table(access_token_table()).await?;
        create_indexes(manager).await
    }

    /// A half-made schema could not be used.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn store_table() -> TableCreateStatement {
    table(store::Entity)
        .col(ColumnDef::new(store::Column::Id).integer().not_null().primary_key())
        .col(text(store::Column::Epoch, XID))
        .col(ColumnDef::new(store::Column::Head).big_integer().not_null())
        .col(ColumnDef::new(store::Column::Compacted).big_integer().not_null())
        .take()
}

fn document_table() -> TableCreateStatement {
    table(document::Entity)
        .col(digest(document::Column::Digest).primary_key())
        .col(long_text(document::Column::Body))
        .col(ColumnDef::new(document::Column::Retired).big_integer().null())
        .take()
}

fn plugin_table() -> TableCreateStatement {
    table(plugin::Entity)
        .col(text(plugin::Column::Id, XID).primary_key())
        .col(ColumnDef::new(plugin::Column::Revision).big_integer().not_null())
        .col(digest(plugin::Column::Manifest))
        .col(digest(plugin::Column::Configuration))
        .col(long_text(plugin::Column::Record))
        .take()
}

fn journal_table() -> TableCreateStatement {
    table(journal::Entity)
        .col(ColumnDef::new(journal::Column::Revision).big_integer().not_null().primary_key())
        .col(text(journal::Column::Time, TIME))
        .col(text(journal::Column::PluginId, XID))
        .col(ColumnDef::new(journal::Column::StateBefore).string_len(WORD).null())
        .col(ColumnDef::new(journal::Column::IsRemoval).boolean().not_null())
        .col(digest(journal::Column::Manifest))
        .col(digest(journal::Column::Configuration))
        .col(long_text(journal::Column::Record))
        .take()
}

fn configuration_history_table() -> TableCreateStatement {
    table(configuration_history::Entity)
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
    table(access_token::Entity)
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
    let retired = Index::create().name(RETIRED).table(document::Entity).col(document::Column::Retired).take();
    manager.create_index(retired).await?;
    let column = configuration_history::Column::Configuration;
    let history = Index::create().name(HISTORY).table(configuration_history::Entity).col(column).take();
    manager.create_index(history).await
}

fn table(entity: impl IntoTableRef) -> TableCreateStatement {
    Table::create().table(entity).take()
}

fn text(column: impl IntoIden, length: u32) -> ColumnDef {
    ColumnDef::new(column).string_len(length).not_null().take()
}

fn digest(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).binary_len(DIGEST).not_null().take()
}

fn long_text(column: impl IntoIden) -> ColumnDef {
    ColumnDef::new(column).text().not_null().take()
}
