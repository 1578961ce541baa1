//! pm2, through its own library: a line to a script is an order, a line from it says that it is done.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::Manager;
use crate::{
    server::{greeter, target},
    spawn::{serve_one, url},
};

const SCRIPT: &str = include_str!("pm2.js");

pub(super) struct Pm2 {
    /// Its end ends the script, and that the daemon.
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    listener: TcpListener,
    _process: Child,
    _home: TempDir,
}

impl Pm2 {
    pub(super) async fn start() -> Result<Self, String> {
        let modules = target().join("bench/node_modules");
        if !modules.join("pm2").is_dir() {
            return Err("it is not installed; `make bench` does that, if there is npm".to_owned());
        }
        let home = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut command = Command::new("node");
        command.args(["-e", SCRIPT]).arg(greeter()).arg(url(&listener));
        command.env("NODE_PATH", modules).env("PM2_HOME", home.path());
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = spawned.map_err(|error| format!("node: {error}"))?;
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut pm2 = Self { orders, answers, listener, _process: process, _home: home };
        pm2.answered("ready").await?;
        Ok(pm2)
    }

    async fn order(&mut self, order: &str) {
        self.orders.write_all(order.as_bytes()).await.unwrap();
        self.answered("done").await.unwrap();
    }

    /// Waits for this line; what pm2 prints by itself is none of them.
    async fn answered(&mut self, answer: &str) -> Result<(), String> {
        while let Some(line) = self.answers.next_line().await.unwrap() {
            if line == answer {
                return Ok(());
            }
        }
        Err("it ended".to_owned())
    }
}

impl Manager for Pm2 {
    async fn start(&mut self) {
        self.order("start\n").await;
        serve_one(&self.listener).await;
    }

    async fn stop(&mut self) {
        self.order("stop\n").await;
    }
}
