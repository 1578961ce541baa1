//! The process of a plugd, and what it says.

use std::{
    io::{BufRead, BufReader},
    process::Child,
    thread,
};

use tokio::sync::watch;

/// A plugd that runs, and what it said.
pub(super) struct Serving {
    pub(super) child: Child,
    pub(super) said: watch::Receiver<Vec<String>>,
}

impl Serving {
    /// The first line that begins so, once it is said.
    pub(super) async fn line(&mut self, start: &str) -> String {
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.starts_with(start)).cloned();
        let lines = self.said.wait_for(|lines| found(lines).is_some()).await;
        match lines.ok().and_then(|lines| found(&lines)) {
            Some(line) => line,
            None => panic!("plugd ended: {}", self.said.borrow().join("\n")),
        }
    }
}

/// Takes the lines that a process prints, in a thread that ends with them.
pub(super) fn collect(output: impl std::io::Read + Send + 'static) -> watch::Receiver<Vec<String>> {
    let (sender, receiver) = watch::channel(Vec::new());
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            sender.send_modify(|lines| lines.push(line));
        }
    });
    receiver
}
