//! plan, apply, export.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use plugd::api::v1::{
    Policy,
    ReportedState::{Active, Connecting, Inactive},
    Supervision, UpdatePolicyRequest,
};
use serde_json::{Value, json};

use super::{
    declared::{apply, desired, plan, write_file, write_plugin},
    error_of, json_of, run,
};
use crate::harness::{Plugd, Run, chaos, cli, external_manifest, state_of, within};

const PLUGINS: &str = "
plugins:
  - id: one
    package: ./one
    active: true
    configuration: {greeting: '${env:SECRET}', more: {deep: [1, 2.5, null]}}
    policy: {limit-open-files: 99, env.KEY: '${env:SECRET}'}
  - id: two
    package: ./two
    configuration: {greeting: hi}
  - id: outside
    external: {id: outside, author: me, name: Outside}
";

#[tokio::test]
async fn a_second_apply_changes_nothing() {
    let plugd = Plugd::start().await;
    write_plugin(&plugd, "one", "1.0.0", &["tame"]);
    write_plugin(&plugd, "two", "1.0.0", &["tame"]);
    let file = write_file(&plugd, "plugins.yaml", PLUGINS);

    let first = plan(&plugd, &file, &[]).await;
    assert_eq!(first.code(), Some(2), "{}", first.stderr);
    let asked = cli(&plugd, &["apply", "-f", &file]).env("SECRET", "hunter2").run().await;
    assert_eq!(asked.code(), Some(2), "nobody is there to ask");
    assert_eq!(desired(&plugd).await, [] as [Value; 0]);

    let applied = apply(&plugd, &file, &[]).await;
    let said = applied.text();
    for line in [
        "one: installed, version 1.0.0\n",
        "one: has its policy\n",
        "one: started\n",
        "one: configured\n",
        "two: stopped\n",
        "outside: registered\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    for output in [&first, &asked, &applied] {
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), output.stderr);
        assert!(printed.contains("greeting: [secret]") && !printed.contains("hunter2"), "{printed}");
    }
    assert_eq!(json_of(&plugd, &["config", "get", "one"]).await["greeting"], "hunter2");
    assert_eq!(
        json_of(&plugd, &["policy", "get", "one"]).await,
        json!({"env.KEY": "hunter2", "limit-open-files": "99"})
    );
    let before = desired(&plugd).await;
    let states: Vec<_> = plugd.api().list().await.unwrap().iter().map(state_of).collect();
    assert_eq!(states.iter().filter(|state| **state == Active).count(), 1);
    assert_eq!(states.iter().filter(|state| **state == Inactive).count(), 1, "two was started to be configured only");

    let again = plan(&plugd, &file, &["-o", "json"]).await;
    assert_eq!((again.code(), again.json()), (Some(0), json!([])), "{}", again.stderr);
    let again = cli(&plugd, &["apply", "-f", &file]).env("SECRET", "hunter2").run().await;
    assert_eq!((again.text(), again.stderr.as_str()), ("", "Nothing is to be done: all is as the files say.\n"));
    assert_eq!(desired(&plugd).await, before);

    write_plugin(&plugd, "one", "1.1.0", &["tame"]);
    let update = plan(&plugd, &file, &[]).await;
    assert!(String::from_utf8_lossy(&update.stdout).contains("version 1.0.0 -> version 1.1.0"), "{update:?}");
    let done = json!([{"id": "one", "plugin_id": plugin_id(&plugd, "one").await, "done": ["update"], "failed": null, "error": null, "not_begun": []}]);
    assert_eq!(apply(&plugd, &file, &["-o", "json"]).await.json(), done);
    assert_eq!(apply(&plugd, &file, &["-o", "json"]).await.json(), json!([]));
}

async fn plugin_id(plugd: &Plugd, name: &str) -> Value {
    json_of(plugd, &["get", name]).await["id"].clone()
}

#[tokio::test]
async fn a_half_failed_apply_tells_and_the_next_goes_on_from_there() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "10ms"), ("PLUGIN_MAX_RESTART_ATTEMPTS", "0")]).await;
    write_plugin(&plugd, "good", "1.0.0", &["tame"]);
    write_plugin(&plugd, "bad", "1.0.0", &["exit", "7"]);
    write_plugin(&plugd, "wrong", "1.0.0", &["tame"]);
    plugd.api().upload(chaos(&["tame"])).await.unwrap();
    let yaml = "
plugins:
  - {id: good, package: ./good, active: true}
  - {id: bad, package: ./bad, active: true, configuration: {greeting: hi}}
  - {id: wrong, package: ./wrong, configuration: {greeting: 7}}
";
    let file = write_file(&plugd, "plugins.yaml", yaml);

    let failed = apply(&plugd, &file, &["--prune", "-o", "json"]).await;
    let error = error_of(&failed);
    assert_eq!(
        (&error["exit_code"], &error["message"]),
        (&json!(9), &json!("3 of 4 plugins are not as they should be"))
    );
    let why = |id: &str| error["plugins"][id]["message"].as_str().unwrap().to_owned();
    assert!(why("bad").starts_with("start: the plugin failed: exit status 7"), "{}", why("bad"));
    assert!(why("bad").ends_with("; done: install; not begun: configure"), "{}", why("bad"));
    assert!(
        why("wrong").starts_with("configure: ") && why("wrong").ends_with("; done: install, start, stop"),
        "{}",
        why("wrong")
    );
    assert!(why("chaos").contains("nothing is deleted"), "{}", why("chaos"));
    let document: Value = serde_json::from_slice(&failed.stdout).unwrap();
    let told: Vec<_> = document.as_array().unwrap().iter().map(|one| (&one["id"], &one["failed"])).collect();
    let expected =
        [("good", Value::Null), ("bad", "start".into()), ("wrong", "configure".into()), ("chaos", Value::Null)];
    assert_eq!(
        told,
        expected.each_ref().map(|(id, failed)| (json!(id), failed)).each_ref().map(|(id, failed)| (id, *failed))
    );
    let before = desired(&plugd).await;
    assert_eq!(before.len(), 4, "nothing is deleted yet");
    let wrong = before.iter().find(|plugin| plugin["id"] == "wrong").unwrap();
    assert_eq!(wrong["active"], "inactive", "it does not go on running");

    let still = plan(&plugd, &file, &[]).await;
    let still = String::from_utf8_lossy(&still.stdout);
    assert!(!still.contains("good") && still.contains("~ bad") && still.contains("start"), "{still}");
    write_plugin(&plugd, "bad", "1.0.1", &["tame"]);
    let file = write_file(&plugd, "plugins.yaml", &yaml.replace("greeting: 7", "greeting: seven"));
    let said = apply(&plugd, &file, &["--prune"]).await;
    assert!(said.text().contains("bad: updated, version 1.0.0 -> version 1.0.1\n"), "{}", said.text());
    assert!(said.text().contains("bad: configured\n") && said.text().contains("chaos: deleted\n"), "{}", said.text());
    let after = desired(&plugd).await;
    assert_eq!(after.iter().find(|one| one["id"] == "good"), before.iter().find(|one| one["id"] == "good"));
    assert_eq!(after.len(), 3);
    assert_eq!(plan(&plugd, &file, &["--prune"]).await.code(), Some(0));
}

#[tokio::test]
async fn the_same_apply_at_the_same_time_installs_once() {
    let plugd = Plugd::start().await;
    write_plugin(&plugd, "one", "1.0.0", &["tame"]);
    let yaml =
        "plugins: [{id: one, package: ./one}, {id: outside, external: {id: outside, author: me, name: Outside}}]";
    let file = write_file(&plugd, "plugins.yaml", yaml);
    let (first, second, third) =
        tokio::join!(apply(&plugd, &file, &[]), apply(&plugd, &file, &[]), apply(&plugd, &file, &[]));
    for output in [first, second, third] {
        output.text();
    }
    assert_eq!(desired(&plugd).await.len(), 2);
}

#[tokio::test]
async fn a_plugin_that_takes_too_long_does_not_hold_up_the_others() {
    let plugd = Plugd::start().await;
    write_plugin(&plugd, "good", "1.0.0", &["tame"]);
    write_plugin(&plugd, "late", "1.0.0", &["hang"]);
    let yaml = "plugins: [{id: late, package: ./late, active: true}, {id: good, package: ./good}]";
    let file = write_file(&plugd, "plugins.yaml", yaml);
    let applied = apply(&plugd, &file, &["--timeout", "500ms"]).await;
    assert_eq!(applied.code(), Some(7), "{}", applied.stderr);
    assert!(
        applied.stderr.contains("late: start: ") && applied.stderr.contains("; done: install"),
        "{}",
        applied.stderr
    );
    let said = String::from_utf8_lossy(&applied.stdout).into_owned();
    assert!(said.contains("good: installed") && said.contains("late: start failed\n"), "{said}");
}

#[tokio::test]
async fn only_prune_deletes_and_no_external_plugin() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    plugd.api().register(&external_manifest("outside")).await.unwrap();
    let file = write_file(&plugd, "none.json", "{\"plugins\": []}");
    assert_eq!(plan(&plugd, &file, &[]).await.code(), Some(0));

    let planned = plan(&plugd, &file, &["--prune"]).await;
    assert_eq!(planned.code(), Some(2));
    let said = format!("- chaos ({id})\n    delete     with its files\n1 to delete.\n");
    assert_eq!(String::from_utf8_lossy(&planned.stdout), said);
    assert!(planned.stderr.contains("not deleted, as somebody else runs them: outside"), "{}", planned.stderr);
    let applied = apply(&plugd, &file, &["--prune"]).await;
    assert!(applied.text().ends_with("chaos: deleted\n"), "{}", applied.text());
    let left: Vec<_> = desired(&plugd).await.iter().map(|plugin| plugin["id"].clone()).collect();
    assert_eq!(left, ["outside"]);
    assert_eq!(plan(&plugd, &file, &["--prune"]).await.code(), Some(0));
}

/// The plugin takes three seconds to start, within which somebody else decides something about it.
#[tokio::test]
async fn what_somebody_else_changes_meanwhile_is_a_conflict_and_is_not_overwritten() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.install(&["slow", "3000"]).await;
    let file = write_file(&plugd, "plugins.yaml", "plugins: [{id: chaos, active: true, configuration: {greeting: a}}]");
    let mut watch = api.live().await;
    let applying = tokio::spawn(cli(&plugd, &["apply", "-f", &file, "--yes"]).output());
    watch.until_state(&id, Connecting).await;
    let supervision = Supervision { grace: Some(prost_types::Duration { seconds: 3, nanos: 0 }), ..Default::default() };
    let policy = Policy { supervision: Some(supervision), ..Policy::default() };
    let request = UpdatePolicyRequest {
        plugin_id: id.clone(),
        policy: Some(policy),
        wait: Some(Default::default()),
        if_generation: None,
    };
    within("a decision", api.policies().update_policy(request)).await.unwrap();

    let applied = within("the end of apply", applying).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&applied.stderr);
    assert_eq!(applied.status.code(), Some(6), "{said}");
    assert!(said.contains("chaos: configure: ") && said.contains("the same command goes on from here"), "{said}");
    assert_eq!(json_of(&plugd, &["config", "get", "chaos"]).await, json!({}));
    assert!(apply(&plugd, &file, &[]).await.text().ends_with("chaos: configured\n"));
    assert_eq!(json_of(&plugd, &["policy", "get", "chaos"]).await, json!({"grace": "3s"}));
}

#[tokio::test]
async fn an_export_brings_up_the_same_on_another_server() {
    let (one, other) = (Plugd::start().await, Plugd::start().await);
    write_plugin(&one, "one", "1.0.0", &["tame"]);
    write_plugin(&one, "two", "1.0.0", &["tame"]);
    let file = write_file(&one, "plugins.yaml", PLUGINS);
    apply(&one, &file, &[]).await.text();
    let literal = json!({"greeting": "${env:NOTHING} $${env:X}", "n": 1});
    run(&one, &["activate", "two"]).await.text();
    run(&one, &["config", "set", "two", "--json", &literal.to_string()]).await.text();
    run(&one, &["deactivate", "two"]).await.text();

    let folder = one.scratch().join("backup");
    let folder = folder.to_str().unwrap();
    let here = async |plugd: &Plugd, args: &[&str]| cli(plugd, args).run().await;
    here(&one, &["export", "--packages", folder]).await.text();
    let text = fs::read_to_string(format!("{folder}/plugins.yaml")).unwrap();
    let token = plugd::api::v1::PluginView::Full;
    let outside = plugin_id(&one, "outside").await;
    let token = one.api().get_as(outside.as_str().unwrap(), token).await.unwrap().token.unwrap();
    assert!(!text.contains(&token) && !text.contains("token"), "{text}");
    assert_eq!(fs::metadata(format!("{folder}/plugins.yaml")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(plan(&one, folder, &["--prune"]).await.code(), Some(0), "{text}");
    assert_eq!(here(&one, &["export", "--packages", folder]).await.code(), Some(6));
    here(&one, &["export", "--packages", folder, "--force"]).await.text();

    let digests = here(&one, &["export"]).await.text().to_owned();
    let digests = write_file(&one, "digests.yaml", &digests);
    assert_eq!(plan(&one, &digests, &[]).await.code(), Some(0));
    assert_eq!(plan(&other, &digests, &[]).await.code(), Some(3), "there are no packages");

    apply(&other, folder, &[]).await.text();
    assert_eq!(plan(&other, folder, &["--prune"]).await.code(), Some(0));
    let (there, here) = (json_of(&other, &["export"]).await, json_of(&one, &["export"]).await);
    assert_eq!(there, here);
    assert_eq!(json_of(&other, &["config", "get", "two"]).await, literal);
    let active: Vec<_> =
        desired(&other).await.iter().map(|plugin| (plugin["id"].clone(), plugin["active"].clone())).collect();
    assert!(
        active.contains(&("one".into(), "active".into())) && active.contains(&("two".into(), "inactive".into())),
        "{active:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_wrong_is_refused_before_anything_is_done() {
    let plugd = Plugd::start().await;
    write_plugin(&plugd, "one", "1.0.0", &["tame"]);
    let good = "  - {id: one, package: ./one, active: true}\n";
    let cases = [
        (
            "  - {id: two, pakage: ./two}\n",
            9,
            "plugins.yaml, line 3: there is no key \"pakage\"\n  hint: did you mean \"package\"?",
        ),
        ("  - {id: two, active: maybe}\n", 9, "plugins.yaml, line 3: "),
        ("  - {id: two, package: ./two}\n", 3, "plugins.yaml, line 3: two: can't read "),
        ("  - {id: two, package: ./one}\n", 9, "the manifest id of it is \"one\", and the file says \"two\""),
        ("  - {id: one, configuration: {key: '${env:NOWHERE}'}}\n", 9, "the plugin \"one\" is in "),
        ("  - {id: two, configuration: {key: '${env:NOWHERE}'}}\n", 9, "not set in the environment, or empty: NOWHERE"),
        ("  - {id: two, active: true}\n", 3, "the file does not say what it is"),
    ];
    for (said, code, words) in cases {
        let file = write_file(&plugd, "plugins.yaml", &format!("plugins:\n{good}{said}"));
        for refused in [plan(&plugd, &file, &[]).await, apply(&plugd, &file, &[]).await] {
            assert_eq!(refused.code(), Some(code), "{said}: {}", refused.stderr);
            assert!(refused.stderr.contains(words), "{said}: {}", refused.stderr);
        }
    }
    assert_eq!(desired(&plugd).await, [] as [Value; 0], "nothing was done");

    assert_eq!(run(&plugd, &["plan"]).await.code(), Some(1), "a wrong command line is not something to do");
    assert_eq!(run(&plugd, &["plan", "-f", "x", "--server", "nonsense"]).await.code(), Some(1));
    assert_eq!(run(&plugd, &["apply"]).await.code(), Some(2));

    let twins = [plugd.api().install(&["tame"]).await, plugd.api().install(&["tame"]).await];
    let file = write_file(&plugd, "plugins.yaml", "plugins: [{id: chaos}]");
    let refused = plan(&plugd, &file, &[]).await;
    assert_eq!(refused.code(), Some(6));
    assert!(refused.stderr.contains(&twins.join(" and ")), "{}", refused.stderr);
}

#[tokio::test]
async fn files_come_from_folders_and_from_standard_input() {
    let plugd = Plugd::start().await;
    for id in ["one", "two", "three"] {
        write_plugin(&plugd, id, "1.0.0", &["tame"]);
    }
    let one = write_file(&plugd, "files/a.yaml", "plugins: [{id: one, package: ../one}]");
    write_file(&plugd, "files/b.json", "{\"plugins\": [{\"id\": \"two\", \"package\": \"../two\"}]}");
    write_file(&plugd, "files/notes.txt", "no file of plugins");
    let folder = plugd.scratch().join("files");
    let three = format!("plugins: [{{id: three, package: {}/three}}]", plugd.scratch().display());
    let mut command = cli(&plugd, &["apply", "-f", folder.to_str().unwrap(), "-f", "-", "--yes"]);
    command.run_with(three.into_bytes()).await.text();
    let ids: Vec<_> = desired(&plugd).await.iter().map(|plugin| plugin["id"].clone()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");

    let twice = run(&plugd, &["plan", "-f", &one, "-f", folder.to_str().unwrap()]).await;
    assert_eq!(twice.code(), Some(9));
    assert!(twice.stderr.contains("the plugin \"one\" is in "), "{}", twice.stderr);
    let empty = plugd.scratch().join("one/empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(run(&plugd, &["plan", "-f", empty.to_str().unwrap()]).await.code(), Some(3));
}

#[tokio::test]
async fn a_package_at_a_url_is_fetched_only_if_it_may_be_another() {
    let plugd = Plugd::start().await;
    let fetched = Arc::new(AtomicUsize::new(0));
    let serve = {
        let fetched = Arc::clone(&fetched);
        move || async move {
            fetched.fetch_add(1, Ordering::SeqCst);
            chaos(&["tame"])
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/p.zip", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/p.zip", axum::routing::get(serve));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let any = write_file(&plugd, "any.yaml", &format!("plugins: [{{id: chaos, package: '{url}'}}]"));
    apply(&plugd, &any, &[]).await.text();
    assert_eq!(plan(&plugd, &any, &[]).await.code(), Some(0));
    assert_eq!(fetched.load(Ordering::SeqCst), 2, "what is there now is known only then");
    let digest = desired(&plugd).await[0]["digest"].as_str().unwrap().to_owned();
    let same = format!("plugins: [{{id: chaos, package: '{url}', digest: '{digest}'}}]");
    let same = write_file(&plugd, "same.yaml", &same);
    assert_eq!(plan(&plugd, &same, &[]).await.code(), Some(0));
    assert_eq!(fetched.load(Ordering::SeqCst), 2);

    let other = format!("plugins: [{{id: chaos, package: '{url}', digest: 'sha256:{:064}'}}]", 7);
    let other = write_file(&plugd, "other.yaml", &other);
    let refused = plan(&plugd, &other, &[]).await;
    assert_eq!(refused.code(), Some(9));
    assert!(refused.stderr.contains("the digest of it is "), "{}", refused.stderr);
}
