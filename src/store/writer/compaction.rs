//! Forgetting old revisions, a bounded number a transaction.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait};

use crate::store::{
    convert::signed,
    entity::{configuration_history, document, journal, plugin},
};

/// Revisions forgotten in one transaction: several times as many as one can add, so that a longer journal than wanted
/// shrinks while plugd works.
const CHUNK: u64 = 1024;
/// The journal may be longer than wanted by one part in this many.
const SLACK: u64 = 10;

/// The revision up to which to forget, if it is time to.
pub(super) fn cut(head: u64, compacted: u64, keep: u64) -> Option<u64> {
    let length = head.saturating_sub(compacted);
    let is_due = length > keep.saturating_add(keep / SLACK);
    is_due.then(|| compacted + (length - keep).min(CHUNK))
}

/// Forgets the revisions up to this one, and the documents that nothing needs any more.
///
/// # Errors
/// The database's own.
pub(super) async fn compact(db: &impl ConnectionTrait, cut: u64) -> Result<(), DbErr> {
    journal::Entity::delete_many().filter(journal::Column::Revision.lte(signed(cut))).exec(db).await?;
    // What was retired up to the cut can't be in a row of the journal after it, except by way of a plugin that uses it
    // still: see `entity::document`.
    let manifests = plugin::Entity::find().select_only().column(plugin::Column::Manifest).into_query();
    let configurations = plugin::Entity::find().select_only().column(plugin::Column::Configuration).into_query();
    let earlier = configuration_history::Entity::find().select_only();
    let earlier = earlier.column(configuration_history::Column::Configuration).into_query();
    document::Entity::delete_many()
        .filter(document::Column::Retired.lte(signed(cut)))
        .filter(document::Column::Digest.not_in_subquery(manifests))
        .filter(document::Column::Digest.not_in_subquery(configurations))
        .filter(document::Column::Digest.not_in_subquery(earlier))
        .exec(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_when_the_slack_is_used_up() {
        assert_eq!(cut(110, 0, 100), None);
        assert_eq!(cut(111, 0, 100), Some(11));
        assert_eq!(cut(211, 100, 100), Some(111));
    }

    #[test]
    fn one_transaction_forgets_a_bounded_number() {
        assert_eq!(cut(1_000_000, 10, 100), Some(10 + CHUNK));
    }

    #[test]
    fn nothing_overflows_when_everything_is_kept() {
        assert_eq!(cut(1_000_000, 10, u64::MAX), None);
    }
}
