//! The journal: one row a revision.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "journal")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    pub time: String,
    pub plugin_id: String,
    /// The state reported before the change; null when the plugin is new.
    pub state_before: Option<String>,
    pub is_removal: bool,
    pub manifest: Vec<u8>,
    pub configuration: Vec<u8>,
    /// Everything else, as `store::record` writes it.
    #[sea_orm(column_type = "Text")]
    pub record: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
