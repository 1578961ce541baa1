//! new, validate, package, and folders that are installed.

use std::fs;

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
    let told: Vec<_> = valid["warnings"].as_array().unwrap().iter().map(|told| told.as_str().unwrap()).collect();
    assert!(
        matches!(told[..], [first, second] if first.starts_with(".well-known is left out: ")
        && second.starts_with("link is left out: ")),
        "{told:?}"
    );
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
    alone(home, &["new", "My Plugin", "--force"]).await.text();
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
async fn a_command_that_is_not_in_the_package_is_told() {
    let home = tempfile::tempdir().unwrap();
    let manifest = json!({"id": "x", "author": "me", "name": "X", "command": "./bin/x"});
    fs::write(home.path().join("manifest.json"), manifest.to_string()).unwrap();
    for command in [&["validate"][..], &["package", "-O", "x.zip"], &["validate", "x.zip"]] {
        let done = alone(home.path(), command).await;
        done.text();
        assert!(done.stderr.contains("\"./bin/x\" is not in the package"), "{command:?}: {}", done.stderr);
    }
    fs::remove_file(home.path().join("x.zip")).unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    fs::write(home.path().join("bin/x"), "").unwrap();
    let valid = alone(home.path(), &["validate"]).await;
    assert_eq!(valid.stderr, "");
    assert!(valid.text().contains(" is valid: 2 files, "), "{}", valid.text());
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
