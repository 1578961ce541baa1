//! The threads that create processes. The parent-death signal comes when the *thread* that forked ends, so these live as
//! long as plugd: a plugin must not die with a worker of tokio, nor with a thread that was replaced.
//!
//! One does all the work, until a program on a file system that hangs holds it up: then another one joins.

use std::{
    collections::VecDeque,
    io,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::spawner::{Job, Leader, create};

/// How long a job waits for the threads that there are before another one joins them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Threads that may be held up at once; beyond that starts fail until one comes back.
const MAX_THREADS: usize = 64;

struct Order {
    job: Job,
    begun: oneshot::Sender<()>,
    reply: oneshot::Sender<io::Result<Leader>>,
}

struct Pool {
    queue: VecDeque<Order>,
    threads: usize,
    /// Of these, the ones that wait for a job.
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { queue: VecDeque::new(), threads: 0, idle: 0 });
static WORK: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates the process, within this time from when its turn comes. One that comes later is killed at once.
///
/// # Errors
/// Why a thread, the process or its program could not be started; `TimedOut` when the host does not come to it.
pub(in crate::runtime::process) async fn spawn(job: Job, limit: Duration) -> io::Result<Leader> {
    let ((begun, is_begun), (reply, answer)) = (oneshot::channel(), oneshot::channel());
    pool().queue.push_back(Order { job, begun, reply });
    timeout(limit, begin(is_begun)).await.map_err(|_| late(limit, "no thread is free to make a process"))??;
    // From here on this job alone is to blame.
    let answer = timeout(limit, answer).await.map_err(|_| late(limit, "the program is not run"))?;
    answer.unwrap_or_else(|_| Err(io::Error::other("the thread that makes processes broke down")))
}

fn late(limit: Duration, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} within {} s", limit.as_secs_f32()))
}

/// Returns when a thread has taken the job.
async fn begin(mut is_begun: oneshot::Receiver<()>) -> io::Result<()> {
    wake_thread()?;
    while timeout(PATIENCE, &mut is_begun).await.is_err() {
        relieve_threads()?;
    }
    Ok(())
}

/// Tells a thread that there is a job; the first job starts the first thread.
fn wake_thread() -> io::Result<()> {
    let mut pool = pool();
    if pool.threads == 0 {
        pool.add_thread()?;
    }
    WORK.notify_one();
    Ok(())
}

/// Has another thread join if all that there are do not come back to the queue.
fn relieve_threads() -> io::Result<()> {
    let mut pool = pool();
    if pool.idle == 0 && pool.threads < MAX_THREADS {
        tracing::warn!(threads = pool.threads, "programs are slow to start; another thread starts others");
        pool.add_thread()?;
    }
    Ok(())
}

impl Pool {
    fn add_thread(&mut self) -> io::Result<()> {
        thread::Builder::new().name("plugd-spawner".into()).spawn(serve)?;
        self.threads += 1;
        self.idle += 1;
        Ok(())
    }
}

fn serve() {
    loop {
        let Order { job, begun, reply } = take();
        // Who gave up meanwhile must not get a process that nobody knows of.
        if !reply.is_closed()
            && begun.send(()).is_ok()
            && let Err(Ok(leader)) = reply.send(create(job))
        {
            leader.abandon();
        }
        pool().idle += 1;
    }
}

fn take() -> Order {
    let mut pool = pool();
    loop {
        if let Some(order) = pool.queue.pop_front() {
            pool.idle -= 1;
            return order;
        }
        pool = WORK.wait(pool).unwrap_or_else(PoisonError::into_inner);
    }
}
