//! What becomes of runs when plugd does not say in time that they may go on: because it is frozen, for one.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use super::*;
use crate::{boot_time::since_boot, runtime::process::inits::keep_another};

/// Variable that turns this test program into a plugd whose files are in the folder that it names.
const ROLE: &str = "PLUGD_TEST_FROZEN";

/// A plugin that ignores what can be ignored, with a child that left its session; tells the ids of both.
const STUBBORN: &str = "trap '' INT TERM HUP QUIT; setsid sh -c 'trap \"\" INT TERM; echo $$; sleep 1000' & echo $$; \
                        while :; do sleep 1000; done";

const HOUR: Duration = Duration::from_secs(3600);

/// So long that a test which was told so can't do its work before, but waits for it.
const SOON: Duration = Duration::from_millis(300);

/// What the plugd of [`in_the_role_of_plugd`] and its test tell each other: files that appear whole.
struct Board(PathBuf);

impl Board {
    fn tell(&self, name: &str, text: &str) {
        fs::write(self.0.join("new"), text).unwrap();
        fs::rename(self.0.join("new"), self.0.join(name)).unwrap();
    }

    async fn hear(&self, name: &str) -> String {
        let file = self.0.join(name);
        eventually(|| file.exists()).await;
        fs::read_to_string(file).unwrap()
    }

    async fn hear_time(&self, name: &str) -> Duration {
        Duration::from_nanos(self.hear(name).await.parse().unwrap())
    }

    fn tell_time(&self, name: &str, time: Duration) {
        self.tell(name, &time.as_nanos().to_string());
    }
}

/// Runs a plugin until the first time that it hears of, finds that nothing starts, and runs another one from the second on.
#[tokio::test]
async fn in_the_role_of_plugd() {
    let Some(folder) = std::env::var_os(ROLE).map(PathBuf::from) else { return };
    let board = Board(folder.clone());
    let fixture = mk_fixture_with(Files::default(), |options| options.lock = folder.join("lock"));
    let mut started = fixture.start(mk_shell(STUBBORN));
    started.spawned().await;
    board.tell("plugin", &fixture.lines(2).await.join("\n"));
    fixture.runtime.go_on_until(board.hear_time("first").await);
    board.tell("told", "");
    started.exited().await;
    started.emptied().await;
    fixture.is_held().await;
    let mut waiting = fixture.start(mk_shell("exit 0"));
    board.tell("held", "");
    let second = board.hear_time("second").await;
    assert!(waiting.events.try_recv().is_err(), "it neither runs nor has failed");
    fixture.runtime.go_on_until(second);
    waiting.spawned().await;
    waiting.exited().await;
    waiting.emptied().await;
    board.tell("again", "");
}

/// A process that is killed when the test is over.
struct Plugd(Child);

impl Plugd {
    fn start(folder: &TempDir) -> Self {
        let mut plugd = Command::new(std::env::current_exe().unwrap());
        let name = "runtime::process::tests::frozen::in_the_role_of_plugd";
        plugd.args(["--exact", name, "--nocapture"]).env(ROLE, folder.path()).stdout(Stdio::null());
        Self(plugd.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(tree::to_pid(self.0.id()).unwrap(), signal).unwrap();
    }

    fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    }
}

impl Drop for Plugd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn what_a_frozen_plugd_runs_is_killed_when_its_time_is_over_and_it_learns_of_that_when_it_wakes() {
    let folder = tempfile::tempdir().unwrap();
    let (plugd, board) = (Plugd::start(&folder), Board(folder.path().to_owned()));
    let plugin: Vec<u32> = board.hear("plugin").await.lines().map(pid_of).collect();
    let until = since_boot() + SOON;
    board.tell_time("first", until);
    board.hear("told").await;
    plugd.signal(Signal::STOP);
    eventually(|| plugd.is_stopped()).await;
    eventually(|| !plugin.iter().any(|pid| is_alive(*pid))).await;
    assert!(plugd.is_stopped() && since_boot() >= until);
    plugd.signal(Signal::CONT);
    board.hear("held").await;
    board.tell_time("second", since_boot() + HOUR);
    board.hear("again").await;
}

impl Fixture {
    /// Returns when nothing can be started since the time is over.
    async fn is_held(&self) {
        eventually(|| self.runtime.obstacle().is_some_and(|words| words.contains("has not been told in time"))).await;
    }

    /// A run of a stubborn plugin, and the ids of its processes, of which the first is the leader.
    async fn stubborn(&self) -> (Started, Vec<u32>) {
        let mut started = self.start(mk_shell(STUBBORN));
        started.spawned().await;
        self.lines(2).await;
        let plugin = started.run.pids();
        (started, plugin)
    }

    /// Returns when the keeper has started another plugin, after all that it was told before.
    async fn starts_another(&self) {
        let mut another = self.start(StartSpec { plugin: PluginId::from_bytes([5; 12]), ..mk_shell("exit 0") });
        another.spawned().await;
        another.exited().await;
        another.emptied().await;
    }
}

async fn is_lost(mut started: Started) {
    assert_eq!(started.exited().await, Exit { code: None, signal: None, out_of_memory: false });
    started.emptied().await;
}

#[tokio::test]
async fn what_runs_goes_on_until_the_last_time_that_was_told() {
    let fixture = mk_fixture();
    let (started, plugin) = fixture.stubborn().await;
    let first = since_boot() + SOON;
    fixture.runtime.go_on_until(first);
    fixture.runtime.go_on_until(first + HOUR);
    eventually(|| since_boot() > first).await;
    fixture.starts_another().await;
    assert!(plugin.iter().all(|pid| is_alive(*pid)));
    drop(started);
}

#[tokio::test]
async fn it_is_known_whether_anything_lives_that_was_started() {
    let fixture = mk_fixture();
    assert!(fixture.runtime.ended(HOUR).await, "nothing was started");
    let (started, plugin) = fixture.stubborn().await;
    assert!(!fixture.runtime.ended(Duration::ZERO).await);
    drop(started);
    assert!(fixture.runtime.ended(HOUR).await);
    assert!(!plugin.iter().any(|pid| is_alive(*pid)));
}

#[tokio::test]
async fn an_earlier_time_does_not_move_the_end_back() {
    let fixture = mk_fixture();
    let (started, plugin) = fixture.stubborn().await;
    fixture.runtime.go_on_until(since_boot() + HOUR);
    fixture.runtime.go_on_until(Duration::ZERO);
    fixture.runtime.go_on_until(since_boot());
    fixture.starts_another().await;
    assert!(plugin.iter().all(|pid| is_alive(*pid)));
    drop(started);
}

#[tokio::test]
async fn a_time_that_is_over_already_ends_all_at_once_and_holds_starts_until_there_is_a_later_one() {
    let fixture = mk_fixture_with(Files::default(), |options| options.sandbox.level = SandboxLevel::Protect);
    let (started, plugin) = fixture.stubborn().await;
    fixture.runtime.go_on_until(since_boot());
    is_lost(started).await;
    eventually(|| !plugin.iter().any(|pid| is_alive(*pid))).await;
    fixture.is_held().await;
    let mut waiting = fixture.start(mk_shell("exit 0"));
    fixture.runtime.go_on_until(since_boot() + HOUR);
    waiting.spawned().await;
    waiting.exited().await;
    waiting.emptied().await;
}

#[tokio::test]
async fn an_init_that_does_nothing_any_more_does_not_save_its_plugin() {
    let fixture = mk_fixture();
    let (started, plugin) = fixture.stubborn().await;
    let _init = Suspended::new(tree::parent(plugin[0]).unwrap());
    fixture.runtime.go_on_until(since_boot());
    is_lost(started).await;
    assert!(!plugin.iter().any(|pid| is_alive(*pid)), "the end of the run says that nothing is left");
}

#[tokio::test]
async fn a_keeper_that_follows_another_one_keeps_to_the_same_time() {
    let fixture = mk_fixture();
    let keeper = fixture.keeper().await;
    // There is time for another one to be started before.
    let until = since_boot() + 5 * SOON;
    fixture.runtime.go_on_until(until);
    kill_process(tree::to_pid(keeper).unwrap(), Signal::KILL).unwrap();
    fixture.is_held().await;
    assert!(since_boot() >= until);
}

/// A runtime that has not been told in time that it may go on. Whoever waits for a keeper does so for longer than a test.
async fn mk_held() -> Fixture {
    let fixture = mk_fixture_with(Files::default(), |options| {
        options.sandbox.level = SandboxLevel::Protect;
        options.spawn_timeout = HOUR;
    });
    fixture.runtime.go_on_until(since_boot());
    fixture.is_held().await;
    fixture
}

#[tokio::test]
async fn a_runtime_whose_time_is_over_can_be_given_up() {
    mk_held().await.give_up().await;
}

/// A run that has all but its init.
async fn mk_waiting(fixture: &Fixture) -> Started {
    let (inner, before) = (&fixture.runtime.inner, Arc::strong_count(&fixture.runtime.inner));
    let waiting = fixture.start(mk_shell("exit 0"));
    // It has one itself, and whoever asks for the init: the thread that laid the package out has done so.
    let is_prepared = || inner.installations.dir(PLUGIN).exists() && Arc::strong_count(inner) == before + 2;
    eventually(is_prepared).await;
    waiting
}

#[tokio::test]
async fn a_run_that_waits_for_a_keeper_can_be_stopped() {
    let fixture = mk_held().await;
    let waiting = mk_waiting(&fixture).await;
    waiting.run.stop();
    waiting.emptied().await;
    assert!(fixture.runtime.ended(DEADLINE).await);
}

#[tokio::test]
async fn nobody_who_waits_for_a_keeper_holds_a_runtime_that_is_given_up() {
    let fixture = mk_held().await;
    keep_another(Arc::clone(&fixture.runtime.inner), &mk_shell("exit 0"));
    drop(mk_waiting(&fixture).await);
    fixture.give_up().await;
}
