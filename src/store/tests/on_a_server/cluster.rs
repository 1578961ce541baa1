//! Several plugd on one database: who leads, what an earlier leader can still do, what followers read.

use crate::{
    boot_time::since_boot,
    store::{
        follow::{Feed, follow},
        open::open_as_leader,
        tests::*,
    },
};

const NODES: [&str; 2] = ["http://one", "http://two"];

/// A store of a node that leads, and its lease.
async fn lead(database: &Place, node: &str) -> Result<(Store, Leadership), StoreError> {
    let (opened, loaded) = open_as_leader(database.options(1_000_000), node.to_owned(), None).await?;
    Ok((opened.start(Box::new(|_| {})), loaded.leadership.unwrap()))
}

/// The same as soon as it may, for a node that follows until then.
async fn lead_at_last(database: &Place, node: &str) -> (Store, Leadership) {
    let (_store, _, mut feed) = follow(&database.options(10)).await.unwrap();
    let tried = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while feed.look().await.unwrap().leader.is_some() {
            ticks.tick().await;
        }
        let (opened, loaded) =
            open_as_leader(database.options(1_000_000), node.to_owned(), feed.run_out()).await.unwrap();
        (opened.start(Box::new(|_| {})), loaded.leadership.unwrap())
    };
    tokio::time::timeout(PATIENCE, tried).await.expect("the lease ends")
}

/// Has the lease end then, by the clock of the database.
async fn set_end(database: &Place, end: &str) {
    let db = database.connection().await;
    sea_orm::ConnectionTrait::execute_unprepared(&db, &format!("UPDATE store SET until = {end}")).await.unwrap();
}

/// What is found once there is something new.
async fn look(feed: &mut Feed) -> crate::store::Look {
    let looked = async {
        loop {
            let look = feed.look().await.unwrap();
            if !look.commits.is_empty() || look.tokens.is_some() {
                return look;
            }
            // Longer than the test may take: it is the leader who ends this wait.
            feed.wait(PATIENCE * 2).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.expect("there is something to read")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_leads_and_the_others_are_told_which() {
    let place = Place::server().await;
    let (store, leadership) = lead(&place, NODES[0]).await.unwrap();
    assert_eq!(leadership.term, 1);
    let refused = lead(&place, NODES[1]).await.err().unwrap();
    assert!(matches!(&refused, StoreError::Led { leader } if leader == NODES[0]), "{refused}");
    store.close().await.unwrap();
    let (_store, leadership) = lead(&place, NODES[1]).await.expect("who closes hands over at once");
    assert_eq!(leadership.term, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_find_an_empty_database_at_once_one_leads() {
    let place = Place::server().await;
    let (one, other) = tokio::join!(lead(&place, NODES[0]), lead(&place, NODES[1]));
    let (led, refused) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(led.unwrap().1.term, 1);
    assert!(matches!(refused, Err(StoreError::Led { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_leads_before_the_time_is_over_that_an_earlier_leader_counts() {
    let place = Place::server().await;
    let (opened, loaded) = open_as_leader(place.options(10), NODES[0].to_owned(), None).await.unwrap();
    let earlier = loaded.leadership.unwrap();
    // As if it had been killed.
    drop(opened);
    let (_store, later) = lead_at_last(&place, NODES[1]).await;
    assert!(since_boot() >= *earlier.good_until.borrow());
    assert_eq!((earlier.term, later.term), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_lives_goes_on_leading() {
    let place = Place::server().await;
    let (_store, mut leadership) = lead(&place, NODES[0]).await.unwrap();
    let first = *leadership.good_until.borrow_and_update();
    let renewed = leadership.good_until.wait_for(|until| *until > first + crate::store::LEASE);
    tokio::time::timeout(PATIENCE, renewed).await.expect("it renews its lease").unwrap();
    assert!(matches!(lead(&place, NODES[1]).await, Err(StoreError::Led { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_with_which_the_database_does_not_come_to_an_end_costs_no_lease() {
    let place = Place::server().await;
    let (store, mut leadership) = lead(&place, NODES[0]).await.unwrap();
    // Much longer than a lease, and with the row locked by which it is renewed.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT ON access_token FOR EACH ROW EXECUTE FUNCTION slow()";
    sea_orm::ConnectionTrait::execute_unprepared(&place.connection().await, slow).await.unwrap();
    assert_eq!(store.create_token(mk_token(1)).await.unwrap_err(), unavailable());
    let first = *leadership.good_until.borrow_and_update();
    let renewed = leadership.good_until.wait_for(|until| *until > first);
    tokio::time::timeout(PATIENCE, renewed).await.expect("it renews its lease").unwrap();
    assert!(since_boot() < first, "its lease had run out by then");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugd_that_is_alone_and_a_cluster_keep_each_other_away() {
    let place = Place::server().await;
    let (opened, _) = open(place.options(10)).await.unwrap();
    assert!(matches!(lead(&place, NODES[0]).await, Err(StoreError::Taken)));
    opened.start(Box::new(|_| {})).close().await.unwrap();
    let (opened, _) = open_as_leader(place.options(10), NODES[0].to_owned(), None).await.unwrap();
    assert!(matches!(open(place.options(10)).await, Err(StoreError::Taken)));
    // Also where nobody holds the lock any more, the lease may last.
    set_end(&place, "now() + interval '1 hour'").await;
    drop(opened);
    let opened = async || {
        loop {
            match open(place.options(10)).await {
                // The server has yet to miss the session.
                Err(StoreError::Taken) => {}
                other => return other.err(),
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, opened()).await.unwrap();
    assert!(matches!(&refused, Some(StoreError::Led { leader }) if leader == NODES[0]), "{refused:?}");
    set_end(&place, "now()").await;
    assert!(tokio::time::timeout(PATIENCE, opened()).await.unwrap().is_none());
}

/// The time of the database may be set.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_over_for_the_database_alone_is_not_taken() {
    let place = Place::server().await;
    let (opened, loaded) = open_as_leader(place.options(10), NODES[0].to_owned(), None).await.unwrap();
    let earlier = loaded.leadership.unwrap();
    set_end(&place, "now() - interval '1 hour'").await;
    let refused = lead(&place, NODES[1]).await.err().unwrap();
    assert!(matches!(&refused, StoreError::Led { leader } if leader == NODES[0]), "{refused}");
    drop(opened);
    let (_store, later) = lead_at_last(&place, NODES[1]).await;
    assert!(since_boot() >= *earlier.good_until.borrow());
    assert_eq!(later.term, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_succeeded_as_the_leader_writes_nothing_any_more() {
    let place = Place::server().await;
    let (earlier, mut leadership) = lead(&place, NODES[0]).await.unwrap();
    // As if it had handed over.
    let later = loop {
        set_end(&place, "now(), closed = true").await;
        if let Ok((later, _)) = lead(&place, NODES[1]).await {
            break later;
        }
    };
    assert_eq!(earlier.install(mk_plugin(1)).await.unwrap_err(), unavailable());
    let over = leadership.good_until.wait_for(|until| until.is_zero());
    tokio::time::timeout(PATIENCE, over).await.expect("it learns of that").unwrap();
    later.install(mk_plugin(2)).await.unwrap();
    assert_eq!(journal(&later, 0).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_reads_what_the_leader_commits_and_is_told_of_it() {
    let place = Place::server().await;
    let (leader, _) = lead(&place, NODES[0]).await.unwrap();
    leader.install(mk_plugin(1)).await.unwrap();
    let (store, loaded, mut feed) = follow(&place.options(10)).await.unwrap();
    assert_eq!((loaded.head, loaded.plugins.len()), (1, 1));
    // It is the leader who ends this wait: longer than the test may take.
    let told = || tokio::time::timeout(PATIENCE, feed.wait(PATIENCE * 2));
    told().await.expect("it listens");
    let (heard, installed) = tokio::join!(told(), leader.install(mk_plugin(2)));
    heard.expect("it is told");
    installed.unwrap();
    let found = look(&mut feed).await;
    assert_eq!((found.commits, found.behind), (journal(&leader, 1).await, 0));
    assert_eq!(found.leader.unwrap().address, NODES[0]);
    assert_eq!(journal(&store, 0).await, journal(&leader, 0).await);
    assert_eq!(store.install(mk_plugin(3)).await.unwrap_err(), unavailable(), "it changes nothing");
    assert_eq!(store.create_token(mk_token(1)).await.unwrap_err(), unavailable());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_is_told_of_tokens() {
    let place = Place::server().await;
    let (leader, _) = lead(&place, NODES[0]).await.unwrap();
    let (_store, loaded, mut feed) = follow(&place.options(10)).await.unwrap();
    assert!(loaded.tokens.is_empty());
    for number in [1, 2] {
        leader.create_token(mk_token(number)).await.unwrap();
    }
    while look(&mut feed).await.tokens.unwrap().len() < 2 {}
    leader.revoke_token(mk_token(1).id).await.unwrap();
    let left: Vec<_> = look(&mut feed).await.tokens.unwrap().into_iter().map(|token| token.id).collect();
    assert_eq!(left, [mk_token(2).id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lacks_what_is_no_longer_kept_begins_anew() {
    let place = Place::server().await;
    let (opened, _) = open_as_leader(place.options(10), NODES[0].to_owned(), None).await.unwrap();
    let leader = opened.start(Box::new(|_| {}));
    let (_store, _, mut feed) = follow(&place.options(10)).await.unwrap();
    leader.install(mk_plugin(1)).await.unwrap();
    for number in 2..100 {
        leader.report(mk_id(1), mk_report(State::Active, number));
        leader.flush().await.unwrap();
    }
    let lost = async {
        while leader.compacted() == 0 {
            leader.flush().await.unwrap()
        }
    };
    tokio::time::timeout(PATIENCE, lost).await.expect("old revisions are forgotten");
    assert!(matches!(feed.look().await, Err(StoreError::HistoryEnded)));
}
