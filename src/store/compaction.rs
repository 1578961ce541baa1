//! Forgetting old revisions: a bounded number a transaction, in transactions of their own, so that a commit neither waits
//! for it nor fails with it.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect, QueryTrait};

use super::{
    StoreError,
    entity::{configuration, journal, manifest, plugin, store},
    lease::Lease,
    rows::signed,
};

/// The most revisions that one transaction forgets: several times as many as one can add, so that a longer journal than
/// wanted shrinks while plugd works.
const MOST: u64 = 1024;
/// The fewest: a slow disk forgets as many in about the time of a commit.
const FEWEST: u64 = 16;
/// The journal may be longer than wanted by one part in this many.
const SLACK: u64 = 10;

/// How far to go at a time.
pub(super) struct Pace {
    keep: u64,
    batch: u64,
    is_steady: bool,
}

impl Pace {
    pub(super) fn keeping(keep: u64) -> Self {
        Self { keep, batch: MOST, is_steady: true }
    }

    /// The revision up to which to forget, if it is time to.
    pub(super) fn due(&self, head: u64, compacted: u64) -> Option<u64> {
        let length = head.saturating_sub(compacted);
        let is_due = length > self.keep.saturating_add(self.keep / SLACK);
        is_due.then(|| compacted + (length - self.keep).min(self.batch))
    }

    /// Whether the last step succeeded. Otherwise no commit should wait for the next.
    pub(super) fn is_steady(&self) -> bool {
        self.is_steady
    }

    /// What took too long is tried again in smaller steps.
    pub(super) fn learn(&mut self, is_done: bool) {
        self.is_steady = is_done;
        self.batch = if is_done { (self.batch * 2).min(MOST) } else { (self.batch / 4).max(FEWEST) };
    }
}

/// Forgets the revisions up to this one, and what only they needed.
pub(super) async fn compact(lease: &Lease, upto: u64) -> Result<(), StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    let upto = signed(upto);
    let compacted = store::ActiveModel { compacted: Set(upto), ..Default::default() };
    store::Entity::update_many().set(compacted).exec(&transaction).await?;
    journal::Entity::delete_many().filter(journal::Column::Revision.lte(upto)).exec(&transaction).await?;
    let configurations = configuration::Column::Retired.lte(upto);
    configuration::Entity::delete_many().filter(configurations).exec(&transaction).await?;
    // What was retired by then can't be in a row of the journal after it, except by way of a plugin that uses it still.
    let used = plugin::Entity::find().select_only().column(plugin::Column::ManifestDigest).into_query();
    let previous = plugin::Entity::find().select_only().column(plugin::Column::PreviousManifestDigest);
    let previous = previous.filter(plugin::Column::PreviousManifestDigest.is_not_null()).into_query();
    manifest::Entity::delete_many()
        .filter(manifest::Column::Retired.lte(upto))
        .filter(manifest::Column::Digest.not_in_subquery(used))
        .filter(manifest::Column::Digest.not_in_subquery(previous))
        .exec(&transaction)
        .await?;
    Ok(transaction.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_when_the_slack_is_used_up() {
        let pace = Pace::keeping(100);
        assert_eq!(pace.due(110, 0), None);
        assert_eq!(pace.due(111, 0), Some(11));
        assert_eq!(pace.due(211, 100), Some(111));
    }

    #[test]
    fn one_transaction_forgets_a_bounded_number_and_fewer_where_that_took_too_long() {
        let mut pace = Pace::keeping(100);
        assert_eq!(pace.due(1_000_000, 10), Some(10 + MOST));
        for _ in 0..9 {
            pace.learn(false);
        }
        assert_eq!(pace.due(1_000_000, 10), Some(10 + FEWEST));
        pace.learn(true);
        assert_eq!(pace.due(1_000_000, 10), Some(10 + 2 * FEWEST));
    }

    #[test]
    fn nothing_overflows_when_everything_is_kept() {
        assert_eq!(Pace::keeping(u64::MAX).due(1_000_000, 10), None);
    }
}
