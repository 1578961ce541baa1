//! Somebody who does what a page of `docs` says.
//!
//! In a block that is fenced as `console`, a line behind `$ ` is a command, which must succeed; one that ends with a
//! backslash goes on in the next. A line without one is part of what the command before it prints. A command that begins with
//! `plugd serve` goes on until a line `^C`. What stands behind `# ` is for root on a real host: scripts in `packaging` do that, on
//! hosts that they make. What other fences hold is not run.

use std::{fs, iter::Peekable, net::SocketAddr, path::Path};

use tempfile::TempDir;
use tokio::process::Command;

use super::{Run, Running, cluster::free_address, program, repository, search_path};

/// What a page has its reader do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// A command that ends, with lines that it prints.
    Run { command: String, prints: Vec<String> },
    /// A server that goes on.
    Serve(String),
    /// Its end.
    Interrupt,
}

/// The steps of a page.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "```console" {
            block(&mut lines, &mut steps);
        }
    }
    steps
}

fn block<'a>(lines: &mut Peekable<impl Iterator<Item = &'a str>>, steps: &mut Vec<Step>) {
    while let Some(line) = lines.next().filter(|line| *line != "```") {
        match (line.split_once(' '), steps.last_mut()) {
            (Some(("$", first)), _) => steps.push(step(whole(first, lines))),
            (Some(("#", first)), _) => drop(whole(first, lines)),
            _ if line == "^C" => steps.push(Step::Interrupt),
            (_, Some(Step::Run { prints, .. })) => prints.push(line.to_owned()),
            _ => {}
        }
    }
}

/// A command with the lines in which it goes on.
fn whole<'a>(first: &str, lines: &mut Peekable<impl Iterator<Item = &'a str>>) -> String {
    let mut command = first.to_owned();
    while command.ends_with('\\') {
        command.pop();
        command.push_str(lines.next().unwrap_or_default().trim_start());
    }
    command
}

fn step(command: String) -> Step {
    let is_server = command.split(' ').take(2).eq(["plugd", "serve"]);
    if is_server { Step::Serve(command) } else { Step::Run { command, prints: Vec::new() } }
}

/// Does what a page says; `variables` are what it leaves to its reader.
pub(crate) async fn follow(page: &str, variables: &[(&str, &str)]) {
    follow_as(&Reader::new(), page, variables).await;
}

pub(crate) async fn follow_as(home: &Reader, page: &str, variables: &[(&str, &str)]) {
    let steps = steps(&fs::read_to_string(repository(&format!("docs/{page}"))).unwrap());
    assert!(steps.len() > 2, "{page} has commands");
    let mut server: Option<Running> = None;
    for step in steps {
        match step {
            Step::Run { command, prints } => {
                let output = home.shell(&command, variables).run_at_length().await;
                assert!(output.status.success(), "{page}: $ {command}\n{output:?}");
                let text = output.text();
                for line in prints {
                    assert!(
                        text.lines().any(|printed| printed == line),
                        "{page}: $ {command}\n{line:?} is not in {text}"
                    );
                }
            }
            Step::Serve(command) => {
                assert!(server.is_none(), "{page}: two servers at a time");
                let mut running = Running::start_reading_stderr(&mut home.shell(&format!("exec {command}"), variables));
                running.find("plugd serves on").await;
                server = Some(running);
            }
            Step::Interrupt => stop(server.take()).await,
        }
    }
    assert!(server.is_none(), "{page}: a server is left running");
}

async fn stop(server: Option<Running>) {
    let server = server.unwrap();
    server.interrupt();
    assert!(server.ended().await.success());
}

/// Somebody who follows a page: in an empty folder, on a machine where nothing else listens where plugd does.
pub(crate) struct Reader {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
}

impl Reader {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("plugd-docs-").tempdir().unwrap();
        Self { folder, address: free_address() }
    }

    fn shell(&self, command: &str, variables: &[(&str, &str)]) -> Command {
        let plugd = Path::new(env!("CARGO_BIN_EXE_plugd")).parent().unwrap();
        let mut bash = program("bash");
        bash.args(["-euo", "pipefail", "-c", command]).current_dir(self.folder.path());
        bash.env("PATH", format!("{}:{}", plugd.display(), search_path())).env("HOME", self.folder.path());
        bash.env("PLUGD_LISTEN", self.address.to_string()).env("ADDRESS", self.address.to_string());
        bash.env("PLUGD_SERVER", format!("http://{}", self.address));
        bash.envs(variables.iter().copied());
        bash
    }
}

#[test]
fn a_page_is_read_as_it_is_meant() {
    let page = "```console\n# apt-get install x\n$ a \\\n    b\nprinted\n# c \\\n    d\n$ plugd serve -x\nserves\n^C\n```\n\
                ```sh\n$ no command\n```\ntext\n";
    let run = Step::Run { command: "a b".to_owned(), prints: vec!["printed".to_owned()] };
    assert_eq!(steps(page), [run, Step::Serve("plugd serve -x".to_owned()), Step::Interrupt]);
}
