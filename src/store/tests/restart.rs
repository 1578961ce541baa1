use super::*;

#[tokio::test]
async fn a_restart_restores_everything_as_it_was() {
    let fixture = Fixture::new().await;
    assert_eq!((fixture.loaded.head, fixture.loaded.plugins.len()), (0, 0));
    let epoch = fixture.loaded.epoch.clone();
    for number in [3, 1, 2] {
        fixture.store.install(mk_plugin(number)).await.unwrap();
    }
    fixture.store.report(mk_id(2), mk_report(State::Error, 7));
    fixture.store.remove(mk_id(1)).await.unwrap();
    let commits = fixture.commits();
    let fixture = fixture.reopened(1_000_000).await;
    assert_eq!(fixture.loaded.epoch, epoch);
    assert_eq!(fixture.loaded.head, 5);
    let expected: Vec<Plugin> = [&commits[0], &commits[3]].map(|commit| Plugin::clone(&commit.plugin)).into();
    assert_eq!(fixture.loaded.plugins, expected);
    assert_eq!(journal(&fixture.store, 0).await, commits);
    assert_eq!(fixture.store.install(mk_plugin(4)).await.unwrap().revision, 6);
}

#[tokio::test]
async fn closing_waits_for_what_was_reported() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    for number in 0..1000 {
        fixture.store.report(mk_id(1), mk_report(State::Active, number));
    }
    let fixture = fixture.reopened(1_000_000).await;
    assert_eq!(fixture.loaded.head, 1001);
    assert_eq!(fixture.loaded.plugins[0].reported.observed_generation, 999);
}

#[tokio::test]
async fn flushing_waits_for_what_was_reported() {
    let fixture = Fixture::new().await;
    fixture.store.install(mk_plugin(1)).await.unwrap();
    fixture.store.report(mk_id(1), mk_report(State::Active, 2));
    fixture.store.flush().await.unwrap();
    assert_eq!(fixture.commits().len(), 2);
}

#[tokio::test]
async fn a_closed_store_answers_that_it_is_unavailable() {
    let fixture = Fixture::new().await;
    let other = fixture.store.clone();
    fixture.store.close().await.unwrap();
    assert_eq!(other.install(mk_plugin(1)).await.unwrap_err(), unavailable());
    assert_eq!(other.journal_after(0, 1).await.unwrap_err(), unavailable());
    assert_eq!(other.flush().await.unwrap_err(), unavailable());
    assert!(!*other.healthy().borrow());
    other.report(mk_id(1), mk_report(State::Active, 2));
}

#[tokio::test]
async fn plugins_come_back_in_the_order_of_their_installation_whatever_the_clock_said() {
    let fixture = Fixture::new().await;
    for number in [3, 1, 2] {
        let created = jiff::Timestamp::from_second(i64::from(number)).unwrap();
        fixture.store.install(Plugin { created, ..mk_plugin(number) }).await.unwrap();
    }
    fixture.store.report(mk_id(3), mk_report(State::Error, 7));
    let fixture = fixture.reopened(1_000_000).await;
    let found: Vec<_> = fixture.loaded.plugins.iter().map(|plugin| (plugin.id, plugin.installed)).collect();
    assert_eq!(found, [(mk_id(3), 1), (mk_id(1), 2), (mk_id(2), 3)]);
}

/// 12 % of them came back changed in their last place.
#[tokio::test]
async fn numbers_come_back_as_they_were_stored() {
    let fixture = Fixture::new().await;
    let mut plugin = mk_plugin(1);
    let bits = (1_u64..5000).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let doubles = bits.map(f64::from_bits).filter(|double| double.is_finite()).chain([0.942_450_283_777_050_3, -0.0]);
    let numbers: Vec<_> = doubles.map(serde_json::Value::from).chain([u64::MAX.into(), i64::MIN.into()]).collect();
    plugin.desired.configuration = Arc::new([("numbers".to_owned(), numbers.into())].into_iter().collect());
    fixture.store.install(plugin.clone()).await.unwrap();
    let fixture = fixture.reopened(1_000_000).await;
    assert_eq!(fixture.loaded.plugins[0].desired.configuration, plugin.desired.configuration);
}
