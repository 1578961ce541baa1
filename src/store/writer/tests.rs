//! What only the writer itself can be made to meet: a transaction of which it does not know whether it was written.

use std::{path::Path, sync::Mutex};

use sea_orm::{ConnectionTrait, Database};

use super::{op::What, *};
use crate::{
    domain::{Commit, State},
    store::{
        Options, open,
        tests::{mk_id, mk_plugin, mk_report},
    },
};

fn url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("plugd.db").display())
}

/// A writer that is not running, and the revisions that it has told of.
async fn mk_writer(folder: &Path) -> (Writer, Arc<Mutex<Vec<u64>>>) {
    let (opened, _) = open(Options { url: url(folder), journal_keep: 100 }).await.unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let on_commit = move |new: &[Arc<Commit>]| kept.lock().unwrap().extend(new.iter().map(|commit| commit.revision));
    let (_, ops) = mpsc::unbounded_channel();
    (Writer::new(opened.start, Box::new(on_commit), ops, watch::channel(true).0), told)
}

fn mk_change(what: What) -> Change {
    Change { what, reply: None }
}

/// A plan of as many installations.
fn mk_plan(writer: &Writer, count: u32) -> Plan {
    let installations = (0..count).map(|number| mk_change(What::Install(Box::new(mk_plugin(number)))));
    writer.plan(installations.collect()).0
}

/// A plan of an installation and a report, that the writer takes for failed.
async fn mk_unresolved(writer: &mut Writer, is_written: bool) {
    let report = What::Report { id: mk_id(1), reported: Box::new(mk_report(State::Starting, 1)) };
    let changes = [What::Install(Box::new(mk_plugin(1))), report].map(mk_change);
    let (plan, _) = writer.plan(changes.into());
    if is_written {
        commit::execute(&writer.start.db, &plan, None).await.unwrap();
    }
    writer.unresolved = Some((plan, None));
    writer.go_away(&StoreError::TimedOut);
    writer.keep_reports();
}

#[tokio::test]
async fn what_was_written_after_all_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, told) = mk_writer(folder.path()).await;
    mk_unresolved(&mut writer, true).await;
    assert!(told.lock().unwrap().is_empty());
    writer.recover().await;
    assert!(writer.retry.is_none());
    assert_eq!(*told.lock().unwrap(), [1, 2], "the report that was kept is no change");
    assert_eq!((writer.start.head, writer.backlog.len()), (2, 0));
}

#[tokio::test]
async fn what_was_not_written_takes_no_revision() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, told) = mk_writer(folder.path()).await;
    mk_unresolved(&mut writer, false).await;
    writer.recover().await;
    assert!(writer.retry.is_none());
    assert!(told.lock().unwrap().is_empty(), "the report's plugin was never installed");
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    assert_eq!(*told.lock().unwrap(), [1]);
}

#[tokio::test]
async fn a_newer_report_follows_one_that_was_written_after_all() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, told) = mk_writer(folder.path()).await;
    mk_unresolved(&mut writer, true).await;
    let newer = What::Report { id: mk_id(1), reported: Box::new(mk_report(State::Active, 2)) };
    writer.change(vec![mk_change(newer)]).await;
    writer.recover().await;
    assert_eq!(*told.lock().unwrap(), [1, 2, 3]);
    assert_eq!(writer.start.records[&mk_id(1)].plugin.reported.state, State::Active);
}

#[tokio::test]
async fn it_does_not_come_back_to_a_database_that_somebody_else_has_written() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = mk_writer(folder.path()).await;
    writer.go_away(&StoreError::TimedOut);
    let somebody_else = mk_plan(&writer, 3);
    commit::execute(&writer.start.db, &somebody_else, None).await.unwrap();
    writer.recover().await;
    assert!(writer.retry.is_some());
    let error = writer.resolve().await.unwrap_err();
    assert!(matches!(error, StoreError::Diverged { expected: 0, found: 3 }), "{error}");
}

/// Lets the writer's connection add as many pages to the database: `SQLITE_FULL` after that.
async fn limit(writer: &Writer, pages: u32) {
    let pragma = format!("PRAGMA max_page_count = {pages}");
    writer.start.db.execute_unprepared(&pragma).await.unwrap();
}

/// An installation that needs new pages.
fn mk_large(number: u32) -> Change {
    let mut plugin = mk_plugin(number);
    plugin.reported.message = "x".repeat(1 << 20);
    mk_change(What::Install(Box::new(plugin)))
}

/// The disk is full for a transaction of as many changes, and has room again when the writer recovers.
async fn run_out_of_space(writer: &mut Writer, count: u32) {
    limit(writer, 1).await;
    writer.change((0..count).map(|number| mk_large(100 + number)).collect()).await;
    assert!(writer.retry.is_some(), "the database is full");
    limit(writer, u32::MAX - 1).await;
    writer.recover().await;
    assert!(writer.retry.is_none(), "there is room again");
}

#[tokio::test]
async fn what_is_told_of_after_a_full_disk_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, told) = mk_writer(folder.path()).await;
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    // SQLite ends the whole transaction by itself where a statement writes one row, and only the statement where it
    // writes several.
    for (number, count) in [(2, 1), (3, 2), (4, 1)] {
        run_out_of_space(&mut writer, count).await;
        writer.change(vec![mk_large(number)]).await;
        let told = told.lock().unwrap().last().copied();
        let somebody_else = Database::connect(format!("{}?mode=ro", url(folder.path()))).await.unwrap();
        let (head, _) = commit::standing(&somebody_else).await.unwrap();
        assert_eq!((Some(head), head), (told, u64::from(number)));
    }
    // As if killed: nothing is closed.
    drop(writer);
    let (_, loaded) = open(Options { url: url(folder.path()), journal_keep: 100 }).await.unwrap();
    assert_eq!((loaded.head, loaded.plugins.len()), (4, 4));
}
