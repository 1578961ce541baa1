//! Lists and snapshots.

use super::{watching::mk_query, world::*};
use crate::{
    domain::{Mode, Plugin, PluginId},
    supervisor::{Frame, ListQuery, Start, handle::new_plugin},
};

/// A plugin whose id looks older than all others: the clock was set back, or two plugins have one second.
fn mk_older() -> Plugin {
    Plugin { id: PluginId::from_bytes([0; 12]), ..new_plugin(mk_manifest(), Mode::Supervised) }
}

#[tokio::test(start_paused = true)]
async fn plugins_are_listed_in_the_order_of_their_installation_and_so_are_pages_and_snapshots() {
    let world = World::new(Behaviour::Connects).await;
    let second = world.handle.add(mk_older()).await.unwrap();
    let third = world.handle.register_external(mk_manifest(), None).await.unwrap();
    let expected = [world.id, second.id, third.id];
    let ids = |plugins: Vec<std::sync::Arc<Plugin>>| plugins.iter().map(|plugin| plugin.id).collect::<Vec<_>>();

    assert_eq!(ids(world.handle.list(&ListQuery::default(), |_| true)), expected);
    let (mut query, mut paged) = (ListQuery::default(), Vec::new());
    for _ in expected {
        let mut is_first = true;
        let page = world.handle.list(&query, |_| std::mem::take(&mut is_first));
        query.after = page.last().map(|plugin| plugin.place());
        paged.extend(page);
    }
    assert_eq!(ids(paged), expected);
    let mut watch = world.handle.watch(mk_query(Start::Snapshot)).unwrap();
    let Frame::Opened { .. } = watch.next().await.unwrap() else { panic!("it begins with something else") };
    let Frame::Snapshot(plugins) = watch.next().await.unwrap() else { panic!("no snapshot") };
    assert_eq!(ids(plugins), expected);

    world.handle.delete(second.id, "test").await.unwrap();
    assert_eq!(ids(world.handle.list(&ListQuery::default(), |_| true)), [world.id, third.id]);
    world.shut_down().await;
}
