//! Manifests and configurations, each stored once under the SHA-256 of its JSON text.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "document")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub digest: Vec<u8>,
    #[sea_orm(column_type = "Text")]
    pub body: String,
    /// The last revision at which some plugin stopped using it. Once that revision is compacted, only a plugin or the
    /// configuration history can still need it: so the journal needs no index on its digests.
    pub retired: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
