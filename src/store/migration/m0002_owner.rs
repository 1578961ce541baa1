//! The owner: which start of plugd may write.

use sea_orm::DbErr;
use sea_orm_migration::prelude::{ColumnDef, DeriveMigrationName, MigrationTrait, SchemaManager, Table, async_trait};

use super::m0001_initial::XID;
use crate::store::entity::store;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Where the schema can't be changed in a transaction, a migration that was cut off is made again.
        if manager.has_column("store", "owner").await? {
            return Ok(());
        }
        let owner = ColumnDef::new(store::Column::Owner).string_len(XID).not_null().default("").take();
        manager.alter_table(Table::alter().table(store::Entity).add_column(owner).take()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
