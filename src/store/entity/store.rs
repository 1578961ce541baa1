//! The one row that says where the history stands.

use sea_orm::entity::prelude::*;

/// Key of the only row.
pub(crate) const ROW: i32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "store")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    pub epoch: String,
    /// The newest revision. Each transaction moves it on from the value that the writer knows: the fence against a
    /// second writer.
    pub head: i64,
    /// Revisions up to this one are no longer in the journal.
    pub compacted: i64,
    /// Which start of plugd may write: see `store::seat`.
    pub owner: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
