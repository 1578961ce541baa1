//! What only the writer itself can be made to meet: a transaction of which it does not know whether it was written.

use std::sync::Mutex;

use sea_orm::{EntityTrait, sea_query::Expr};

use super::*;
use crate::{
    domain::{Commit, Desired, State},
    store::{
        batch::What,
        entity::plugin,
        open,
        tests::{Place, mk_id, mk_plugin, mk_report},
    },
};

mod on_a_file;
mod succession;

/// A writer that is not running, and the revisions that it has told of.
async fn mk_writer(place: &Place) -> (Writer, Arc<Mutex<Vec<u64>>>) {
    let (opened, _) = open(place.options(100)).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let on_commit = move |new: &[Arc<Commit>]| kept.lock().unwrap().extend(new.iter().map(|commit| commit.revision));
    let (_, ops) = mpsc::unbounded_channel();
    let syncer = Syncer::start(Arc::clone(opened.start.lease.location()), Metrics::default());
    (Writer::new(opened.start, Box::new(on_commit), syncer, ops, watch::channel(true).0), told)
}

fn mk_change(what: What) -> Change {
    Change { what, reply: None }
}

/// A batch of as many installations.
fn mk_batch(writer: &Writer, count: u32) -> Batch {
    let installations = (0..count).map(|number| mk_change(What::Install(Box::new(mk_plugin(number)))));
    writer.batch(&installations.collect::<Vec<_>>()).0
}

/// A batch of an installation and a report, that the writer takes for failed.
async fn mk_unresolved(writer: &mut Writer, is_written: bool) {
    let report = What::Report { id: mk_id(1), reported: Box::new(mk_report(State::Starting, 1)) };
    let changes = [What::Install(Box::new(mk_plugin(1))), report].map(mk_change);
    let (batch, _) = writer.batch(&changes);
    if is_written {
        commit::execute(&writer.start.lease, &batch, &[], Durability::Synced).await.unwrap();
    }
    writer.unresolved = Some(batch);
    writer.fail_over(&StoreError::TimedOut);
    writer.keep_reports();
}

#[tokio::test]
async fn what_was_written_after_all_is_told_of_once() {
    let place = Place::new().await;
    let (mut writer, told) = mk_writer(&place).await;
    mk_unresolved(&mut writer, true).await;
    assert!(told.lock().unwrap().is_empty());
    writer.recover().await;
    assert!(writer.retry.is_none());
    assert_eq!(*told.lock().unwrap(), [1, 2], "the report that was kept is no change");
    assert_eq!((writer.start.head, writer.backlog.len()), (2, 0));
}

#[tokio::test]
async fn what_was_not_written_takes_no_revision() {
    let place = Place::new().await;
    let (mut writer, told) = mk_writer(&place).await;
    mk_unresolved(&mut writer, false).await;
    writer.recover().await;
    assert!(writer.retry.is_none());
    assert!(told.lock().unwrap().is_empty(), "the report's plugin was never installed");
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    assert_eq!(*told.lock().unwrap(), [1]);
}

#[tokio::test]
async fn a_newer_report_follows_one_that_was_written_after_all() {
    let place = Place::new().await;
    let (mut writer, told) = mk_writer(&place).await;
    mk_unresolved(&mut writer, true).await;
    let newer = What::Report { id: mk_id(1), reported: Box::new(mk_report(State::Active, 2)) };
    writer.change(vec![mk_change(newer)]).await;
    writer.recover().await;
    assert_eq!(*told.lock().unwrap(), [1, 2, 3]);
    assert_eq!(writer.start.records.get(mk_id(1)).unwrap().plugin.reported.state, State::Active);
}

/// A database with one plugin, whose record can't be read.
async fn mk_unreadable() -> Place {
    let place = Place::new().await;
    let (mut writer, _) = mk_writer(&place).await;
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    writer.end().await;
    let db = place.connection().await;
    let spoilt = plugin::Entity::update_many().col_expr(plugin::Column::State, Expr::val("spoilt"));
    spoilt.exec(&db).await.unwrap();
    db.close().await.unwrap();
    place
}

#[tokio::test]
async fn of_a_group_only_the_change_is_refused_that_contradicts_what_is_stored() {
    let place = mk_unreadable().await;
    let (mut writer, told) = mk_writer(&place).await;
    let again = Plugin { request: mk_plugin(1).request, ..mk_plugin(2) };
    let report = What::Report { id: mk_id(3), reported: Box::new(mk_report(State::Starting, 1)) };
    let (changes, answers): (Vec<_>, Vec<_>) =
        [What::Install(Box::new(again)), What::Install(Box::new(mk_plugin(3))), report]
            .map(|what| {
                let (reply, answer) = oneshot::channel();
                (Change { what, reply: Some(reply) }, answer)
            })
            .into_iter()
            .unzip();
    writer.change(changes).await;
    assert!(writer.retry.is_none() && *writer.health.0.borrow(), "the database is there");
    let mut answers = answers.into_iter().map(|mut answer| answer.try_recv().unwrap());
    let mut next = || answers.next().unwrap();
    assert_eq!(next().unwrap_err().reason, Reason::RequestIdReused);
    assert_eq!([next(), next()].map(|answer| answer.unwrap().revision), [2, 3]);
    assert_eq!(*told.lock().unwrap(), [2, 3]);
}

#[tokio::test]
async fn it_does_not_come_back_to_a_database_that_somebody_else_has_written() {
    let place = Place::new().await;
    let (mut writer, _) = mk_writer(&place).await;
    writer.fail_over(&StoreError::TimedOut);
    let somebody_else = mk_batch(&writer, 3);
    commit::execute(&writer.start.lease, &somebody_else, &[], Durability::Synced).await.unwrap();
    writer.recover().await;
    assert!(writer.retry.is_some());
    let error = writer.resolve().await.unwrap_err();
    assert!(matches!(error, StoreError::Diverged { expected: 0, found: 3 }), "{error}");
}

#[tokio::test]
async fn whoever_finds_no_row_of_its_own_is_told_so_and_nobody_hears_of_the_change() {
    let place = Place::new().await;
    let (mut writer, told) = mk_writer(&place).await;
    crate::store::entity::store::Entity::delete_many().exec(writer.start.lease.db()).await.unwrap();
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    assert!(writer.retry.is_some() && told.lock().unwrap().is_empty());
}
