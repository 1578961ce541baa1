//! The ways to misbehave.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// A plugin that misbehaves on purpose.
#[derive(Parser)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) mode: Mode,
}

/// How. All but `exit`, `hang` and `linger` connect, and answer like a good plugin unless they say otherwise.
#[derive(Subcommand)]
pub(crate) enum Mode {
    /// Behaves.
    Tame,
    /// Exits at once with this code.
    Exit { code: u8 },
    /// Never connects.
    Hang,
    /// Crashes after some milliseconds: exit code 1, or the signal.
    CrashAfter { after: u64, signal: Option<CrashSignal> },
    /// Crashes if the file is not there yet, having made it; behaves from the second run on.
    CrashOnce { marker: PathBuf },
    /// Ignores SIGINT and SIGTERM, and outlives its connection.
    Stubborn,
    /// Starts a process in its group that ignores SIGINT and SIGTERM and holds stdout.
    Grandchild,
    /// The same, in a session of its own.
    OrphanSetsid,
    /// The child stays.
    #[command(hide = true)]
    Linger {
        #[arg(long)]
        new_session: bool,
    },
    /// Adds a line to a file every 10 ms: when it began, and the time.
    Beat { file: PathBuf },
    /// Never answers.
    Deaf,
    /// Answers after some milliseconds.
    Slow { after: u64 },
    /// Prints many lines; every hundredth is 100 KiB long.
    FloodLogs { lines: u32 },
    /// Prints its environment.
    PrintEnv,
    /// Sends one text frame of this many bytes, a call of `get_config`.
    BigFrame { bytes: usize },
    /// Sends the start of a frame, and nothing more.
    HalfFrame,
    /// Drops each connection after some milliseconds, without a goodbye; dials again if its token allows, else stays.
    Reconnect { after: u64 },
    /// Calls a method of the host once, and prints what comes back.
    Ask { method: String },
}

/// A signal to die of.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CrashSignal {
    Kill,
    Segv,
    Abrt,
}
