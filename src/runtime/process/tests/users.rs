//! Plugins with a user each.

use std::{fs, os::unix::fs::PermissionsExt, thread};

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::*;
use crate::domain::policy::{Policy, ProcessPolicy};

const OTHER: PluginId = PluginId::from_bytes([9; 12]);

/// A fixture whose plugins have users of this range, and nothing else that keeps them apart. `None` where this program may not
/// give files away.
fn mk_users(range: &str) -> Option<Fixture> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: this needs root");
        return None;
    }
    let range = range.parse().unwrap();
    let files = Files(vec![("secret", 0o644, "secret\n")]);
    let fixture = mk_fixture_with(files, |options| options.uids = Some(range));
    fs::set_permissions(fixture.folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
    Some(fixture)
}

fn of(plugin: PluginId, script: &str) -> StartSpec {
    let spec = mk_shell(script);
    let url = mk_url(spec.run).replace(&PLUGIN.to_string(), &plugin.to_string());
    StartSpec { plugin, url: url.into(), ..spec }
}

/// The same with a user that its policy names.
fn as_user(uid: u32, spec: StartSpec) -> StartSpec {
    let process = ProcessPolicy { user: Some(User { uid, gid: uid }), ..ProcessPolicy::default() };
    StartSpec { policy: Arc::new(Policy { process, ..Policy::default() }), ..spec }
}

impl Fixture {
    /// What a run of this prints, which ends by itself.
    async fn says(&self, spec: StartSpec) -> String {
        self.output.lock().unwrap().clear();
        let mut started = self.start(spec);
        started.spawned().await;
        started.exited().await;
        started.emptied().await;
        eventually(|| self.output().ends_with("end\n")).await;
        self.output().trim_end_matches("end\n").trim_end().to_owned()
    }
}

#[tokio::test]
async fn plugins_with_users_of_their_own_can_not_read_each_others_files() {
    let Some(fixture) = mk_users("61000-61001") else { return };
    let whose = "cat secret; id -u; id -g; id -G; echo end";
    assert_eq!(fixture.says(of(PLUGIN, whose)).await, "secret\n61000\n61000\n61000");
    assert_eq!(fixture.says(of(OTHER, whose)).await, "secret\n61001\n61001\n61001");
    let others = fixture.runtime.inner.installations.dir(OTHER);
    let script = format!("cat {0}/secret; ls {0}; echo x >{0}/x; echo end", others.display());
    let refused = fixture.says(of(PLUGIN, &format!("({script}) 2>&1"))).await;
    assert_eq!(refused.matches("ermission denied").count(), 3, "{refused}");
}

#[tokio::test]
async fn a_plugin_keeps_its_user_over_an_update_and_another_plugd() {
    let Some(mut fixture) = mk_users("61000-61001") else { return };
    let whose = "echo mine >>state && cat state; id -u; echo end";
    assert_eq!(fixture.says(of(OTHER, whose)).await, "mine\n61000");
    assert_eq!(fixture.says(of(PLUGIN, whose)).await, "mine\n61001");
    let updated = StartSpec { package: Digest([5; 32]), ..of(PLUGIN, whose) };
    assert_eq!(fixture.says(updated).await, "mine\nmine\n61001");
    let options = Options { uids: Some("61000-61001".parse().unwrap()), ..mk_options(&fixture.folder) };
    fixture.runtime = ProcessRuntime::new(options, mk_fetch(Files::default()), mk_capture(&fixture.output)).unwrap();
    assert_eq!(fixture.says(of(PLUGIN, whose)).await, "mine\nmine\nmine\n61001");
}

#[tokio::test]
async fn a_plugin_for_whom_no_user_is_left_is_not_started() {
    let Some(fixture) = mk_users("61000-61000") else { return };
    fixture.says(of(PLUGIN, "echo end")).await;
    let failure = fixture.start(of(OTHER, "exit 0")).failed().await;
    assert!(failure.is_permanent, "{failure:?}");
    assert!(failure.message.contains("widen --plugin-uids or delete a plugin"), "{}", failure.message);
    fixture.runtime.remove(PLUGIN).await.unwrap();
    assert_eq!(fixture.says(of(OTHER, "id -u; echo end")).await, "61000");
}

#[tokio::test]
async fn the_user_of_a_policy_is_given_to_no_other_plugin() {
    let Some(fixture) = mk_users("61000-61001") else { return };
    let whose = "id -u; echo end";
    assert_eq!(fixture.says(as_user(61000, of(PLUGIN, whose))).await, "61000");
    assert_eq!(fixture.says(of(OTHER, whose)).await, "61001");
    let failure = fixture.start(as_user(61001, of(PLUGIN, "exit 0"))).failed().await;
    assert!(failure.is_permanent, "{failure:?}");
    let expected = format!("the user 61001 of the plugin's policy is that of plugin {OTHER}: ");
    assert!(failure.message.starts_with(&expected), "{}", failure.message);
    assert_eq!(fixture.says(as_user(500, of(PLUGIN, whose))).await, "500", "nobody else can get that one");
}

/// Privileges are a thread's, and those that it starts have no more.
fn without_privileges(work: impl FnOnce() + Send + 'static) {
    let drop_all = || {
        let sets = CapabilitySets { effective: CapabilitySet::empty(), ..capabilities(None).unwrap() };
        set_capabilities(None, sets).unwrap();
    };
    thread::spawn(move || {
        drop_all();
        work();
    })
    .join()
    .unwrap();
}

#[test]
fn a_plugd_without_privileges_says_what_is_wrong_with_the_user_of_a_policy() {
    without_privileges(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let failure = mk_fixture().start(as_user(61000, mk_shell("exit 0"))).failed().await;
            assert!(failure.is_permanent, "{failure:?}");
            let expected = format!("the policy's user needs a plugd that is root: `plugd policy unset {PLUGIN} user`");
            assert_eq!(failure.message, expected);
        });
    });
}
