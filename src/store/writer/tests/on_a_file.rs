//! What only SQLite does: it ends a transaction by itself.

use futures_util::FutureExt;
use sea_orm::ConnectionTrait;

use super::*;

/// Lets the writer's connection add as many pages to the database: `SQLITE_FULL` after that.
async fn limit(writer: &Writer, pages: u32) {
    let pragma = format!("PRAGMA max_page_count = {pages}");
    writer.start.lease.db().execute_unprepared(&pragma).await.unwrap();
}

/// An installation that needs new pages.
fn mk_large(number: u32) -> Change {
    let mut plugin = mk_plugin(number);
    plugin.reported.last_protocol_fault = "x".repeat(1 << 20);
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
    let place = Place::file();
    let (mut writer, told) = mk_writer(&place).await;
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    // SQLite ends the whole transaction by itself where a statement writes one row, and only the statement where it
    // writes several.
    for (number, count) in [(2, 1), (3, 2), (4, 1)] {
        run_out_of_space(&mut writer, count).await;
        writer.change(vec![mk_large(number)]).await;
        let told = told.lock().unwrap().last().copied();
        let somebody_else = place.connection().await;
        let (head, _) = commit::standing(&somebody_else).await.unwrap();
        assert_eq!((Some(head), head), (told, u64::from(number)));
    }
    // As if killed: nothing is closed.
    drop(writer);
    let (_, loaded) = open(place.options(100)).await.unwrap();
    assert_eq!((loaded.head, loaded.plugins.len()), (4, 4));
}

/// A transaction of one page would fit in: that is no reason to say that the database is back.
#[tokio::test]
async fn it_is_not_back_before_there_is_room_for_changes() {
    let place = Place::file();
    let (mut writer, _) = mk_writer(&place).await;
    writer.start.lease.location().want(1 << 60).await;
    writer.change(vec![mk_large(1)]).await;
    for _ in 0..3 {
        writer.recover().await;
        assert!(writer.retry.is_some(), "the disk is full");
    }
    writer.start.lease.location().want(1).await;
    writer.recover().await;
    assert!(writer.retry.is_none());
    writer.change(vec![mk_large(2)]).await;
    assert_eq!(writer.start.head, 1);
}

#[tokio::test]
async fn the_journal_is_not_cut_out_of_the_reserve() {
    let place = Place::file();
    let (mut writer, _) = mk_writer(&place).await;
    writer.change((1..=3).map(|number| mk_change(What::Install(Box::new(mk_plugin(number))))).collect()).await;
    writer.start.schedule = Schedule::keeping(1, false);
    writer.start.lease.location().want(1 << 60).await;
    writer.check_health().await;
    writer.change((1..=3).map(|number| mk_change(What::Remove { id: mk_id(number) })).collect()).await;
    let compacted = |writer: &Writer| writer.start.compacted.load(Ordering::Relaxed);
    assert_eq!((writer.start.head, compacted(&writer)), (6, 0));
    writer.start.lease.location().want(1).await;
    writer.recover().await;
    writer.check_health().await;
    assert_eq!((writer.start.head, compacted(&writer)), (6, 5), "there is room again");
}

/// Nobody has to have found out before.
#[tokio::test]
async fn a_deletion_that_is_the_first_to_find_the_disk_full_is_stored() {
    let place = Place::file();
    let (mut writer, _) = mk_writer(&place).await;
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    writer.start.lease.location().want(1 << 60).await;
    writer.change(vec![mk_large(2), mk_change(What::Remove { id: mk_id(1) })]).await;
    assert_eq!(writer.start.head, 2, "the installation is refused, and the deletion is not");
    assert!(writer.retry.is_some(), "the disk is full");
}

/// A disk that hangs must not keep the runtime's threads from their other work.
#[test]
fn the_files_are_looked_at_on_a_thread_that_may_wait_for_the_disk() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let place = Place::file();
        let (writer, _) = mk_writer(&place).await;
        let (release, released) = std::sync::mpsc::channel::<()>();
        let hanging = tokio::task::spawn_blocking(move || released.recv());
        let location = Arc::clone(writer.start.lease.location());
        let mut check = Box::pin(location.check_with_reserve());
        assert!(check.as_mut().now_or_never().is_none(), "there is no thread for it");
        drop(release);
        check.await.unwrap();
        hanging.await.unwrap().unwrap_err();
    });
}

/// A caller may be told that it was made.
#[tokio::test]
async fn what_was_written_after_all_is_synced_before_it_is_told_of() {
    let place = Place::file();
    let (mut writer, told) = mk_writer(&place).await;
    mk_unresolved(&mut writer, true).await;
    let before = writer.start.lease.location().syncs().await;
    // The file is synced by the commit too, which in its time did not come so far.
    writer.recover().await;
    assert!(writer.start.lease.location().syncs().await > before);
    assert_eq!(told.lock().unwrap().len(), 2);
}

/// An urgent change takes no events along, and gives none back.
#[tokio::test]
async fn events_outlive_an_urgent_change_that_fails() {
    let place = Place::file();
    let (mut writer, _) = mk_writer(&place).await;
    writer.start.audit.put_back(vec![crate::store::tests::audit::mk_row(1)]);
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    assert_eq!(writer.start.audit.len(), 0, "an ordinary change takes them along");
    writer.start.audit.put_back(vec![crate::store::tests::audit::mk_row(2)]);
    let Place::File(folder) = &place else { panic!("a file") };
    std::fs::remove_file(folder.path().join("plugd.db")).unwrap();
    let (batch, _) = writer.batch(&[mk_change(What::Remove { id: mk_id(1) })]);
    writer.commit(batch, true).await.unwrap_err();
    assert_eq!(writer.start.audit.len(), 1);
}

/// Else the store would be away again at once.
#[tokio::test]
async fn a_sync_that_failed_is_forgotten_once_the_database_is_back() {
    let place = Place::file();
    let (mut writer, _) = mk_writer(&place).await;
    writer.change(vec![mk_change(What::Install(Box::new(mk_plugin(1))))]).await;
    let location = Arc::clone(writer.start.lease.location());
    let disk = location.hang().await;
    let desired = Box::new(Desired { generation: 9, ..mk_plugin(1).desired });
    writer.change(vec![mk_change(What::Desire { id: mk_id(1), desired, author: String::new() })]).await;
    let Place::File(folder) = &place else { panic!("a file") };
    let [database, moved] = ["plugd.db", "moved"].map(|name| folder.path().join(name));
    std::fs::rename(&database, &moved).unwrap();
    drop(disk);
    writer.syncer.durable(location).reach(2).await.unwrap_err();
    std::fs::rename(&moved, &database).unwrap();
    writer.fail_over(&StoreError::TimedOut);
    writer.recover().await;
    assert!(writer.retry.is_none(), "the database is back");
    assert!(writer.syncer.failed().now_or_never().is_none(), "what failed before is told again");
}
