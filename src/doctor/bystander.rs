//! A process that a probe must not be able to reach. It stands for plugd: of the same user, and as closed to others.

use std::{
    io::{self, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::runtime::keeper;

/// The one argument that makes plugd a bystander.
pub const ARGUMENT: &str = "doctor-bystander";

/// Is a bystander until its stdin is closed.
///
/// # Errors
/// It can't be closed to others.
pub fn run() -> io::Result<()> {
    keeper::close_to_others()?;
    io::stdout().write_all(b".")?;
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

/// A bystander that is closed to others. Dropping it ends it.
pub(super) struct Bystander {
    process: Child,
    _life: Option<ChildStdin>,
}

impl Bystander {
    /// Starts one. Blocking, for as long as a program takes to begin.
    pub(super) fn start(program: &str) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(ARGUMENT).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn()?;
        let mut bystander = Self { _life: process.stdin.take(), process };
        let stdout = bystander.process.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdout.read_exact(&mut [0])?;
        Ok(bystander)
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
