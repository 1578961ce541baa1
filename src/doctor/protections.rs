//! Whether plugins are shut in as the settings say: a plugin is started as any other is, by a keeper, and tries.
//!
//! It is no plugin of plugd's: its folders and its keeper's lock are the doctor's own and are gone afterwards. But plugd's
//! own folders are hidden from it too, so that it tries them as well.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    net::TcpListener,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr as UnixAddress, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::Context;
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::unix::pipe, sync::mpsc, time::timeout};
use tokio_util::task::TaskTracker;

use super::{
    Check,
    probe::{self, Answer, Task},
    verdict::{judge, sandbox},
};
use crate::{
    app::process_options,
    config::{Config, RuntimeProvider},
    domain::{Confinement, Digest, PluginId, RunEvent, RunId},
    files,
    runtime::{
        FileSink, PackageFiles, Runtime, StartSpec, keeper,
        process::{Capture, FetchPackage, Options, ProcessRuntime},
    },
};

/// How long all attempts together may take. Interpreters are slow to begin on a busy host.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most bytes that the probe says.
const MOST: u64 = 1 << 20;

/// What plugins are commonly written in.
const PROGRAMS: [&str; 3] = ["sh", "python3", "node"];

/// Tries all of it.
pub(super) async fn checks(config: &Config, secrets: Vec<(String, PathBuf)>) -> Vec<Check> {
    match config.runtime_provider {
        RuntimeProvider::Local => {}
        RuntimeProvider::Kubernetes => {
            return vec![Check::ok("plugins", "they run in pods: whether their cluster shuts those in was not tried")];
        }
        RuntimeProvider::None => return vec![Check::ok("plugins", "this plugd runs none (--runtime-provider none)")],
    }
    match attempted(config, secrets).await {
        Ok((confinement, answers, missing)) => {
            let judged = answers.iter().filter_map(|answer| judge(config.sandbox, answer));
            [sandbox(confinement)].into_iter().chain(judged).chain(missing).collect()
        }
        Err(error) => {
            let found = format!("none can be run: {error:#}");
            vec![Check::failure("plugins", found, "correct what the other lines say; `plugd serve` may say more")]
        }
    }
}

type Attempted = (Confinement, Vec<Answer>, Vec<Check>);

async fn attempted(config: &Config, secrets: Vec<(String, PathBuf)>) -> anyhow::Result<Attempted> {
    let ground = Ground::lay()?;
    let own = std::env::current_exe()?;
    let options = ground.options(config, &own)?;
    let (programs, missing) = programs();
    let bystander = Bystander::start("/proc/self/exe")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let name = format!("plugd-doctor-{}", std::process::id());
    let _socket = UnixListener::bind_addr(&UnixAddress::from_abstract_name(&name)?)?;
    let task = Task {
        tokens: ground.tokens(config),
        hidden: ground.names(config),
        outside: ground.outside(),
        bystander: bystander.id(),
        port: listener.local_addr()?.port(),
        socket: name,
        secrets,
        programs,
    };
    let (confinement, said) = Box::pin(run(options, &own, &task)).await?;
    let answers = said.lines().map(serde_json::from_str).collect::<Result<Vec<Answer>, _>>();
    Ok((confinement, answers?, missing))
}

/// The programs that the search path has, and what is to be said of the others.
fn programs() -> (Vec<(String, PathBuf)>, Vec<Check>) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in PROGRAMS {
        match files::find_program(name, &path) {
            Some(program) => found.push((name.to_owned(), program)),
            None => missing.push(Check::ok(name, "not on the PATH: plugins that are written for it can't be started")),
        }
    }
    (found, missing)
}

/// What is laid out: a data folder, one of plugins with another plugin's in it, and one that is open to all.
const FOLDERS: [(&str, u32); 5] =
    [("", 0o755), ("data", 0o700), ("plugins", 0o755), ("plugins/other", 0o755), ("open", 0o777)];

/// Folders like plugd's, with secrets to steal, and a place that is open to all.
struct Ground(TempDir);

impl Ground {
    /// Where a run has no folder of its own, so that not only the lack of the place keeps it out.
    const PLACE: &str = "/var/tmp";

    fn lay() -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("plugd-doctor-");
        let folder = builder.tempdir_in(Self::PLACE).or_else(|_| builder.tempdir())?;
        let ground = Self(folder);
        for (name, mode) in FOLDERS {
            let path = ground.at(name);
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        for (path, mode) in [(ground.at("data/admin.token"), 0o600), (ground.outside(), 0o666)] {
            fs::write(&path, "")?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        Ok(ground)
    }

    fn at(&self, name: &str) -> PathBuf {
        // A link on the way would be another path to the sandbox.
        fs::canonicalize(self.0.path()).unwrap_or_else(|_| self.0.path().to_owned()).join(name)
    }

    fn outside(&self) -> PathBuf {
        self.at("open/file")
    }

    /// The last is there for certain: what keeps the probe from it is what is told.
    fn tokens(&self, config: &Config) -> Vec<PathBuf> {
        vec![own(&config.data_dir).join("admin.token"), self.at("data/admin.token")]
    }

    /// Names that must not be seen in the folders where they are.
    fn names(&self, config: &Config) -> Vec<PathBuf> {
        let data = own(&config.data_dir);
        let real = ["admin.token", "plugd.db", "packages", "keeper.lock"].map(|name| data.join(name));
        real.into_iter().chain([self.at("data/admin.token"), self.at("plugins/other")]).collect()
    }

    /// The options with which plugd runs plugins, but for the folders; and the probe may be run, wherever plugd's program is.
    fn options(&self, config: &Config, program: &Path) -> anyhow::Result<Options> {
        let own_folders = [&config.data_dir, &config.plugin_dir].map(|folder| fs::canonicalize(folder).ok());
        let ground = Config { data_dir: self.at("data"), plugin_dir: self.at("plugins"), ..config.clone() };
        let mut options = process_options(&ground)?;
        let hidden = &mut options.sandbox.hidden;
        for folder in own_folders.into_iter().flatten() {
            // One that is in the other is hidden with it.
            if !hidden.iter().any(|hidden| folder.starts_with(hidden)) {
                hidden.push(folder.into());
            }
        }
        options.sandbox.read.push(OsString::from(program));
        Ok(options)
    }
}

/// A folder of plugd's as the kernel names it.
fn own(folder: &Path) -> PathBuf {
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Runs the probe as a plugin; answers what held it, and what it said.
async fn run(options: Options, program: &Path, task: &Task) -> anyhow::Result<(Confinement, String)> {
    let output = Output::default();
    let runtime = ProcessRuntime::new(options, nothing(), output.capture())?;
    let (heard, mut events) = mpsc::unbounded_channel();
    let spec = StartSpec {
        plugin: PluginId::from(xid::new()),
        run: RunId::from(xid::new()),
        command: program.to_string_lossy().into_owned(),
        args: vec![probe::ARGUMENT.to_owned(), serde_json::to_string(task)?],
        policy: Arc::default(),
        prepare_timeout: PATIENCE,
        grace: PATIENCE,
        package: Digest([0; 32]),
        url: String::new().into(),
        traceparent: None,
    };
    let run = runtime.start(spec, Box::new(move |event| drop(heard.send(event))));
    let followed = async {
        let mut confinement = None;
        loop {
            match events.recv().await {
                Some(RunEvent::Spawned { confinement: held, .. }) => confinement = held,
                Some(RunEvent::SpawnFailed(failure)) => anyhow::bail!(failure.message),
                Some(RunEvent::Exited(exit)) if exit.code != Some(0) => anyhow::bail!("the attempts broke off: {exit}"),
                Some(RunEvent::GroupEmptied) | None => break,
                Some(_) => {}
            }
        }
        output.drained().await;
        confinement.ok_or_else(|| anyhow::anyhow!("the process was not made"))
    };
    let confinement = timeout(PATIENCE, followed).await.context("the attempts took too long")??;
    drop(run);
    Ok((confinement, output.text()))
}

/// A package without files.
struct Nothing;

impl PackageFiles for Nothing {
    fn count(&self) -> usize {
        0
    }

    fn for_each(&self, _: &AtomicUsize, _: &mut FileSink<'_>) -> io::Result<()> {
        Ok(())
    }
}

fn nothing() -> FetchPackage {
    Arc::new(|_| Box::pin(async { Ok(Box::new(Nothing) as Box<dyn PackageFiles>) }))
}

/// What the probe prints to stdout.
#[derive(Clone, Default)]
struct Output {
    said: Arc<Mutex<Vec<u8>>>,
    readers: TaskTracker,
}

impl Output {
    fn capture(&self) -> Capture {
        let output = self.clone();
        Arc::new(move |_: &StartSpec, [stdout, stderr]: [pipe::Receiver; 2]| {
            let said = Arc::clone(&output.said);
            output.readers.spawn(async move {
                let mut bytes = Vec::new();
                // What can't be read can't be understood either.
                let _ = stdout.take(MOST).read_to_end(&mut bytes).await;
                *said.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
            });
            output.readers.spawn(async move { drop(tokio::io::copy(&mut { stderr }, &mut tokio::io::sink()).await) });
        })
    }

    async fn drained(&self) {
        self.readers.close();
        self.readers.wait().await;
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// The one argument that makes plugd a bystander: a process that a probe must not be able to reach. It stands for plugd, of the
/// same user and as closed to others.
pub const BYSTANDER: &str = "doctor-bystander";

/// Is a bystander until its stdin is closed.
///
/// # Errors
/// It can't be closed to others.
pub fn bystander() -> io::Result<()> {
    keeper::close_to_others()?;
    io::stdout().write_all(b".")?;
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

/// A bystander that is closed to others. Dropping it ends it.
struct Bystander {
    process: Child,
    _life: Option<ChildStdin>,
}

impl Bystander {
    /// Starts one. Blocking, for as long as a program takes to begin.
    fn start(program: &str) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(BYSTANDER).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn()?;
        let mut bystander = Self { _life: process.stdin.take(), process };
        let stdout = bystander.process.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdout.read_exact(&mut [0])?;
        Ok(bystander)
    }

    fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
