use super::*;

/// What a database could change: letters of four bytes, ends of lines, a zero, blanks at the end, case.
const TEXT: &str = "Grüße, 世界 🦀\r\n\u{0}\\ '\" Ünd ABC abc   ";

fn mk_wordy(number: u32, configuration: String) -> Plugin {
    let plugin = mk_plugin(number);
    let mut reported = plugin.reported.clone();
    reported.failure = Some(Failure { message: TEXT.to_owned(), ..mk_failure() }.into());
    let desired = Desired { configuration: mk_configuration(&configuration), ..plugin.desired };
    Plugin { desired, reported, ..plugin }
}

#[tokio::test]
async fn texts_come_back_as_they_were_however_long() {
    let fixture = Fixture::new().await;
    // Together more than a statement may have on a server with its defaults.
    let long = |number: u32| format!("{TEXT}{number}{}", "x".repeat(1 << 20));
    let installs = (0..20).map(|number| {
        let store = fixture.store.clone();
        tokio::spawn(async move { store.install(mk_wordy(number, long(number))).await })
    });
    for install in installs.collect::<Vec<_>>() {
        install.await.unwrap().unwrap();
    }
    let plugin = fixture.loaded.plugins.first().cloned();
    assert_eq!(plugin, None);
    let commits = fixture.commits();
    let fixture = fixture.reopened(1_000_000).await;
    assert_eq!(journal(&fixture.store, 0).await, commits);
    for plugin in &fixture.loaded.plugins {
        let commit = commits.iter().find(|commit| commit.plugin.id == plugin.id).unwrap();
        assert_eq!(*plugin, *commit.plugin);
    }
}

#[tokio::test]
async fn configurations_that_differ_in_case_only_are_two() {
    let fixture = Fixture::new().await;
    for (number, text) in [(1, "Hello "), (2, "hello "), (3, "hello")] {
        fixture.store.install(mk_wordy(number, text.to_owned())).await.unwrap();
    }
    let fixture = fixture.reopened(10).await;
    let found: Vec<_> = fixture.loaded.plugins.iter().map(|plugin| plugin.desired.configuration.clone()).collect();
    assert_eq!(found, ["Hello ", "hello ", "hello"].map(mk_configuration));
}

#[tokio::test]
async fn names_and_authors_of_any_letters_are_kept() {
    let fixture = Fixture::new().await;
    let name = TEXT.replace('\u{0}', "");
    let token = AccessToken { name: name.clone(), ..mk_token(1) };
    fixture.store.create_token(token.clone()).await.unwrap();
    let plugin = fixture.store.install(mk_plugin(1)).await.unwrap();
    let desired = Desired {
        configuration: mk_configuration("other"),
        configuration_revision: u64::try_from(i64::MAX).unwrap(),
        ..plugin.desired.clone()
    };
    fixture.store.desire(plugin.id, desired, &name).await.unwrap();
    let fixture = fixture.reopened(10).await;
    assert_eq!(fixture.loaded.tokens, [token]);
    let history = fixture.store.configuration_revisions(plugin.id, None, 1).await.unwrap();
    assert_eq!((history[0].revision, &history[0].author), (u64::try_from(i64::MAX).unwrap(), &name));
}
