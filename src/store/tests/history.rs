use super::*;

async fn configure(store: &Store, plugin: &Plugin, revision: u64, author: &str) -> Arc<Plugin> {
    let desired = Desired {
        configuration: mk_configuration(&format!("number {revision}")),
        configuration_revision: revision,
        ..plugin.desired.clone()
    };
    store.desire(plugin.id, desired, author).await.unwrap()
}

#[tokio::test]
async fn configurations_are_kept_with_who_set_them_newest_first() {
    let fixture = Fixture::new().await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    let start = Timestamp::now();
    for (revision, author) in [(4, "ann"), (5, "bob"), (6, "cid")] {
        configure(&fixture.store, &plugin, revision, author).await;
    }
    let fixture = fixture.reopened(1_000_000).await;
    let all = fixture.store.configuration_revisions(plugin.id, None, 100).await.unwrap();
    let seen: Vec<_> = all.iter().map(|one| (one.revision, one.author.as_str())).collect();
    assert_eq!(seen, [(6, "cid"), (5, "bob"), (4, "ann"), (3, "")]);
    assert_eq!(all[1].configuration, *mk_configuration("number 5"));
    assert!(all[0].created >= all[1].created && all[2].created >= start);
    let page = fixture.store.configuration_revisions(plugin.id, Some(6), 2).await.unwrap();
    assert_eq!(page, all[1..3]);
}

#[tokio::test]
async fn other_changes_do_not_enter_the_history() {
    let fixture = Fixture::new().await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    let desired = Desired { generation: 77, ..plugin.desired.clone() };
    fixture.store.desire(plugin.id, desired, "ann").await.unwrap();
    assert_eq!(fixture.store.configuration_revisions(plugin.id, None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_history_goes_with_the_plugin() {
    let fixture = Fixture::new().await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    let other = fixture.store.install(mk_plugin(2)).await.unwrap();
    fixture.store.remove(plugin.id).await.unwrap();
    assert_eq!(fixture.store.configuration_revisions(plugin.id, None, 9).await.unwrap(), []);
    assert_eq!(fixture.store.configuration_revisions(other.id, None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn only_the_newest_configurations_are_kept() {
    let fixture = Fixture::keeping(5).await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    let other = fixture.store.install(mk_plugin(2)).await.unwrap();
    for revision in 4..=110 {
        configure(&fixture.store, &plugin, revision, "ann").await;
    }
    let kept = fixture.store.configuration_revisions(plugin.id, None, 1000).await.unwrap();
    assert_eq!(kept.iter().map(|one| one.revision).collect::<Vec<_>>(), (11..=110).rev().collect::<Vec<_>>());
    assert_eq!(fixture.store.configuration_revisions(other.id, None, 9).await.unwrap().len(), 1);

    compaction::report(&fixture, 2, 12).await;
    let db = fixture.place.connection().await;
    let texts = compaction::greetings(&db).await;
    assert!(texts.contains("number 11") && !texts.contains("number 10"), "{texts:?}");
}

#[tokio::test]
async fn the_past_of_a_plugin_is_told_newest_first_and_outlives_it() {
    let fixture = Fixture::new().await;
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    let other = fixture.store.install(mk_plugin(2)).await.unwrap();
    configure(&fixture.store, &plugin, 4, "ann").await;
    fixture.store.report(plugin.id, Reported { state: State::Error, serial: 99, ..plugin.reported.clone() });
    fixture.store.remove(plugin.id).await.unwrap();

    let past = fixture.store.plugin_events(Some(plugin.id), None, 100).await.unwrap();
    let told: Vec<_> = past.iter().map(|one| (one.revision, one.before, one.plugin.reported.state)).collect();
    let (state, error) = (plugin.reported.state, State::Error);
    assert_ne!(state, error);
    assert_eq!(told, [(5, Some(error), error), (4, Some(state), error), (3, Some(state), state), (1, None, state)]);
    assert_eq!(past.iter().map(|one| one.is_removal).collect::<Vec<_>>(), [true, false, false, false]);
    let manifest = &past[2].plugin.desired.manifest;
    assert_eq!((&manifest.id, &manifest.name), (&plugin.desired.manifest.id, &plugin.desired.manifest.name));
    assert!(manifest.args.is_empty() && past[2].plugin.desired.configuration.is_empty(), "those are not read");

    let all = fixture.store.plugin_events(None, Some(5), 3).await.unwrap();
    assert_eq!(all.iter().map(|one| one.revision).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!(all[2].plugin.id, other.id);
    assert!(fixture.store.plugin_events(Some(mk_id(77)), None, 9).await.unwrap().is_empty());
}
