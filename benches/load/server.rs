//! The two servers that are measured.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use plugd::api::v1::plugin_service_client::PluginServiceClient;
use tempfile::TempDir;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::BARE;

/// The client of plugd.
pub(crate) type Plugins = PluginServiceClient<InterceptedService<Channel, Bearer>>;

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

/// plugd, with its defaults and a data folder of its own.
pub(crate) struct Plugd {
    url: String,
    token: MetadataValue<Ascii>,
    // In this order: the process goes before its folder does.
    process: Process,
    _home: TempDir,
}

impl Plugd {
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_plugd"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--data-dir"]).arg(&data);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let url = announced(child.stderr.take().unwrap(), "plugd serves on ");
        let token = fs::read_to_string(data.join("admin.token")).unwrap();
        let token = format!("Bearer {}", token.trim()).parse().unwrap();
        Self { url, token, process: Process(child), _home: home }
    }

    /// The processor time that plugd itself has used so far, to a hundredth of a second; not that of its plugins.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.0.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// A client with a connection of its own.
    pub(crate) async fn client(&self) -> Plugins {
        PluginServiceClient::with_interceptor(channel(&self.url).await, Bearer(self.token.clone()))
    }
}

/// A gRPC server that does nothing.
pub(crate) struct Bare {
    url: String,
    _process: Process,
}

impl Bare {
    pub(crate) async fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.env(BARE, "1").stderr(Stdio::piped()).spawn().unwrap();
        let url = announced(child.stderr.take().unwrap(), "serving on ");
        Self { url, _process: Process(child) }
    }

    /// A connection.
    pub(crate) async fn channel(&self) -> Channel {
        channel(&self.url).await
    }
}

async fn channel(url: &str) -> Channel {
    Endpoint::from_shared(url.to_owned()).unwrap().tcp_nodelay(true).connect().await.unwrap()
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
