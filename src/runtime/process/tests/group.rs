//! Everything that a run starts is stopped with it.

use super::*;

/// A grandchild that ignores the stop signal and holds the pipe; its pid is the first line.
const STUBBORN_GRANDCHILD: &str = r#"
sh -c 'trap "" INT; echo $$; while :; do sleep 1; done' &
trap 'exit 3' INT
wait
"#;

/// A grandchild in a session of its own; its pid is the first line.
const STRAY: &str = r"
setsid sh -c 'echo $$; exec sleep 1000' &
trap 'exit 3' INT
wait
";

#[tokio::test]
async fn a_grandchild_that_ignores_the_stop_signal_keeps_the_run_until_it_is_killed() {
    let fixture = mk_fixture();
    let mut started = fixture.start(mk_shell(STUBBORN_GRANDCHILD));
    started.spawned().await;
    let grandchild = pid_of(&fixture.lines(1).await[0]);
    started.run.stop();
    assert_eq!(started.exited().await.code, Some(3), "the leader obeys");
    eventually(|| started.run.pids().contains(&grandchild)).await;
    assert!(started.events.try_recv().is_err(), "the group is not empty");
    started.run.kill();
    started.emptied().await;
    assert!(!is_alive(grandchild));
}

#[tokio::test]
async fn a_stray_in_a_session_of_its_own_is_a_member() {
    let fixture = mk_fixture();
    let mut started = fixture.start(mk_shell(STRAY));
    let leader = started.spawned().await;
    let stray = pid_of(&fixture.lines(1).await[0]);
    assert_ne!(session(stray), session(leader));
    started.run.kill();
    assert_eq!(started.exited().await.signal, Some(9));
    started.emptied().await;
    assert!(!is_alive(stray));
}

#[tokio::test]
async fn a_stray_gets_the_stop_signal_too() {
    // A shell's background processes are deaf to SIGINT for good.
    let fixture = mk_fixture_with(Files::default(), |options| options.stop_signal = StopSignal::Sigterm);
    let script = r#"
setsid sh -c 'trap "echo stopped; exit" TERM; echo $$; while :; do sleep 0.01; done' &
trap 'exit 3' TERM
wait
"#;
    let mut started = fixture.start(mk_shell(script));
    started.spawned().await;
    fixture.lines(1).await;
    started.run.stop();
    assert_eq!(started.exited().await.code, Some(3));
    started.emptied().await;
    eventually(|| fixture.output().lines().any(|line| line == "stopped")).await;
}

#[tokio::test]
async fn an_orphan_outlives_the_leader_and_is_waited_for() {
    let fixture = mk_fixture();
    let mut started = fixture.start(mk_shell("setsid sh -c 'echo $$; exec sleep 1000' & echo; exit 0"));
    started.spawned().await;
    assert_eq!(started.exited().await.code, Some(0));
    eventually(|| started.run.pids().len() == 1).await;
    let orphan = started.run.pids()[0];
    drop(started.run);
    assert_eq!(timeout(DEADLINE, started.events.recv()).await.unwrap(), Some(RunEvent::GroupEmptied));
    assert!(!is_alive(orphan));
}

#[tokio::test]
async fn dropping_a_run_kills_it() {
    let fixture = mk_fixture();
    let mut started = fixture.start(mk_shell("trap '' INT TERM; echo $$; while :; do sleep 1; done"));
    let pid = started.spawned().await;
    fixture.lines(1).await;
    drop(std::mem::replace(&mut started.run, Box::new(Nothing)));
    assert_eq!(started.exited().await.signal, Some(9));
    started.emptied().await;
    assert!(!is_alive(pid));
}

struct Nothing;

impl Run for Nothing {
    fn stop(&self) {}
    fn kill(&self) {}
    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }
}

#[test]
fn a_runtime_that_is_shut_down_leaves_nothing_and_says_so() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (mut started, pids) = tokio.block_on(async {
        let fixture = mk_fixture();
        let mut started = fixture.start(mk_shell(STRAY));
        let leader = started.spawned().await;
        (started, [leader, pid_of(&fixture.lines(1).await[0])])
    });
    drop(tokio);
    assert_eq!(started.events.try_recv(), Ok(RunEvent::GroupEmptied));
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    other.block_on(eventually(|| !pids.into_iter().any(is_alive)));
}

#[tokio::test]
async fn children_of_others_keep_their_exit_status() {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", "read line; exit 9"]).stdin(std::process::Stdio::piped());
    let mut other = command.spawn().unwrap();
    let fixture = mk_fixture();
    let mut started = fixture.start(mk_shell("exit 0"));
    started.spawned().await;
    drop(other.stdin.take());
    started.exited().await;
    started.emptied().await;
    assert_eq!(other.wait().await.unwrap().code(), Some(9));
}

/// What leaves its session, its group, its parent and its environment.
const ESCAPED: &str = r#"
env -i setsid sh -c 'setsid sh -c "sleep 1000 & echo \$!; exec sleep 1000" & echo $!; exit 0'
trap 'exit 3' INT
sleep 1000 &
wait
"#;

#[tokio::test]
async fn what_left_session_group_parent_and_environment_is_killed() {
    for _ in 0..5 {
        let fixture = mk_fixture();
        let mut started = fixture.start(mk_shell(ESCAPED));
        started.spawned().await;
        let escaped: Vec<u32> = fixture.lines(2).await.iter().map(|line| pid_of(line)).collect();
        eventually(|| escaped.iter().all(|pid| started.run.pids().contains(pid))).await;
        started.run.kill();
        started.exited().await;
        started.emptied().await;
        assert!(!escaped.into_iter().any(is_alive));
    }
}

fn session(pid: u32) -> rustix::process::Pid {
    rustix::process::getsid(tree::to_pid(pid)).unwrap()
}

#[tokio::test]
async fn many_runs_end_together() {
    let fixture = mk_fixture();
    let mk_one = |number: u8| {
        let plugin = PluginId::from_bytes([number; 12]);
        let run: RunId = xid::new().into();
        let url = mk_url(run);
        fixture.start(StartSpec { plugin, url: url.into(), run, ..mk_shell("trap '' INT; sleep 1000 & wait; wait") })
    };
    let mut all: Vec<Started> = (10..30).map(mk_one).collect();
    let mut pids = Vec::new();
    for started in &mut all {
        pids.push(started.spawned().await);
    }
    all.iter().for_each(|started| started.run.kill());
    for mut started in all {
        started.exited().await;
        started.emptied().await;
    }
    assert!(!pids.into_iter().any(is_alive));
}
