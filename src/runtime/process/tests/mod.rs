//! Real processes: shell scripts, and this test program itself.

mod afterlife;
mod cgroup;
mod frozen;
mod group;
mod inits;
mod limits;
mod sandbox;
mod spawn;
mod stuck;
mod users;

use std::{
    io::Cursor,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, sync::mpsc, time::timeout};

use super::*;
use crate::{
    domain::{
        Exit, Failure, RunEvent, RunId, SandboxLevel,
        policy::{Limits, StopSignal, User},
    },
    runtime::{FileSink, keeper::tree},
};

/// No wait of a test takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

const PLUGIN: PluginId = PluginId::from_bytes([3; 12]);
const PACKAGE: Digest = Digest([4; 32]);

/// A package in memory: path, mode, contents.
#[derive(Clone, Default)]
struct Files(Vec<(&'static str, u32, &'static str)>);

impl PackageFiles for Files {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn for_each(&self, next: &AtomicUsize, sink: &mut FileSink<'_>) -> io::Result<()> {
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some((path, mode, contents)) = self.0.get(number)
        {
            sink(number, path, *mode, &mut Cursor::new(contents))?;
        }
        Ok(())
    }
}

/// What processes wrote.
type Output = Arc<Mutex<Vec<u8>>>;

struct Fixture {
    runtime: ProcessRuntime,
    output: Output,
    folder: TempDir,
}

fn mk_options(folder: &TempDir) -> Options {
    let options = Options::new(folder.path().join("plugins"), folder.path().join("lock"));
    // This program is a keeper too: see `keeper::tests`.
    let sandbox = Sandbox { level: SandboxLevel::Off, ..Sandbox::default() };
    Options { keeper: Some("/proc/self/exe".into()), sandbox, ..options }
}

fn mk_fetch(files: Files) -> FetchPackage {
    Arc::new(move |_| {
        let files: Box<dyn PackageFiles> = Box::new(files.clone());
        Box::pin(async move { Ok(files) })
    })
}

fn mk_capture(output: &Output) -> Capture {
    let output = Arc::clone(output);
    Arc::new(move |_, pipes| {
        for mut pipe in pipes {
            let output = Arc::clone(&output);
            tokio::spawn(async move {
                let mut chunk = [0; 4096];
                while let Ok(len @ 1..) = pipe.read(&mut chunk).await {
                    output.lock().unwrap().extend_from_slice(&chunk[..len]);
                }
            });
        }
    })
}

fn mk_fixture_with(files: Files, change: impl FnOnce(&mut Options)) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let mut options = mk_options(&folder);
    change(&mut options);
    let output = Output::default();
    let runtime = ProcessRuntime::new(options, mk_fetch(files), mk_capture(&output)).unwrap();
    Fixture { runtime, output, folder }
}

fn mk_runtime_fetching(fetch: FetchPackage, change: impl FnOnce(&mut Options)) -> Fixture {
    let mut fixture = mk_fixture();
    let mut options = mk_options(&fixture.folder);
    change(&mut options);
    fixture.runtime = ProcessRuntime::new(options, fetch, mk_capture(&fixture.output)).unwrap();
    fixture
}

fn mk_fixture() -> Fixture {
    mk_fixture_with(Files::default(), |_| {})
}

fn mk_url(run: RunId) -> String {
    let token = URL_SAFE_NO_PAD.encode([run.as_bytes().as_slice(), &[0xab; 48]].concat());
    format!("ws://127.0.0.1:1/rpc?plugin_id={PLUGIN}&token={token}")
}

fn mk_spec(command: &str, args: &[&str]) -> StartSpec {
    let run: RunId = xid::new().into();
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    StartSpec {
        plugin: PLUGIN,
        run,
        command: command.into(),
        args,
        policy: Arc::default(),
        prepare_timeout: DEADLINE,
        grace: DEADLINE,
        package: PACKAGE,
        url: mk_url(run).into(),
        traceparent: None,
    }
}

fn mk_shell(script: &str) -> StartSpec {
    mk_spec("sh", &["-c", script])
}

/// A run and what happens to it.
struct Started {
    run: Box<dyn Run>,
    events: mpsc::UnboundedReceiver<RunEvent>,
}

impl Fixture {
    /// Gives the runtime up, whose lock is free then.
    async fn give_up(self) {
        let Self { runtime, folder, .. } = self;
        drop(runtime);
        let lock = std::fs::File::open(folder.path().join("lock")).unwrap();
        eventually(|| lock.try_lock().is_ok()).await;
    }

    fn start(&self, spec: StartSpec) -> Started {
        let (sender, events) = mpsc::unbounded_channel();
        let run = self.runtime.start(spec, Box::new(move |event| drop(sender.send(event))));
        Started { run, events }
    }

    /// The process of the keeper that makes inits.
    async fn keeper(&self) -> u32 {
        let mut started = self.start(mk_shell("sleep 1000"));
        let leader = started.spawned().await;
        let keeper = tree::parent(tree::parent(leader).unwrap()).unwrap();
        started.run.kill();
        started.exited().await;
        started.emptied().await;
        keeper
    }

    fn output(&self) -> String {
        String::from_utf8(self.output.lock().unwrap().clone()).unwrap()
    }

    /// Waits until the processes wrote this many lines, and returns them.
    async fn lines(&self, count: usize) -> Vec<String> {
        eventually(|| self.output().lines().count() >= count && self.output().ends_with('\n')).await;
        self.output().lines().map(str::to_owned).collect()
    }
}

impl Started {
    async fn next(&mut self) -> RunEvent {
        timeout(DEADLINE, self.events.recv()).await.expect("an event in time").expect("an event")
    }

    async fn spawned(&mut self) -> u32 {
        match self.next().await {
            RunEvent::Spawned { pid, .. } => pid.unwrap(),
            other => panic!("not spawned: {other:?}"),
        }
    }

    async fn exited(&mut self) -> Exit {
        match self.next().await {
            RunEvent::Exited(exit) => exit,
            other => panic!("not exited: {other:?}"),
        }
    }

    async fn failed(mut self) -> Failure {
        let failure = match self.next().await {
            RunEvent::SpawnFailed(failure) => failure,
            other => panic!("not failed: {other:?}"),
        };
        self.is_silent().await;
        failure
    }

    async fn emptied(mut self) {
        assert_eq!(self.next().await, RunEvent::GroupEmptied);
        self.is_silent().await;
    }

    /// No event may follow the last.
    async fn is_silent(&mut self) {
        assert_eq!(timeout(DEADLINE, self.events.recv()).await.expect("the end in time"), None);
    }
}

/// Waits until this is so.
async fn eventually(is_so: impl Fn() -> bool) {
    let watch = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !is_so() {
            ticks.tick().await;
        }
    };
    timeout(DEADLINE, watch).await.expect("it did not come true in time");
}

/// A process that is suspended until this is dropped: also when an assertion fails, so that it can end.
struct Suspended(Pid);

impl Suspended {
    fn new(pid: u32) -> Self {
        let suspended = Self(tree::to_pid(pid).unwrap());
        kill_process(suspended.0, Signal::STOP).unwrap();
        suspended
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        // Who was killed meanwhile needs nothing.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn is_alive(pid: u32) -> bool {
    tree::is_alive(pid)
}

fn pid_of(line: &str) -> u32 {
    line.trim().parse().unwrap_or_else(|_| panic!("not a pid: {line:?}"))
}
