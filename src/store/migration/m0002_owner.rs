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
        let owner = ColumnDef::new(store::Column::Owner).string_len(XID).not_null().default("").take();
        manager.alter_table(Table::alter().table(store::Entity).add_column(owner).take()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
