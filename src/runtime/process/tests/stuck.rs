//! A disk that has stopped a thread.

use tokio::task::spawn_blocking;

use super::*;

/// A package whose files never come, until the sender is dropped. It takes one message when it is asked for them.
struct Stuck(Mutex<std::sync::mpsc::Receiver<()>>);

impl PackageFiles for Stuck {
    fn count(&self) -> usize {
        1
    }

    fn for_each(&self, _: &AtomicUsize, _: &mut FileSink<'_>) -> io::Result<()> {
        let release = self.0.lock().unwrap();
        let _ = (release.recv(), release.recv());
        Ok(())
    }
}

/// Fetches such a package the first time.
fn mk_stuck_fetch(release: std::sync::mpsc::Receiver<()>) -> FetchPackage {
    let stuck = Mutex::new(Some(Stuck(Mutex::new(release))));
    Arc::new(move |_| {
        let stuck = stuck.lock().unwrap().take();
        Box::pin(async move {
            Ok(match stuck {
                Some(stuck) => Box::new(stuck) as Box<dyn PackageFiles>,
                None => Box::new(Files::default()),
            })
        })
    })
}

#[tokio::test]
async fn a_disk_that_hangs_fails_the_next_start_too_and_keeps_no_other_plugin_waiting() {
    let (release, stuck) = std::sync::mpsc::channel::<()>();
    let fixture = mk_runtime_fetching(mk_stuck_fetch(stuck), |options| options.max_concurrent_starts = 1);
    let mk_impatient = || StartSpec { prepare_timeout: Duration::from_secs(1), ..mk_shell("exit 0") };
    let failure = fixture.start(mk_impatient()).failed().await;
    assert!(failure.message.contains("not laid out within"), "{}", failure.message);
    let failure = fixture.start(mk_impatient()).failed().await;
    assert!(failure.message.contains("an earlier start") && !failure.is_permanent, "{}", failure.message);
    let (plugin, run) = (PluginId::from_bytes([50; 12]), xid::new().into());
    let url = mk_url(run).replace(&PLUGIN.to_string(), &plugin.to_string());
    let mut other = fixture.start(StartSpec { plugin, run, url: url.into(), ..mk_shell("exit 0") });
    other.spawned().await;
    other.exited().await;
    other.emptied().await;
    drop(release);
    let mut again = fixture.start(mk_shell("exit 0"));
    again.spawned().await;
    again.exited().await;
    again.emptied().await;
}

#[tokio::test]
async fn a_thread_that_a_disk_has_stopped_holds_no_runtime_that_is_given_up() {
    let (release, stuck) = std::sync::mpsc::sync_channel(0);
    let fixture = mk_runtime_fetching(mk_stuck_fetch(stuck), |_| {});
    let laying = fixture.start(mk_shell("exit 0"));
    let asked = move || release.send(()).map(|()| release);
    let release = spawn_blocking(asked).await.unwrap().unwrap();
    drop(laying);
    fixture.give_up().await;
    drop(release);
}
