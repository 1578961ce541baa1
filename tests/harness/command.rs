//! Programs that the tests run beside plugd: clients that were not written here, and the command line.

use std::{
    env,
    ffi::OsStr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use super::{
    Plugd, Rest,
    processes::pid_of,
    server::search_path,
    signals,
    wait::{HANG, LABOUR, within, within_time},
};

/// The folder of the project.
pub(super) const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// What a program came to.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    /// What it printed, of a program that must succeed.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        assert!(self.status.success(), "{self:?}");
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A file of the project.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(REPOSITORY).join(path)
}

/// Where `make tools` puts the tools.
pub(super) fn tools(repository: &Path) -> PathBuf {
    repository.join(".venv/bin")
}

/// A command that inherits no settings of plugd's, nor what the tests were told about signals. Every program of the tests
/// is one of these.
pub(crate) fn program(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let host = env::vars_os().filter(|(name, _)| ["PATH", "HOME", "LANG"].iter().any(|kept| name == kept));
    command.env_clear().envs(host).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    signals::reset(command.as_std_mut());
    command
}

pub(super) fn tool(name: &str) -> Command {
    let path = tools(Path::new(REPOSITORY)).join(name);
    assert!(path.is_file(), "{} is missing: run `make tools`", path.display());
    program(path)
}

/// `plugd serve` on a data folder in this one, for tests that are about what it prints: nobody reads that but the test.
pub(crate) fn serve(home: &Path, args: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["serve", "--data-dir"]).arg(home.join("data")).args(args);
    command.env("PATH", search_path()).env("PLUGD_LISTEN", "127.0.0.1:0").env("PLUGD_SANDBOX_READ", REPOSITORY);
    command
}

/// The command line, for the administrator of this plugd.
pub(crate) fn cli(plugd: &Plugd, args: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.env("PLUGD_SERVER", plugd.url()).env("PLUGD_TOKEN", plugd.token()).args(args);
    command
}

/// grpcurl, for the administrator of this plugd; `method` may be a verb of grpcurl's.
pub(crate) fn grpcurl(plugd: &Plugd, data: Option<&Value>, method: &[&str]) -> Command {
    let mut command = tool("grpcurl");
    command.args(["-plaintext", "-H", &format!("authorization: Bearer {}", plugd.token())]);
    if let Some(data) = data {
        command.args(["-d", &data.to_string()]);
    }
    command.arg(plugd.address().to_string()).args(method);
    command
}

/// grpcurl over an encrypted connection, for the administrator of this plugd; `trust` says whom it believes.
pub(crate) fn grpcurl_encrypted(plugd: &Plugd, trust: &[&str], method: &str) -> Command {
    let mut command = tool("grpcurl");
    command.args(trust).args(["-H", &format!("authorization: Bearer {}", plugd.token())]);
    command.arg(plugd.address().to_string()).arg(method);
    command
}

/// Python with the packages of the tests.
pub(crate) fn python(script: &str, args: &[&str]) -> Command {
    let mut command = tool("python3");
    command.arg(repository(script)).args(args).env("PYTHONUNBUFFERED", "1");
    command
}

/// Runs a command to its end.
pub(crate) trait Run {
    /// Without input.
    fn run(&mut self) -> impl Future<Output = Output>;
    /// The same of one that has a lot to do.
    fn run_at_length(&mut self) -> impl Future<Output = Output>;
    /// With this input.
    fn run_with(&mut self, input: Vec<u8>) -> impl Future<Output = Output>;
}

impl Run for Command {
    async fn run(&mut self) -> Output {
        finished(self.spawn().unwrap(), HANG).await
    }

    async fn run_at_length(&mut self) -> Output {
        finished(self.spawn().unwrap(), LABOUR).await
    }

    async fn run_with(&mut self, input: Vec<u8>) -> Output {
        let mut child = self.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A program that has its answer may stop reading.
        let feed = tokio::spawn(async move { stdin.write_all(&input).await });
        let output = finished(child, HANG).await;
        feed.abort();
        output
    }
}

async fn finished(child: Child, limit: Duration) -> Output {
    let output = within_time(limit, "a command", child.wait_with_output()).await.unwrap();
    Output { status: output.status, stdout: output.stdout, stderr: String::from_utf8_lossy(&output.stderr).into() }
}

/// A program that goes on, and what it prints meanwhile.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<Box<dyn AsyncRead + Unpin + Send>>>,
}

impl Running {
    /// Starts it; reads what it prints to stdout.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let stdout: ChildStdout = child.stdout.take().unwrap();
        Self { child, lines: BufReader::new(Box::new(stdout) as _).lines() }
    }

    /// Starts it; reads what it prints to stderr.
    pub(crate) fn start_reading_stderr(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        Self { child, lines: BufReader::new(Box::new(stderr) as _).lines() }
    }

    /// The next line; none at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        within("a line of a program", self.lines.next_line()).await.unwrap()
    }

    /// The first line from here on that contains this.
    pub(crate) async fn find(&mut self, text: &str) -> String {
        self.until(text).await.pop().unwrap()
    }

    /// All lines from here on to the first that contains this.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        let found = async {
            while !seen.last().is_some_and(|line| line.contains(text)) {
                let line = self.line().await;
                seen.push(line.unwrap_or_else(|| panic!("ended without {text:?}")));
            }
        };
        within(text, found).await;
        seen
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid_of(self.pid()), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Goes away: nobody reads what it prints from here on.
    pub(crate) fn stop_reading(&mut self) {
        self.lines = BufReader::new(Box::new(tokio::io::empty()) as _).lines();
    }

    /// Reads what it still prints, and waits for its end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        // One deadline for all: a program that goes on and on prints its next line within any.
        let ended = async {
            while self.line().await.is_some() {}
            self.child.wait().await.unwrap()
        };
        within("the end of a program", ended).await
    }

    /// Waits for its end, and reads nothing.
    pub(crate) async fn ended_unread(&mut self) -> ExitStatus {
        within("the end of a program", self.child.wait()).await.unwrap()
    }
}

/// Did it end well, be it by the signal that it was sent?
pub(crate) fn is_interrupted_or_ok(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(Signal::INT.as_raw())
}

/// `plugd rest` in front of this plugd, and a client of it.
pub(crate) async fn rest_shim(plugd: &Plugd) -> (Running, Rest) {
    rest_shim_trusting(plugd, &[]).await
}

/// The same in front of an encrypted plugd; `trust` are the settings that say whom it believes and who it is.
pub(crate) async fn rest_shim_trusting(plugd: &Plugd, trust: &[(&str, String)]) -> (Running, Rest) {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["rest", "--listen", "127.0.0.1:0", "--upstream", &plugd.url()]);
    command.envs(trust.iter().map(|(name, value)| (name, value)));
    let mut running = Running::start_reading_stderr(&mut command);
    let said = running.find("plugd serves REST on ").await;
    let url = said.rsplit(' ').next().unwrap().to_owned();
    (running, Rest::new(url, Some(plugd.token())))
}
