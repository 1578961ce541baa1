//! PostgreSQL servers for tests: real ones, reached by a socket in a temporary folder. `database.sh` runs them and ends
//! them with the tests. The unit tests of the store stand on this file too.

#![allow(dead_code, reason = "the scenarios and the unit tests of the store need different parts of it")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

/// A server. It ends with the last database that is held of it, or with the process.
pub(crate) struct Server {
    folder: TempDir,
    child: Child,
    talk: Option<Mutex<(ChildStdin, Receiver<String>)>>,
    databases: AtomicU32,
}

/// A database with a user of its own, who has a password.
pub(crate) struct OneDatabase {
    server: Arc<Server>,
    name: String,
}

/// The longest that a server may take for anything.
const HANG: Duration = Duration::from_secs(180);

/// What the user's password is.
pub(crate) const PASSWORD: &str = "hunter@2";

impl Server {
    /// The one that all tests of this process share, each with databases of its own.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Server>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(Self::start))
    }

    /// Starts one that no other test has.
    pub(crate) fn start() -> Arc<Self> {
        let folder = tempfile::Builder::new().prefix("plugd-db-").tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/database.sh");
        let mut command = Command::new(script);
        command.arg(folder.path());
        // A group of its own: what interrupts the tests does not interrupt the clearing up after them.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let talk = (child.stdin.take().unwrap(), lines(child.stdout.take().unwrap()));
        let databases = AtomicU32::new(0);
        let server = Self { folder, child, talk: Some(Mutex::new(talk)), databases };
        server.ask(None, "ready");
        Arc::new(server)
    }

    /// Ends the server as a power cut would.
    pub(crate) fn stop(&self) {
        self.ask(Some("stop"), "stop");
    }

    /// Starts it again.
    pub(crate) fn restart(&self) {
        self.ask(Some("start"), "start");
    }

    fn ask(&self, command: Option<&str>, expected: &str) {
        let mut talk = self.talk.as_ref().unwrap().lock().unwrap();
        if let Some(command) = command {
            writeln!(talk.0, "{command}").unwrap();
        }
        let line = talk.1.recv_timeout(HANG).unwrap_or_default();
        assert_eq!(line.trim(), expected, "the database server failed: is it there? `make tools` installs it");
    }

    /// An empty database.
    pub(crate) async fn database(self: &Arc<Self>) -> OneDatabase {
        let name = format!("plugd_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let database = OneDatabase { server: Arc::clone(self), name };
        let name = &database.name;
        database.administer(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")).await;
        database.administer(&format!("CREATE DATABASE {name} OWNER {name}")).await;
        database
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The script ends when there is nobody to hear from.
        let Some(Ok((stdin, lines))) = self.talk.take().map(Mutex::into_inner) else { return };
        drop(stdin);
        // Its output ends with it.
        while lines.recv_timeout(HANG).is_ok() {}
        let _ = self.child.try_wait();
    }
}

/// The lines of an output, as they come.
fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

impl OneDatabase {
    /// The address, with the password.
    pub(crate) fn url(&self) -> String {
        self.url_as(&format!("{}:{}", self.name, PASSWORD.replace('@', "%40")), &self.name)
    }

    fn url_as(&self, user: &str, database: &str) -> String {
        let folder = self.server.folder.path().display();
        format!("postgres://{user}@localhost/{database}?host={folder}")
    }

    /// Does something that the database's own user may not.
    async fn administer(&self, statement: &str) {
        let db = Database::connect(self.url_as("admin", "postgres")).await.unwrap();
        db.execute_unprepared(statement).await.unwrap();
        db.close().await.unwrap();
    }

    /// Ends every session of the user, and waits until nothing of them is left: a server that is busy takes its time.
    pub(crate) async fn end_sessions(&self) {
        let name = &self.name;
        let end = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity";
        self.administer(&format!("{end} WHERE usename = '{name}'")).await;
    }

    /// Ends every session of the user and lets none begin.
    pub(crate) async fn lock_out(&self) {
        self.administer(&format!("ALTER ROLE {} NOLOGIN", self.name)).await;
        self.end_sessions().await;
    }

    /// Lets them begin again.
    pub(crate) async fn let_in(&self) {
        self.administer(&format!("ALTER ROLE {} LOGIN", self.name)).await;
    }
}
