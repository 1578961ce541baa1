use std::{fs, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::unix::pipe::{Sender, pipe},
    time::timeout,
};

use super::{
    folder::is_rotated,
    layout::{Epoch, Layout, Segment},
    *,
};

mod faults;
mod files;
mod lines;
mod masks;
mod positions;
mod relays;
mod several;
mod streams;

const DEADLINE: Duration = Duration::from_secs(60);

type Batches = Pin<Box<dyn Streams<Item = io::Result<LogBatch>> + Send>>;

struct Fixture {
    dir: TempDir,
    logs: Logs,
    plugin: PluginId,
    options: Options,
}

impl Fixture {
    fn new(options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        let plugin = PluginId::from(xid::new());
        fs::create_dir(dir.path().join(plugin.to_string())).unwrap();
        Self { logs: Logs::new(dir.path().to_owned(), options), dir, plugin, options }
    }

    fn small(max_bytes: u64) -> Self {
        Self::new(Options { max_bytes, keep: 1000, ..Options::default() })
    }

    /// The same folder after a restart of plugd.
    fn restart(&mut self) {
        self.logs = Logs::new(self.dir.path().to_owned(), self.options);
    }

    fn plugin_dir(&self) -> PathBuf {
        self.dir.path().join(self.plugin.to_string())
    }

    fn folder(&self) -> PathBuf {
        self.plugin_dir().join("logs")
    }

    fn source(&self) -> Source {
        let sandbox = SandboxLevel::Off;
        Source { plugin: self.plugin, run: xid::new().into(), secret: String::new().into(), sandbox }
    }

    /// Begins a run, and answers its stdout and stderr.
    fn capture_both(&self, source: Source) -> [Sender; 2] {
        let ((stdout, out), (stderr, err)) = (pipe().unwrap(), pipe().unwrap());
        self.logs.capture(source, [out, err]);
        [stdout, stderr]
    }

    /// Begins a run that prints to stdout alone.
    fn capture(&self) -> Sender {
        let [stdout, _] = self.capture_both(self.source());
        stdout
    }

    /// A whole run that prints this; returns when its file is put away.
    async fn run(&self, text: &str) {
        let head = self.layout().head + records(text, self.options.max_line).len() as u64;
        let mut pipe = self.capture();
        print(&mut pipe, text).await;
        drop(pipe);
        self.wait_for(|layout| layout.head == head && layout.current().is_none()).await;
    }

    /// Writes these lines of a run as a capture does.
    fn append(&self, dropped: u64, text: &str) {
        self.logs.output(self.plugin).append(None, dropped, &records(text, MAX_LINE));
    }

    fn layout(&self) -> Arc<Layout> {
        self.logs.output(self.plugin).settled().unwrap()
    }

    async fn wait_for(&self, predicate: impl Fn(&Layout) -> bool) {
        let mut view = self.logs.output(self.plugin).watch();
        timeout(DEADLINE, view.wait_for(|view| view.as_deref().is_some_and(&predicate))).await.unwrap().unwrap();
    }

    fn stream(&self, from: From, is_following: bool) -> Batches {
        Box::pin(self.logs.stream(self.plugin, from, Query { is_following, ..Query::default() }))
    }

    async fn lines(&self, from: From) -> Vec<LogLine> {
        self.filtered(from, Filter::default()).await
    }

    async fn filtered(&self, from: From, filter: Filter) -> Vec<LogLine> {
        let stream = self.logs.stream(self.plugin, from, Query { filter, is_following: false });
        let batches: Vec<_> = timeout(DEADLINE, stream.collect()).await.unwrap();
        batches.into_iter().flat_map(|batch| batch.unwrap().lines).collect()
    }

    async fn texts(&self, from: From) -> Vec<String> {
        texts(&self.lines(from).await)
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }
}

/// What is in the file of these lines.
fn records(text: &str, max_line: usize) -> Vec<u8> {
    let (mut records, printed) = (Vec::new(), Printed { bytes: text.as_bytes(), is_last: true, max_line });
    line::record(&mut records, (Timestamp::UNIX_EPOCH, Stream::Stdout), printed);
    records
}

/// What a batch says beside where it is.
fn told(batch: &LogBatch) -> (Vec<String>, bool, bool) {
    (texts(&batch.lines), batch.lines_lost, batch.caught_up)
}

fn texts(lines: &[LogLine]) -> Vec<String> {
    lines.iter().map(|line| line.text.clone()).collect()
}

async fn print(pipe: &mut Sender, text: &str) {
    timeout(DEADLINE, pipe.write_all(text.as_bytes())).await.unwrap().unwrap();
}

async fn next(batches: &mut Batches) -> LogBatch {
    timeout(DEADLINE, batches.next()).await.unwrap().unwrap().unwrap()
}

/// Reads so many lines from a stream.
async fn take(batches: &mut Batches, count: usize) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let batch = next(batches).await;
        assert!(!batch.lines_lost);
        lines.extend(batch.lines);
    }
    lines
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn printed(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

/// Waits until something without a signal of its own is so.
async fn wait_until(predicate: impl Fn() -> bool) {
    let wait = async {
        while !predicate() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap();
}
