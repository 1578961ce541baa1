//! plugd as a process.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    Api, Rest,
    cluster::free_address,
    command::{REPOSITORY, tools},
    processes::{Process, files_below, gone, left_behind, pid_of, reap},
    serving::{Serving, collect},
    signals,
    wait::within,
};

/// Settings, as environment variables.
pub(crate) type Knobs<'a> = &'a [(&'a str, &'a str)];

/// Settings for tests about something else than durations.
pub(crate) const QUICK: Knobs = &[("PLUGD_BACKOFF", "20ms"), ("PLUGIN_MAX_BACKOFF_DURATION", "100ms")];

/// What makes a process the first of its process namespace. The one that did it goes on outside, and dies with it.
pub(crate) const CONTAINER: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];

/// What plugd says when it listens.
const ANNOUNCEMENT: &str = "plugd serves on ";

/// A plugd with a data folder of its own. When it is dropped it is killed, and the test fails if a process of any of its
/// plugins outlives it.
pub(crate) struct Plugd {
    home: TempDir,
    scratch: PathBuf,
    /// Name of the data folder in there.
    folder: String,
    knobs: Vec<(String, String)>,
    running: Option<Serving>,
    /// Where it is told to listen; port 0 = any.
    listen: SocketAddr,
    address: SocketAddr,
    /// The address as clients write it.
    url: String,
    token: String,
    /// What curl needs to be told about certificates.
    trust: Vec<String>,
    /// It is the first process of its process namespace.
    is_first: bool,
}

impl Plugd {
    /// Starts one with [`QUICK`] settings.
    pub(crate) async fn start() -> Self {
        Self::with(QUICK).await
    }

    /// Starts one with its defaults but for these settings.
    pub(crate) async fn with(knobs: Knobs<'_>) -> Self {
        Self::encrypted(knobs, &[]).await
    }

    /// Starts one that is encrypted, if the settings say so; `trust` are options of curl's about certificates.
    pub(crate) async fn encrypted(knobs: Knobs<'_>, trust: &[String]) -> Self {
        let knobs = knobs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut plugd = Self::idle(knobs, trust);
        plugd.run().await;
        plugd
    }

    /// Starts one whose data folder has this name.
    pub(crate) async fn in_folder(name: &str) -> Self {
        let knobs = QUICK.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut plugd = Self::idle(knobs, &[]);
        plugd.folder = name.to_owned();
        plugd.run().await;
        plugd
    }

    /// Starts one that is the first process of a process namespace, as in a container. Needs a host that allows it.
    pub(crate) async fn in_container(knobs: Knobs<'_>) -> Self {
        let knobs = knobs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut plugd = Self::idle(knobs, &[]);
        plugd.is_first = true;
        plugd.run().await;
        plugd
    }

    /// Starts a node of a cluster, at an address that the others can be told. Who administers the cluster has this token, unless
    /// this node is the first.
    pub(crate) async fn node(knobs: Knobs<'_>, token: &str) -> Self {
        let knobs = knobs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut plugd = Self::idle(knobs, &[]);
        plugd.listen = free_address();
        plugd.set("PLUGD_ADVERTISE", &format!("http://{}", plugd.listen));
        plugd.token = token.to_owned();
        plugd.run().await;
        plugd
    }

    /// Starts another with the same settings, and with nothing but this one's token in a data folder of its own.
    pub(crate) async fn successor(&self) -> Self {
        let mut successor = Self::idle(self.knobs.clone(), &self.trust);
        let folder = successor.data_dir();
        fs::create_dir_all(&folder).unwrap();
        fs::copy(self.data_dir().join("admin.token"), folder.join("admin.token")).unwrap();
        successor.run().await;
        successor
    }

    /// Starts one on a data folder that was filled by somebody else, whose administrator has this token.
    pub(crate) async fn filled(knobs: Knobs<'_>, token: &str, fill: impl AsyncFnOnce(&Path)) -> Self {
        let knobs = knobs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut plugd = Self::idle(knobs, &[]);
        fill(&plugd.data_dir()).await;
        fs::write(plugd.data_dir().join("admin.token"), token).unwrap();
        plugd.run().await;
        plugd
    }

    fn idle(knobs: Vec<(String, String)>, trust: &[String]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let home = tempfile::Builder::new().prefix("plugd-it-").tempdir().unwrap();
        let scratch = home.path().join("scratch");
        fs::create_dir_all(scratch.join("tmp")).unwrap();
        let (url, token) = (String::new(), String::new());
        let folder = "data".to_owned();
        let (listen, trust) = (address, trust.to_owned());
        Self { home, scratch, folder, knobs, running: None, listen, address, url, token, trust, is_first: false }
    }

    /// Has a setting, as an environment variable, from the next start on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.knobs.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it on the data that it left.
    pub(crate) async fn restart(&mut self) {
        assert!(self.running.is_none(), "it runs");
        self.run().await;
    }

    /// Starts it on the data that it left; its token is in this file of its data folder.
    pub(crate) async fn restart_with_token(&mut self, name: &str) {
        self.restart().await;
        self.token = fs::read_to_string(self.data_dir().join(name)).unwrap().trim().to_owned();
    }

    /// Starts it on the data that it left, where it was.
    pub(crate) async fn restart_on_the_same_address(&mut self) {
        assert!(self.running.is_none(), "it runs");
        self.listen = self.address;
        self.run().await;
    }

    async fn run(&mut self) {
        let mut serving = self.spawn();
        let line = within("the announcement", serving.line(ANNOUNCEMENT)).await;
        self.url = line.trim_start_matches(ANNOUNCEMENT).to_owned();
        self.address = self.url.split_once("://").unwrap().1.parse().unwrap();
        self.running = Some(serving);
        let file = self.data_dir().join("admin.token");
        // The nodes of a cluster have one administrator, whose token the first has made.
        if self.token.is_empty() || file.exists() {
            self.token = fs::read_to_string(file).unwrap().trim().to_owned();
        }
        assert_eq!(self.rest().get("/readyz").await.status, 200, "it says that it serves");
    }

    fn spawn(&self) -> Serving {
        let mut command = self.program();
        command.args(["serve", "--listen", &self.listen.to_string(), "--data-dir"]).arg(self.data_dir());
        command.env_clear().env("PATH", search_path()).env("HOME", self.home.path());
        command.env("TMPDIR", self.scratch.join("tmp")).env("SECRET_OF_THE_HOST", "hunter2");
        // The checkout may be anywhere, in a temporary folder too, and has programs that plugins of tests run.
        command.env("PLUGD_SANDBOX_READ", REPOSITORY).env("PLUGD_SANDBOX_WRITE", &self.scratch);
        // On a busy machine a test may take longer than the time after which a plugin is pinged.
        command.env("PLUGD_PING_INTERVAL", "10m");
        command.env("PLUGD_LOG", "warn,plugd=debug").envs(self.knobs.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        signals::reset(&mut command);
        let mut child = command.spawn().unwrap();
        let said = collect(child.stderr.take().unwrap());
        Serving { child, said }
    }

    fn program(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_plugd");
        if !self.is_first {
            return Command::new(program);
        }
        let mut container = Command::new("unshare");
        container.args(CONTAINER).arg(program);
        container
    }

    /// Everything that it said, as one text.
    pub(crate) fn said(&self) -> String {
        self.running.as_ref().map(|serving| serving.said.borrow().join("\n")).unwrap_or_default()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection on which this was sent.
    pub(crate) async fn dial(&self, bytes: &[u8]) -> TcpStream {
        let dialled = async {
            let mut socket = TcpStream::connect(self.address).await.unwrap();
            socket.write_all(bytes).await.unwrap();
            socket
        };
        within("a connection", dialled).await
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().child.id()
    }

    /// The administrator's token.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.path().join(&self.folder)
    }

    /// A folder for the test's own files.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The files that it stores beside its database.
    pub(crate) fn files(&self) -> Vec<String> {
        files_below(&self.data_dir()).into_iter().filter(|name| !name.starts_with("plugd.db")).collect()
    }

    /// The names of the folders that plugins have, or had.
    pub(crate) fn plugin_folders(&self) -> Vec<String> {
        let names = fs::read_dir(self.data_dir().join("plugins")).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        // Those are plugd's own.
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// The files of packages, of all databases.
    pub(crate) fn packages(&self) -> Vec<String> {
        self.files().into_iter().filter(|name| name.starts_with("packages/")).collect()
    }

    /// As if these packages had been stored two hours ago, twice as long as they may lie there without a plugin.
    pub(crate) fn age_packages(&self) {
        for name in self.packages() {
            let file = fs::File::options().append(true).open(self.data_dir().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(2 * 3600)).unwrap();
        }
    }

    /// A gRPC client of the administrator.
    pub(crate) fn api(&self) -> Api {
        self.api_as(Some(&self.token))
    }

    /// A gRPC client with this credential.
    pub(crate) fn api_as(&self, token: Option<&str>) -> Api {
        Api::at(&self.url(), token)
    }

    /// A REST client of the administrator.
    pub(crate) fn rest(&self) -> Rest {
        self.rest_as(Some(&self.token))
    }

    /// A REST client with this credential.
    pub(crate) fn rest_as(&self, token: Option<&str>) -> Rest {
        Rest::new(self.url(), token).trusting(&self.trust)
    }

    /// The live processes of one plugin.
    pub(crate) fn processes_of(plugin: &str) -> Vec<Process> {
        Process::with_environment(&format!("PLUGD_PLUGIN_ID={plugin}"))
    }

    /// The host's id of a process that its plugin knows by another, where it is in a sandbox.
    pub(crate) fn pid_on_host(plugin: &str, told: &str) -> u32 {
        Process::in_the_world_of(&Self::processes_of(plugin)[0], told.parse().unwrap()).unwrap()
    }

    /// The same, of those only that this plugd runs.
    pub(crate) fn runs_of(&self, plugin: &str) -> Vec<Process> {
        let own = Process::with_environment(&self.mark());
        Self::processes_of(plugin).into_iter().filter(|process| own.contains(process)).collect()
    }

    /// Suspends it and nothing else, as a host that sleeps would.
    pub(crate) fn suspend(&self) {
        kill_process(pid_of(self.pid()), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        kill_process(pid_of(self.pid()), Signal::CONT).unwrap();
    }

    /// What the processes of this plugd, and those of its plugins, have in their environment and no other process has.
    fn mark(&self) -> String {
        format!("HOME={}", self.home.path().display())
    }

    /// Kills plugd and nothing else, as a power cut would, and waits until every process of every plugin has followed.
    pub(crate) async fn kill_9(&mut self) {
        kill_process(pid_of(self.pid()), Signal::KILL).unwrap();
        self.lost().await;
    }

    /// Waits until it, which was killed, and every process of every plugin has ended.
    pub(crate) async fn lost(&mut self) {
        let mut serving = self.running.take().unwrap();
        gone(serving.child.id()).await;
        serving.child.wait().unwrap();
        let mark = self.mark();
        let left = tokio::task::spawn_blocking(move || left_behind(&mark)).await.unwrap();
        assert!(left.is_empty(), "outlived plugd: {left:?}");
    }

    /// Waits until it has ended by itself; returns how.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        gone(self.pid()).await;
        self.running.take().unwrap().child.wait().unwrap()
    }

    /// Asks it to stop; returns how it ended and how long that took.
    pub(crate) async fn sigterm(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        kill_process(pid_of(self.pid()), Signal::TERM).unwrap();
        gone(self.pid()).await;
        let took = began.elapsed();
        let mut serving = self.running.take().unwrap();
        (serving.child.wait().unwrap(), took)
    }
}

impl Drop for Plugd {
    fn drop(&mut self) {
        let said = self.said();
        if let Some(mut serving) = self.running.take() {
            let _ = serving.child.kill();
            reap(&mut serving.child);
        }
        let left = left_behind(&self.mark());
        if thread::panicking() {
            eprintln!("--- plugd said:\n{said}\n--- left behind: {left:?}");
        } else {
            assert!(left.is_empty(), "processes outlived plugd: {left:?}");
        }
    }
}

/// The search path of plugd: the example plugins first, then the tools of the tests, then the host's.
pub(crate) fn search_path() -> String {
    let examples = Path::new(env!("CARGO_BIN_EXE_plugd")).parent().unwrap().join("examples");
    let hint = "build the examples first: cargo build --examples, or cargo test without --test";
    assert!(examples.join("chaos").is_file(), "{hint}");
    let host = env::var("PATH").unwrap_or_default();
    format!("{}:{}:{host}", examples.display(), tools(Path::new(REPOSITORY)).display())
}
