//! Forgetting old revisions: a bounded number a transaction, in transactions of their own, so that a commit neither waits
//! for it nor fails with it.

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ModelTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};

use super::{
    StoreError,
    entity::{configuration, journal, manifest, plugin, store, unlisted, unused},
    lease::{Durability, Lease},
    rows::signed,
};
use crate::domain::Digest;

/// The most revisions that one transaction forgets: several times as many as one can add, so that a longer journal than
/// wanted shrinks while plugd works.
const MOST: u64 = 1024;
/// The fewest: a slow disk forgets as many in about the time of a commit.
const FEWEST: u64 = 16;
/// Revisions for each configuration or manifest that a transaction may forget: one may have a MiB.
const REVISIONS_A_BODY: u64 = 16;
/// The journal may be longer than wanted by one part in this many.
const SLACK: u64 = 10;

/// When to forget, and how much at a time.
pub(super) struct Schedule {
    keep: u64,
    revisions: u64,
    is_steady: bool,
    /// There may be configurations and manifests that nobody needs.
    is_behind: bool,
}

impl Schedule {
    /// With what [`is_behind`] says of what an earlier plugd left.
    pub(super) fn keeping(keep: u64, is_behind: bool) -> Self {
        Self { keep, revisions: MOST, is_steady: true, is_behind }
    }

    /// The revision up to which to forget, if it is time to; the one up to which it was done while only bodies are left.
    pub(super) fn due(&self, head: u64, compacted: u64) -> Option<u64> {
        let length = head.saturating_sub(compacted);
        let is_due = length > self.keep.saturating_add(self.keep / SLACK);
        match is_due {
            true => Some(compacted + (length - self.keep).min(self.revisions)),
            false => self.is_behind.then_some(compacted),
        }
    }

    /// How many configurations and manifests to forget at a time.
    pub(super) fn bodies(&self) -> u64 {
        (self.revisions / REVISIONS_A_BODY).max(1)
    }

    /// Whether the last step succeeded. Otherwise no commit should wait for the next.
    pub(super) fn is_steady(&self) -> bool {
        self.is_steady
    }

    /// What took too long is tried again in smaller steps. `is_behind` is what [`compact`] answered; none if it failed.
    pub(super) fn learn(&mut self, is_behind: Option<bool>) {
        self.is_steady = is_behind.is_some();
        self.is_behind = is_behind.unwrap_or(self.is_behind);
        self.revisions = if self.is_steady { (self.revisions * 2).min(MOST) } else { (self.revisions / 4).max(FEWEST) };
    }
}

/// Whether there are bodies left that only revisions up to this one needed.
pub(super) async fn is_behind(db: &impl ConnectionTrait, compacted: u64) -> Result<bool, StoreError> {
    let compacted = signed(compacted);
    let configurations = unlisted::Entity::find().filter(unlisted::Column::Since.lte(compacted)).one(db).await?;
    let manifests = unused::Entity::find().filter(unused::Column::Since.lte(compacted)).one(db).await?;
    Ok(configurations.is_some() || manifests.is_some())
}

/// Forgets the revisions up to this one, and what only they needed: so many bodies at the most. Answers whether there may be
/// more.
pub(super) async fn compact(lease: &Lease, upto: u64, bodies: u64) -> Result<bool, StoreError> {
    let (transaction, _) = lease.begin_as_owner().await?;
    let upto = signed(upto);
    let compacted = store::ActiveModel { compacted: Set(upto), ..Default::default() };
    store::Entity::update_many().set(compacted).exec(&transaction).await?;
    journal::Entity::delete_many().filter(journal::Column::Revision.lte(upto)).exec(&transaction).await?;
    let left = forget_configurations(&transaction, upto, bodies).await?;
    let left = forget_manifests(&transaction, upto, left).await?;
    lease.commit(transaction, Durability::Written).await?;
    Ok(left == 0)
}

/// Deletes the configurations that were listed for the last time at this revision or before it, up to `left` of them.
/// Answers how many more there may be.
async fn forget_configurations(db: &impl ConnectionTrait, upto: i64, mut left: u64) -> Result<u64, StoreError> {
    use configuration::{Column, Entity};
    let due = unlisted::Entity::find().filter(unlisted::Column::Since.lte(upto));
    for unlisted in due.order_by_asc(unlisted::Column::Since).limit(left).all(db).await? {
        let of_plugin = Column::PluginId.eq(unlisted.plugin_id);
        let found = Entity::find().select_only().column(Column::Revision).filter(of_plugin.clone());
        let found = found.filter(Column::Revision.lte(unlisted.newest)).limit(left);
        let revisions: Vec<i64> = found.into_tuple().all(db).await?;
        left = left.saturating_sub(revisions.len().max(1) as u64);
        Entity::delete_many().filter(of_plugin).filter(Column::Revision.is_in(revisions)).exec(db).await?;
        if left == 0 {
            break;
        }
        unlisted.delete(db).await?;
    }
    Ok(left)
}

/// Deletes the manifests of which the last use ended at this revision or before it, up to `left` of them. Answers how many
/// more there may be.
async fn forget_manifests(db: &impl ConnectionTrait, upto: i64, left: u64) -> Result<u64, StoreError> {
    use manifest::{Column, Entity};
    let due = unused::Entity::find().filter(unused::Column::Since.lte(upto)).limit(left).all(db).await?;
    let digests: Vec<Digest> = due.into_iter().map(|row| row.digest).collect();
    let used = plugin::Entity::find().select_only().column(plugin::Column::ManifestDigest).into_query();
    let previous = plugin::Entity::find().select_only().column(plugin::Column::PreviousManifestDigest);
    let previous = previous.filter(plugin::Column::PreviousManifestDigest.is_not_null()).into_query();
    Entity::delete_many()
        .filter(Column::Digest.is_in(digests.iter().copied()))
        // A plugin may use it again by now.
        .filter(Column::Digest.not_in_subquery(used))
        .filter(Column::Digest.not_in_subquery(previous))
        .exec(db)
        .await?;
    unused::Entity::delete_many().filter(unused::Column::Digest.is_in(digests.iter().copied())).exec(db).await?;
    Ok(left - digests.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_when_the_slack_is_used_up() {
        let schedule = Schedule::keeping(100, false);
        assert_eq!(schedule.due(110, 0), None);
        assert_eq!(schedule.due(111, 0), Some(11));
        assert_eq!(schedule.due(211, 100), Some(111));
    }

    #[test]
    fn bodies_that_are_left_are_forgotten_though_the_journal_is_short() {
        let mut schedule = Schedule::keeping(100, true);
        assert_eq!((schedule.due(50, 10), schedule.bodies()), (Some(10), 64));
        schedule.learn(None);
        assert_eq!((schedule.due(50, 10), schedule.bodies()), (Some(10), 16));
        schedule.learn(Some(false));
        assert_eq!(schedule.due(50, 10), None);
    }

    #[test]
    fn one_transaction_forgets_a_bounded_number_and_fewer_where_that_took_too_long() {
        let mut schedule = Schedule::keeping(100, false);
        assert_eq!(schedule.due(1_000_000, 10), Some(10 + MOST));
        for _ in 0..9 {
            schedule.learn(None);
        }
        assert_eq!(schedule.due(1_000_000, 10), Some(10 + FEWEST));
        schedule.learn(Some(false));
        assert_eq!(schedule.due(1_000_000, 10), Some(10 + 2 * FEWEST));
    }

    #[test]
    fn nothing_overflows_when_everything_is_kept() {
        assert_eq!(Schedule::keeping(u64::MAX, false).due(1_000_000, 10), None);
    }
}
