//! supervisord, over XML-RPC on its Unix socket.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, UnixStream},
    time::sleep,
};

use super::Manager;
use crate::{
    rest::{Connection, request},
    server::{greeter, target},
    spawn::{serve_one, url},
};

/// How often it is looked whether it serves, and how long apart.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Supervisord {
    _process: Ended,
    listener: TcpListener,
    connection: Connection<UnixStream>,
    _home: TempDir,
}

impl Supervisord {
    pub(super) async fn start() -> Result<Self, String> {
        let program = target().join("bench/venv/bin/supervisord");
        if !program.is_file() {
            return Err("it is not installed; `make bench` does that".to_owned());
        }
        let home = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let configuration = home.path().join("supervisord.conf");
        fs::write(&configuration, text(&home, &url(&listener))).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Ended(command.spawn().unwrap());
        let connection = Connection::over(connect(&home).await?);
        Ok(Self { _process: process, listener, connection, _home: home })
    }

    async fn call(&mut self, method: &str) {
        let body = format!(
            "<?xml version='1.0'?><methodCall><methodName>supervisor.{method}</methodName><params>\
             <param><value><string>greeter</string></value></param>\
             <param><value><boolean>1</boolean></value></param></params></methodCall>"
        );
        let request = request("POST", "/RPC2", "content-type: text/xml\r\n", body.as_bytes());
        let answer = self.connection.send(&request).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(!answer.contains("<fault>"), "{answer}");
    }
}

/// It is told to end when this is dropped: killed, it would leave its program.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

impl Manager for Supervisord {
    async fn start(&mut self) {
        self.call("startProcess").await;
        serve_one(&self.listener).await;
    }

    async fn stop(&mut self) {
        self.call("stopProcess").await;
    }
}

async fn connect(home: &TempDir) -> Result<UnixStream, String> {
    for _ in 0..TRIES {
        if let Ok(stream) = UnixStream::connect(home.path().join("socket")).await {
            return Ok(stream);
        }
        sleep(PAUSE).await;
    }
    Err("it does not serve".to_owned())
}

fn text(home: &TempDir, url: &str) -> String {
    let (home, greeter) = (home.path().display(), greeter());
    let greeter = greeter.display();
    format!(
        "[supervisord]\nnodaemon=true\nlogfile={home}/log\npidfile={home}/pid\nchildlogdir={home}\n\
         [unix_http_server]\nfile={home}/socket\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [program:greeter]\ncommand={greeter}\nenvironment=PLUGD_RPC_URL=\"{url}\"\n\
         autostart=false\nautorestart=false\nstartsecs=0\nstopsignal=INT\n"
    )
}
