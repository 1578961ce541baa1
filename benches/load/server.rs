//! The two servers that are measured.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plugd::api::v1::{
    bus_service_client::BusServiceClient, plugin_service_client::PluginServiceClient,
    server_service_client::ServerServiceClient,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::{BARE, bare::Client, processes};

type Authorized = InterceptedService<Channel, Bearer>;
/// The clients of plugd.
pub(crate) type Plugins = PluginServiceClient<Authorized>;
pub(crate) type Bus = BusServiceClient<Authorized>;
pub(crate) type About = ServerServiceClient<Authorized>;

/// Larger than any answer that is measured.
const LARGEST: usize = 64 << 20;

/// Shows the administrator's token.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A process that ends with this.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Any port of the loopback.
const ANYWHERE: &str = "127.0.0.1:0";

/// plugd, with its defaults and a data folder of its own.
pub(crate) struct Plugd {
    address: String,
    token: MetadataValue<Ascii>,
    /// Where it is told to listen.
    listen: String,
    options: Vec<String>,
    // In this order: the process goes before its folder does.
    process: Process,
    home: TempDir,
}

impl Plugd {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts it with other settings than the defaults.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self::begin(ANYWHERE.to_owned(), options, None)
    }

    /// Starts a node of a cluster, which listens there. The first has made the token that its administrator has at each.
    pub(crate) fn node(listen: String, options: Vec<String>, first: Option<&Self>) -> Self {
        Self::begin(listen, options, first.map(|first| first.token.clone()))
    }

    fn begin(listen: String, options: Vec<String>, token: Option<MetadataValue<Ascii>>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (process, address) = spawn(&home, &listen, &options);
        let token = token.unwrap_or_else(|| {
            let token = fs::read_to_string(home.path().join("data/admin.token")).unwrap();
            format!("Bearer {}", token.trim()).parse().unwrap()
        });
        Self { address, token, listen, options, process, home }
    }

    /// Ends it as an operator would, and starts it again on the same data: how long that took until it served.
    pub(crate) fn restart(&mut self) -> Duration {
        self.signal(Signal::TERM);
        self.start_again()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process.0), signal).unwrap();
    }

    /// Waits until it has ended, and starts it again on the same data: how long that took until it served.
    pub(crate) fn start_again(&mut self) -> Duration {
        self.process.0.wait().unwrap();
        let began = Instant::now();
        (self.process, self.address) = spawn(&self.home, &self.listen, &self.options);
        began.elapsed()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The processor time that plugd itself has used so far; not that of its keeper and its plugins.
    pub(crate) fn cpu(&self) -> Duration {
        processes::cpu(self.pid())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The value of the header that lets a client in.
    pub(crate) fn authorization(&self) -> &str {
        self.token.to_str().unwrap()
    }

    /// A client with a connection of its own.
    pub(crate) async fn client(&self) -> Plugins {
        let channel = channel(&self.address).await.unwrap();
        PluginServiceClient::with_interceptor(channel, Bearer(self.token.clone())).max_decoding_message_size(LARGEST)
    }

    /// The same, to ask what it is: it may have ended.
    pub(crate) async fn about(&self) -> Result<About, tonic::transport::Error> {
        let channel = channel(&self.address).await?;
        Ok(ServerServiceClient::with_interceptor(channel, Bearer(self.token.clone())))
    }

    /// The same, to send events and calls.
    pub(crate) async fn bus(&self) -> Bus {
        BusServiceClient::with_interceptor(channel(&self.address).await.unwrap(), Bearer(self.token.clone()))
    }
}

fn spawn(home: &TempDir, listen: &str, options: &[String]) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugd"));
    command.args(["serve", "--listen", listen, "--log", "error", "--data-dir"]).arg(home.path().join("data"));
    let mut child = command.args(options).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let url = announced(child.stderr.take().unwrap(), "plugd serves on ");
    (Process(child), url.trim_start_matches("http://").to_owned())
}

/// A server that does nothing.
pub(crate) struct Bare {
    rpc: String,
    web: String,
    process: Process,
}

impl Bare {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.env(BARE, "1").stderr(Stdio::piped()).spawn().unwrap();
        let addresses = announced(child.stderr.take().unwrap(), "serving on ");
        let (rpc, web) = addresses.split_once(' ').unwrap();
        Self { rpc: rpc.to_owned(), web: web.to_owned(), process: Process(child) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// A client with a connection of its own.
    pub(crate) async fn client(&self) -> Client {
        Client::new(channel(&self.rpc).await.unwrap())
    }

    /// Where it listens for HTTP.
    pub(crate) fn address(&self) -> &str {
        &self.web
    }
}

async fn channel(address: &str) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await
}

/// The rest of the first line that begins so; what follows it is read and thrown away.
fn announced(output: impl Read + Send + 'static, beginning: &str) -> String {
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.strip_prefix(beginning).map(str::to_owned));
    thread::spawn(move || lines.for_each(drop));
    said.expect("it ended before it served")
}

/// The example plugin that is run.
pub(crate) fn greeter() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_plugd")).with_file_name("examples").join("greeter");
    assert!(path.is_file(), "{} is missing: run this with `make bench`", path.display());
    path
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_plugd")).parent().and_then(Path::parent).unwrap().to_owned()
}
