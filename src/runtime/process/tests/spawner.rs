//! A host that is slow to run a program.

#![allow(unsafe_code, reason = "a program that does not start is made by code between fork and exec")]

use std::{
    io::{PipeReader, Read, Write},
    os::unix::process::CommandExt,
    process::Command,
};

use super::*;
use crate::runtime::{
    process::{child, spawner::Job, threads::spawn},
    process_table::{ProcessTable, RunKey},
};

/// A job whose output can be read, and what it printed when all its processes are gone.
fn mk_job(key: RunKey, script: &str) -> (Job, PipeReader) {
    let (reader, stdout) = io::pipe().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdout(stdout);
    command.env("PLUGD_PLUGIN_ID", key.plugin.to_string()).env("PLUGD_RPC_URL", mk_url(key.run));
    (Job { command, key, keeper: None }, reader)
}

/// Has the job's program not start before there is something to read.
fn hold(job: &mut Job, mut until: PipeReader) {
    // SAFETY: reading into a buffer on the stack is async-signal-safe.
    unsafe { job.command.pre_exec(move || until.read_exact(&mut [0])) };
}

#[tokio::test]
async fn a_program_that_does_not_start_holds_up_no_other_and_is_killed_when_it_does() {
    let (held, free) = (mk_key(61), mk_key(62));
    let (until, mut release) = io::pipe().unwrap();
    let (mut job, mut late_output) = mk_job(held, "echo late; exec sleep 1000");
    child::isolate(&mut job.command, Limits::default());
    hold(&mut job, until);
    let blocked = tokio::spawn(spawn(job, Duration::from_millis(500)));
    let error = blocked.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);

    let (job, mut output) = mk_job(free, "echo hello");
    let leader = timeout(DEADLINE, spawn(job, DEADLINE)).await.unwrap().unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
    eventually(|| leader.status().unwrap().is_some()).await;
    leader.reap();

    release.write_all(b"x").unwrap();
    // Its end of the pipe is closed when it is dead, which it would not be for a long time.
    let (ended, gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || ended.send(late_output.read_to_string(&mut String::new())));
    timeout(DEADLINE, gone).await.unwrap().unwrap().unwrap();
    eventually(|| ProcessTable::read().unwrap().leftovers(None, held).is_empty()).await;
}
