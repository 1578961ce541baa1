//! What the nodes of a cluster tell of themselves.

use sea_orm::ConnectionTrait;

use crate::store::{
    nodes::{Node, Presence, Reach, Seen, nodes},
    open::open_as_leader,
    rows::stored,
    tests::*,
};

const ONE: &str = "http://one";
const OTHER: &str = "http://other";

fn mk_node(address: &str) -> Node {
    Node {
        address: address.to_owned(),
        started: stored(Timestamp::now()),
        host_name: "a-host".to_owned(),
        version: "1".to_owned(),
        reach: Some(Reach { revision: 7, behind: 2, lag: Duration::from_millis(1500) }),
        term: None,
    }
}

/// A database that one node leads, and what others tell it by.
async fn mk_cluster() -> (Place, Store, Presence) {
    let place = Place::server().await;
    let (opened, _) = open_as_leader(place.options(10), ONE.to_owned(), None).await.unwrap();
    let store = opened.start(Box::new(|_| {}));
    let presence = Presence::of(&place.address()).await.unwrap();
    (place, store, presence)
}

/// Has what a node told be as old as this by the clock of the database.
async fn age(place: &Place, address: &str, age: &str) {
    let set = format!("UPDATE node SET seen = now() - interval '{age}' WHERE address = '{address}'");
    place.connection().await.execute_unprepared(&set).await.unwrap();
}

fn of(found: &[Seen]) -> Vec<(&str, bool)> {
    found.iter().map(|seen| (seen.node.address.as_str(), seen.is_present)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_told_of_as_they_told_of_themselves_and_with_who_leads() {
    let (place, store, presence) = mk_cluster().await;
    let (other, one) = (mk_node(OTHER), Node { reach: None, term: Some(1), ..mk_node(ONE) });
    for node in [&other, &one] {
        presence.tell(node).await.unwrap();
    }
    let found = store.nodes().await.unwrap();
    assert_eq!(found.iter().map(|seen| &seen.node).collect::<Vec<_>>(), [&one, &other]);
    assert!(found.iter().all(|seen| seen.is_present), "{found:?}");
    assert_eq!(nodes(&place.address()).await.unwrap(), found);
    store.close().await.unwrap();
    let found = nodes(&place.address()).await.unwrap();
    assert!(found.iter().all(|seen| seen.node.term.is_none()), "who has handed over leads no more: {found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_says_so_leads_and_only_in_the_term_of_the_lease() {
    let (_place, store, presence) = mk_cluster().await;
    // Killed and started again at the address that the lease still has; the leader of an earlier term that does not know yet.
    for term in [None, Some(0)] {
        presence.tell(&Node { term, ..mk_node(ONE) }).await.unwrap();
        assert_eq!(store.nodes().await.unwrap()[0].node.term, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_with_one_address_the_earlier_learns_that_it_is_not_told_of() {
    let (place, store, presence) = mk_cluster().await;
    let earlier = mk_node(ONE);
    let later = Node { started: earlier.started + Duration::from_secs(1), ..earlier.clone() };
    for (node, is_told) in [(&earlier, true), (&later, true), (&earlier, false), (&later, true)] {
        assert_eq!(presence.tell(node).await.unwrap(), is_told);
    }
    assert_eq!(store.nodes().await.unwrap()[0].node, later);
    age(&place, ONE, "6 seconds").await;
    assert!(presence.tell(&earlier).await.unwrap(), "the later one is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_tells_nothing_is_missed_and_forgotten_after_an_hour() {
    let (place, store, presence) = mk_cluster().await;
    for address in [ONE, OTHER] {
        presence.tell(&mk_node(address)).await.unwrap();
    }
    age(&place, ONE, "6 seconds").await;
    assert_eq!(of(&store.nodes().await.unwrap()), [(OTHER, true), (ONE, false)]);
    age(&place, ONE, "-1 hour").await;
    assert_eq!(of(&store.nodes().await.unwrap()), [(OTHER, true), (ONE, false)], "the clock was set back");
    age(&place, ONE, "59 minutes").await;
    presence.tell(&mk_node(OTHER)).await.unwrap();
    assert_eq!(store.nodes().await.unwrap().len(), 2);
    age(&place, ONE, "61 minutes").await;
    presence.tell(&mk_node(OTHER)).await.unwrap();
    assert_eq!(of(&store.nodes().await.unwrap()), [(OTHER, true)]);
    age(&place, OTHER, "61 minutes").await;
    presence.tell(&mk_node(OTHER)).await.expect("it forgets the others, not itself");
    assert_eq!(of(&store.nodes().await.unwrap()), [(OTHER, true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_is_forgotten_unless_another_has_its_address() {
    let (_place, store, presence) = mk_cluster().await;
    let earlier = mk_node(ONE);
    let later = Node { started: earlier.started + Duration::from_secs(1), ..earlier.clone() };
    presence.tell(&later).await.unwrap();
    presence.withdraw(&earlier).await.unwrap();
    assert_eq!(store.nodes().await.unwrap()[0].node, later);
    presence.withdraw(&later).await.unwrap();
    assert_eq!(store.nodes().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_nodes_a_hundred_are_told_of_and_those_that_are_there_first() {
    let (place, store, presence) = mk_cluster().await;
    for number in 0..101 {
        presence.tell(&mk_node(&format!("http://gone-{number:03}"))).await.unwrap();
    }
    let gone = "UPDATE node SET seen = now() - interval '1 minute'";
    place.connection().await.execute_unprepared(gone).await.unwrap();
    presence.tell(&mk_node(OTHER)).await.unwrap();
    let found = store.nodes().await.unwrap();
    assert_eq!((found.len(), of(&found)[0]), (100, (OTHER, true)));
}

#[tokio::test]
async fn a_file_has_no_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::file(&folder.path().join("plugd.db")).unwrap();
    assert_eq!(nodes(&address).await.unwrap(), []);
    assert!(Presence::of(&address).await.is_err());
}
