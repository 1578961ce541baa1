//! Forgetting old revisions: a bounded number a transaction, in transactions of their own, so that a commit neither waits
//! for it nor fails with it.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ModelTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};

use super::{
    StoreError,
    entity::{configuration, journal, manifest, plugin, store, unlisted},
    lease::Lease,
    rows::signed,
};

/// The most revisions that one transaction forgets: several times as many as one can add, so that a longer journal than
/// wanted shrinks while plugd works.
const MOST: u64 = 1024;
/// The fewest: a slow disk forgets as many in about the time of a commit.
const FEWEST: u64 = 16;
/// Revisions for each configuration that a transaction may forget: one may have a MiB.
const REVISIONS_A_CONFIGURATION: u64 = 16;
/// The journal may be longer than wanted by one part in this many.
const SLACK: u64 = 10;

/// How far to go at a time.
pub(super) struct Pace {
    keep: u64,
    batch: u64,
    is_steady: bool,
    /// There are configurations left that nobody needs.
    is_behind: bool,
}

impl Pace {
    pub(super) fn keeping(keep: u64) -> Self {
        Self { keep, batch: MOST, is_steady: true, is_behind: false }
    }

    /// The revision up to which to forget, if it is time to; the present one while only configurations are left.
    pub(super) fn due(&self, head: u64, compacted: u64) -> Option<u64> {
        let length = head.saturating_sub(compacted);
        let is_due = length > self.keep.saturating_add(self.keep / SLACK);
        match is_due {
            true => Some(compacted + (length - self.keep).min(self.batch)),
            false => self.is_behind.then_some(compacted),
        }
    }

    /// How many configurations to forget at a time.
    pub(super) fn configurations(&self) -> u64 {
        (self.batch / REVISIONS_A_CONFIGURATION).max(1)
    }

    /// Whether the last step succeeded. Otherwise no commit should wait for the next.
    pub(super) fn is_steady(&self) -> bool {
        self.is_steady
    }

    /// What took too long is tried again in smaller steps. `is_behind` is what [`compact`] answered; none if it failed.
    pub(super) fn learn(&mut self, is_behind: Option<bool>) {
        self.is_steady = is_behind.is_some();
        self.is_behind = is_behind.unwrap_or(true);
        self.batch = if self.is_steady { (self.batch * 2).min(MOST) } else { (self.batch / 4).max(FEWEST) };
    }
}

/// Forgets the revisions up to this one, and what only they needed: so many configurations at the most. Answers whether
/// there are more.
pub(super) async fn compact(lease: &Lease, upto: u64, configurations: u64) -> Result<bool, StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    let upto = signed(upto);
    let compacted = store::ActiveModel { compacted: Set(upto), ..Default::default() };
    store::Entity::update_many().set(compacted).exec(&transaction).await?;
    journal::Entity::delete_many().filter(journal::Column::Revision.lte(upto)).exec(&transaction).await?;
    let is_behind = forget_configurations(&transaction, upto, configurations).await?;
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
    transaction.commit().await?;
    Ok(is_behind)
}

/// Deletes up to `limit` configurations that were listed for the last time at this revision or before it.
async fn forget_configurations(db: &impl ConnectionTrait, upto: i64, limit: u64) -> Result<bool, StoreError> {
    use configuration::{Column, Entity};
    let due = unlisted::Entity::find().filter(unlisted::Column::Since.lte(upto));
    let mut left = limit;
    for unlisted in due.order_by_asc(unlisted::Column::Since).limit(limit).all(db).await? {
        let of_plugin = Column::PluginId.eq(unlisted.plugin_id);
        let found = Entity::find().select_only().column(Column::Revision).filter(of_plugin.clone());
        let found = found.filter(Column::Revision.lte(unlisted.newest)).limit(left);
        let revisions: Vec<i64> = found.into_tuple().all(db).await?;
        left -= revisions.len() as u64;
        Entity::delete_many().filter(of_plugin).filter(Column::Revision.is_in(revisions)).exec(db).await?;
        if left == 0 {
            return Ok(true);
        }
        unlisted.delete(db).await?;
    }
    Ok(false)
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
    fn configurations_that_are_left_are_forgotten_though_the_journal_is_short() {
        let mut pace = Pace::keeping(100);
        pace.learn(Some(true));
        assert_eq!((pace.due(50, 10), pace.configurations()), (Some(10), 64));
        pace.learn(None);
        assert_eq!((pace.due(50, 10), pace.configurations()), (Some(10), 16));
        pace.learn(Some(false));
        assert_eq!(pace.due(50, 10), None);
    }

    #[test]
    fn one_transaction_forgets_a_bounded_number_and_fewer_where_that_took_too_long() {
        let mut pace = Pace::keeping(100);
        assert_eq!(pace.due(1_000_000, 10), Some(10 + MOST));
        for _ in 0..9 {
            pace.learn(None);
        }
        assert_eq!(pace.due(1_000_000, 10), Some(10 + FEWEST));
        pace.learn(Some(false));
        assert_eq!(pace.due(1_000_000, 10), Some(10 + 2 * FEWEST));
    }

    #[test]
    fn nothing_overflows_when_everything_is_kept() {
        assert_eq!(Pace::keeping(u64::MAX).due(1_000_000, 10), None);
    }
}
