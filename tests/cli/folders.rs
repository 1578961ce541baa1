//! new, validate, package, and folders that are installed.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use super::{alone, error_of, json_of, run};
use crate::harness::{Plugd, chaos_manifest, packaged, repository};

#[tokio::test]
async fn a_folder_is_installed_as_a_package_and_its_program_runs_from_it() {
    let plugd = Plugd::start().await;
    let folder = plugd.scratch().join("greeter");
    std::fs::create_dir(&folder).unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_plugd")).parent().unwrap().join("examples/greeter");
    std::fs::copy(program, folder.join("greeter")).unwrap();
    std::fs::copy(repository("examples/greeter/manifest.json"), folder.join("manifest.json")).unwrap();

    let installed = json_of(&plugd, &["install", folder.to_str().unwrap(), "--activate"]).await;

    assert_eq!(installed["status"]["state"], "active");
}

#[tokio::test]
async fn a_new_plugin_is_valid_becomes_a_package_and_is_installed() {
    let plugd = Plugd::start().await;
    let home = plugd.scratch();
    let created = alone(home, &["new", "My Plugin", "--command", "chaos", "--author", "me", "--", "tame"]).await;
    assert_eq!(created.text(), "My Plugin/manifest.json\n");
    assert_eq!(alone(home, &["new", "My Plugin"]).await.code(), Some(6));
    for wrong in [&["new", "Other", "--author", "Jane Doe"][..], &["new", &"long".repeat(30)]] {
        let refused = alone(home, wrong).await;
        assert_eq!(refused.code(), Some(9), "a server would refuse it: {refused:?}");
    }
    assert!(!home.join("Other").exists());
    fs::write(home.join("My Plugin/notes.txt~"), "").unwrap();

    let valid = alone(home, &["validate", "My Plugin", "-o", "json"]).await.json();
    assert_eq!(valid["manifest"]["id"], "my-plugin");
    assert_eq!(valid["package"]["files"], json!(["manifest.json"]));
    assert_eq!(valid["warnings"], json!([]));
    fs::create_dir_all(home.join("My Plugin/assets/target")).unwrap();
    fs::create_dir_all(home.join("My Plugin/.well-known")).unwrap();
    fs::create_dir_all(home.join("My Plugin/.git")).unwrap();
    fs::write(home.join("My Plugin/assets/target/kept.bin"), "kept").unwrap();
    std::os::unix::fs::symlink("manifest.json", home.join("My Plugin/link")).unwrap();
    let valid = alone(home, &["validate", "My Plugin", "-o", "json"]).await.json();
    assert_eq!(valid["package"]["files"], json!(["manifest.json", "assets/target/kept.bin"]));
    assert_eq!(valid["package"]["left_out"], json!([".git", ".well-known", "notes.txt~"]));
    let told: Vec<_> = valid["warnings"].as_array().unwrap().iter().map(|told| told.as_str().unwrap()).collect();
    assert!(matches!(told[..], [links] if links.contains(": link; put what they lead to")), "{told:?}");
    fs::remove_file(home.join("My Plugin/link")).unwrap();
    let packaged = alone(home, &["package", "My Plugin", "-O", "-"]).await;
    assert!(packaged.stderr.starts_with("left out: .git, .well-known, notes.txt~; "), "{}", packaged.stderr);
    let made = alone(home, &["package", "My Plugin", "-o", "json"]).await.json();
    assert_eq!((&made["file"], &made["digest"]), (&json!("my-plugin.zip"), &valid["package"]["digest"]));
    assert_eq!(alone(home, &["package", "My Plugin"]).await.code(), Some(6));
    alone(home, &["package", "My Plugin", "--force"]).await.text();
    let bytes = fs::read(home.join("my-plugin.zip")).unwrap();
    assert_eq!(alone(home, &["package", "My Plugin", "-O", "-"]).await.stdout, bytes);
    assert!(
        alone(home, &["validate", "my-plugin.zip"]).await.text().starts_with("my-plugin My Plugin 0.1.0 is valid: ")
    );

    let file = home.join("my-plugin.zip");
    let plugin = json_of(&plugd, &["install", file.to_str().unwrap(), "--activate"]).await;
    assert_eq!((&plugin["package_digest"], &plugin["status"]["state"]), (&made["digest"], &json!("active")));
    alone(home, &["new", "My Plugin", "--template", "none", "--force"]).await.text();
    let manifest = fs::read_to_string(home.join("My Plugin/manifest.json")).unwrap();
    assert!(manifest.contains("\"./plugin\""), "{manifest}");
}

#[tokio::test]
async fn an_author_of_storyden_keeps_their_manifest_in_yaml_17() {
    let plugd = Plugd::start().await;
    let folder = plugd.scratch().join("yaml");
    fs::create_dir(&folder).unwrap();
    let yaml = "id: from-yaml\nauthor: me\nname: YAML\ndescription: ''\nversion: 0.1.0\ncommand: chaos\nargs: [tame]\n";
    fs::write(folder.join("manifest.yaml"), yaml).unwrap();
    let path = folder.to_str().unwrap();

    let plugin = json_of(&plugd, &["install", path, "--activate"]).await;
    assert_eq!((&plugin["manifest"]["args"], &plugin["status"]["state"]), (&json!(["tame"]), &json!("active")));
    fs::write(folder.join("other.yml"), yaml.replace("0.1.0", "0.2.0")).unwrap();
    let named = folder.join("other.yml");
    let updated = json_of(&plugd, &["update", "from-yaml", path, "-m", named.to_str().unwrap()]).await;
    assert_eq!(updated["version"], "0.2.0");
    run(&plugd, &["download", "from-yaml", "--unzip", folder.join("out").to_str().unwrap()]).await.text();
    let unpacked: Vec<_> = fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(unpacked, ["manifest.json"]);
}

#[tokio::test]
async fn what_a_server_would_refuse_is_not_valid_and_what_it_would_drop_is_told() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, manifest: &Value| fs::write(home.path().join(name), manifest.to_string()).unwrap();
    write("manifest.json", &json!({"id": "no spaces", "author": "me", "name": "X"}));
    let refused = alone(home.path(), &["validate", "-o", "json"]).await;
    assert_eq!((refused.code(), &error_of(&refused)["reason"]), (Some(9), &json!("INVALID_MANIFEST")));

    write(
        "manifest.json",
        &json!({"id": "x", "author": "me", "name": "X", "comand": "y", "events_consumed": ["Mine"]}),
    );
    let valid = alone(home.path(), &["validate"]).await;
    assert!(valid.text().contains(" is valid: 1 file, ") && valid.text().lines().count() == 1, "{}", valid.text());
    assert!(valid.stderr.contains("did you mean \"command\"?"), "{}", valid.stderr);
    assert!(valid.stderr.contains("installed, but not started"), "{}", valid.stderr);
    assert_eq!(alone(home.path(), &["validate", "--storyden-events"]).await.code(), Some(9));
    let external = alone(home.path(), &["validate", "manifest.json"]).await;
    assert!(external.text().ends_with("the manifest of an external plugin\n"), "{}", external.text());
    assert!(!external.stderr.contains("not started"), "{}", external.stderr);
    let nothing = tempfile::tempdir().unwrap();
    assert_eq!(alone(nothing.path(), &["validate"]).await.code(), Some(3));
}

#[tokio::test]
async fn what_will_fail_when_it_is_started_is_told() {
    let home = tempfile::tempdir().unwrap();
    let manifest = json!({"id": "x", "author": "me", "name": "X", "command": "./bin/x"});
    fs::write(home.path().join("manifest.json"), manifest.to_string()).unwrap();
    let told = async |command: &[&str], why: &str| {
        let done = alone(home.path(), command).await;
        done.text();
        assert!(done.stderr.contains(why), "{command:?}: {}", done.stderr);
    };
    for command in [&["validate"][..], &["package", "-O", "x.zip"], &["validate", "x.zip"]] {
        told(command, "\"./bin/x\" can't be started: it is not in the package").await;
    }
    fs::remove_file(home.path().join("x.zip")).unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    let program = home.path().join("bin/x");
    fs::write(&program, "#!/bin/sh\r\n").unwrap();
    told(&["validate"], "makes it executable").await;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    told(&["validate"], "CR LF").await;
    fs::write(home.path().join("package.json"), r#"{"dependencies": {"ws": "8"}}"#).unwrap();
    told(&["validate"], "npm install").await;

    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::create_dir_all(home.path().join("node_modules/ws")).unwrap();
    fs::write(home.path().join("node_modules/ws/index.js"), "").unwrap();
    let valid = alone(home.path(), &["validate"]).await;
    assert_eq!(valid.stderr, "");
    assert!(valid.text().contains(" is valid: 4 files, "), "{}", valid.text());
}

#[tokio::test]
async fn nothing_is_packaged_that_a_server_refuses() {
    let home = tempfile::tempdir().unwrap();
    let manifest = json!({"id": "x", "author": "me", "name": "X", "command": "x"});
    fs::write(home.path().join("manifest.json"), manifest.to_string()).unwrap();
    fs::create_dir(home.path().join("logs")).unwrap();
    fs::write(home.path().join("logs/output.log"), "").unwrap();
    let refused = alone(home.path(), &["package", "-o", "json"]).await;
    assert_eq!((refused.code(), &error_of(&refused)["reason"]), (Some(9), &json!("INVALID_PACKAGE")));
    fs::write(home.path().join(".plugdignore"), "/logs/\n").unwrap();
    alone(home.path(), &["package"]).await.text();

    fs::create_dir(home.path().join("node_modules")).unwrap();
    for number in 0..2048 {
        fs::write(home.path().join(format!("node_modules/{number}.js")), "").unwrap();
    }
    let refused = alone(home.path(), &["package", "-o", "json", "--force"]).await;
    let error = error_of(&refused);
    assert_eq!(refused.code(), Some(9));
    assert_eq!(error["message"], "there are 2049 files, and a package has at most 2048");
    assert!(error["hint"].as_str().unwrap().contains("npm install --omit=dev"), "{error}");
}

#[tokio::test]
async fn a_plugin_of_node_runs_with_its_modules() {
    let plugd = Plugd::start().await;
    let folder = plugd.scratch().join("node");
    fs::create_dir_all(folder.join("node_modules/greeting")).unwrap();
    fs::write(folder.join("node_modules/greeting/index.js"), "module.exports = 'found';").unwrap();
    let main = "try { console.log(require('greeting')); } catch (error) { console.log(error.message); }";
    fs::write(folder.join("main.js"), main).unwrap();
    let manifest = json!({"id": "x", "author": "me", "name": "X", "command": "node", "args": ["main.js"]});
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();

    let id = json_of(&plugd, &["install", folder.to_str().unwrap()]).await["id"].as_str().unwrap().to_owned();
    plugd.api().begin(&id).await;
    let mut logs = plugd.api().logs(&id).await;
    assert_eq!(logs.line().await.unwrap().unwrap().text, "found");
}

#[tokio::test]
async fn an_install_warns_of_keys_that_are_dropped_and_the_server_takes_it() {
    let plugd = Plugd::start().await;
    let mut manifest = chaos_manifest(&["tame"]);
    manifest["versoin"] = "2".into();
    let file = plugd.scratch().join("typo.zip");
    fs::write(&file, packaged(&manifest)).unwrap();
    let installed = run(&plugd, &["install", file.to_str().unwrap()]).await;
    assert!(installed.text().contains("Chaos is inactive"), "{installed:?}");
    assert!(installed.stderr.contains("\"versoin\" is not known") && installed.stderr.contains("\"version\"?"));
}
