//! The program of a plugin that tries what no plugin may. It is started as every plugin is, and says on its stdout what came
//! of each attempt. What it is told and what it answers is one JSON value each.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::{Pid, Signal, kill_process},
};
use serde::{Deserialize, Serialize};

use crate::runtime::{keeper, words};

/// The first of the two arguments that make plugd a probe; the other is its task.
pub const ARGUMENT: &str = "doctor-probe";

/// What a probe is to try.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// Files with the administrator's token.
    pub(super) tokens: Vec<PathBuf>,
    /// Files and folders of plugd's whose names must not be seen.
    pub(super) hidden: Vec<PathBuf>,
    /// A file that anybody may write to, but for the sandbox.
    pub(super) outside: PathBuf,
    /// A process like plugd, by the host's number.
    pub(super) bystander: u32,
    /// A port of this host that is not plugd's.
    pub(super) port: u16,
    /// An abstract socket of this host.
    pub(super) socket: String,
    /// Secrets of plugd's, and what they are.
    pub(super) secrets: Vec<(String, PathBuf)>,
    /// Programs that plugins may need, by name and path.
    pub(super) programs: Vec<(String, PathBuf)>,
}

/// Something that is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Attempt {
    /// Reading the administrator's token.
    Token,
    /// Seeing what is in plugd's folders.
    Folders,
    /// Writing to a file outside of its own folder.
    Write,
    /// Having capabilities.
    Capabilities,
    /// Mounting a file system.
    Mount,
    /// Reading the environment of a process like plugd.
    Environment,
    /// Tracing it.
    Trace,
    /// Connecting to an abstract socket of the host.
    Socket,
    /// Connecting to a port that is not plugd's.
    Connect,
    /// Reading this secret.
    Secret(String),
    /// Running this program, which should succeed.
    Program(String),
    /// Killing a process like plugd.
    Signal,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) attempt: Attempt,
    /// Why it failed; none if it succeeded.
    pub(super) refused: Option<String>,
}

/// Tries everything that the task says.
///
/// # Errors
/// The task can't be understood, or nobody hears the answers.
pub fn run(task: &str) -> io::Result<()> {
    let task: Task = serde_json::from_str(task)?;
    answer(Attempt::Token, any(&task.tokens, read))?;
    answer(Attempt::Folders, any(&task.hidden, see))?;
    answer(Attempt::Write, write(&task.outside))?;
    answer(Attempt::Capabilities, capabilities())?;
    answer(Attempt::Mount, mount_here())?;
    answer(Attempt::Environment, read(&format!("/proc/{}/environ", task.bystander).into()))?;
    answer(Attempt::Trace, process(task.bystander).and_then(keeper::trace))?;
    answer(Attempt::Socket, socket(&task.socket))?;
    answer(Attempt::Connect, connect(task.port))?;
    for (name, path) in task.secrets {
        answer(Attempt::Secret(name), read(&path))?;
    }
    for (name, path) in task.programs {
        answer(Attempt::Program(name), execute(&path))?;
    }
    answer(Attempt::Signal, process(task.bystander).and_then(|it| Ok(kill_process(it, Signal::KILL)?)))
}

/// Says what came of an attempt, in one piece and at once: the next may end this process.
fn answer(attempt: Attempt, tried: io::Result<()>) -> io::Result<()> {
    let refused = tried.err().map(|error| words(&error));
    let mut line = serde_json::to_vec(&Answer { attempt, refused })?;
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    io::stdout().flush()
}

/// The first of them that succeeds is one too many.
fn any(paths: &[PathBuf], attempt: impl Fn(&PathBuf) -> io::Result<()>) -> io::Result<()> {
    let nothing = Err(ErrorKind::NotFound.into());
    paths.iter().map(attempt).fold(nothing, |before, tried| before.or(tried))
}

fn read(path: &PathBuf) -> io::Result<()> {
    File::open(path).map(drop)
}

/// Finds the name where it would be listed.
fn see(path: &PathBuf) -> io::Result<()> {
    let mut entries = fs::read_dir(path.parent().unwrap_or(Path::new("/")))?;
    let is_listed = entries.any(|entry| entry.is_ok_and(|entry| entry.path() == *path));
    if is_listed { Ok(()) } else { Err(ErrorKind::NotFound.into()) }
}

fn write(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(b"!")
}

/// Whether the kernel says that this process has any. What it is bounded by says nothing: it gains no privileges.
fn capabilities() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let lines = status.lines().filter(|line| line.starts_with("Cap") && !line.starts_with("CapBnd"));
    let sets = lines.filter_map(|line| line.split_whitespace().last());
    let has_some = sets.filter_map(|set| u64::from_str_radix(set, 16).ok()).any(|set| set != 0);
    if has_some { Ok(()) } else { Err(io::Error::other("it has none")) }
}

/// Mounts something over its own folder, and takes it away again.
fn mount_here() -> io::Result<()> {
    let folder = env::current_dir()?;
    mount(c"none", &folder, c"tmpfs", MountFlags::empty(), None)?;
    Ok(unmount(&folder, UnmountFlags::DETACH)?)
}

fn process(id: u32) -> io::Result<Pid> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::Error::other("no process has that number"))
}

fn socket(name: &str) -> io::Result<()> {
    UnixStream::connect_addr(&UnixAddress::from_abstract_name(name)?).map(drop)
}

fn connect(port: u16) -> io::Result<()> {
    TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map(drop)
}

/// Runs an interpreter on an empty program, so that it needs what its programs need.
fn execute(program: &Path) -> io::Result<()> {
    let is_node = program.file_name().is_some_and(|name| name == "node");
    let mut command = Command::new(program);
    command.args([if is_node { "-e" } else { "-c" }, ""]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("it ends with {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a sandbox each succeeds: what an attempt is refused, the sandbox refuses.
    #[test]
    fn what_may_be_done_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        read(&file).unwrap();
        see(&file).unwrap();
        write(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "x!");
        any(&[folder.path().join("none"), file.clone()], read).unwrap();
        execute(Path::new("/bin/sh")).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        connect(listener.local_addr().unwrap().port()).unwrap();
    }

    #[test]
    fn what_is_not_there_is_not_reached() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none");
        assert!(read(&none).is_err() && see(&none).is_err() && write(&none).is_err());
        assert!(any(&[], read).is_err() && any(std::slice::from_ref(&none), read).is_err());
        assert!(execute(&none).is_err() && execute(Path::new("/bin/false")).is_err());
        assert!(process(0).is_err() && process(u32::MAX).is_err());
    }
}
