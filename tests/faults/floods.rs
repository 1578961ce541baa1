//! Output in amounts that nobody should have to keep.

use std::{fs, path::Path};

use plugd::api::v1::StreamLogsRequest;

use super::{lone::Lone, repeat, rounds};
use crate::harness::{Plugd, within};

/// What may be kept of it: three files that were put away and the one that is written, of these many bytes each.
const FILE: u64 = 1_000_000;
const FILES: u64 = 4;
/// plugd itself, built without optimisation, and what it holds of a plugin's output.
const MEMORY: u64 = 300_000_000;
/// Longer than a line may be in one piece.
const LINE: usize = 10_000_000;

fn size_of(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// The most memory that a process ever had.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn more_output_than_anybody_should_keep() {
    let megabytes = rounds(50, 1000);
    let plugd = Plugd::with(&[("PLUGD_LOG_MAX_BYTES", "1MB"), ("PLUGD_LOG_KEEP", "3"), ("PLUGD_GRACE", "50ms")]).await;
    let api = plugd.api();
    let script = format!("(yes {} | head -c {megabytes}000000; echo; echo poured) & exec chaos tame", "y".repeat(500));
    let plugin = Lone::install_script(&plugd, &script).await;
    let other = Lone::install(&plugd, "tame").await;
    repeat(&format!("{megabytes} MB of output"), rounds(1, 3), async |_| {
        api.activate(&plugin.id).await.unwrap();
        let request = StreamLogsRequest {
            plugin_ids: vec![plugin.id.clone()],
            follow: true,
            tail_lines: Some(0),
            ..Default::default()
        };
        let mut log = api.logs_as(request).await.unwrap();
        api.activate(&other.id).await.unwrap();
        other.stop(&api).await;
        log.until("poured").await;
        let kept = size_of(&plugd.data_dir().join("plugins").join(&plugin.id).join("logs"));
        assert!(kept <= FILE * FILES, "{kept} bytes of log");
        assert!(peak(plugd.pid()) < MEMORY, "{} bytes of memory", peak(plugd.pid()));
        plugin.stop(&api).await;
    })
    .await;
}

#[tokio::test]
async fn a_line_of_ten_megabytes() {
    let plugd = Plugd::with(&[("PLUGD_LOG_MAX_BYTES", "20MB"), ("PLUGD_GRACE", "50ms")]).await;
    let api = plugd.api();
    let script = format!("head -c {LINE} /dev/zero | tr '\\0' x; echo; echo poured; exec chaos tame");
    let plugin = Lone::install_script(&plugd, &script).await;
    let mut log = api.logs(&plugin.id).await;
    repeat("a line of 10 MB", rounds(1, 20), async |_| {
        api.activate(&plugin.id).await.unwrap();
        let lines = within("the line", log.until("poured")).await;
        let of_it: Vec<_> = lines.iter().filter(|line| line.text.starts_with('x')).collect();
        assert_eq!(of_it.iter().map(|line| line.text.len()).sum::<usize>(), LINE, "all of it");
        let pieces: Vec<_> = of_it.iter().map(|line| line.continues).collect();
        assert_eq!(pieces.iter().filter(|continues| !**continues).count(), 1, "one line");
        assert!(of_it.iter().all(|line| line.text.len() <= 64 * 1024));
        assert!(peak(plugd.pid()) < MEMORY, "{} bytes of memory", peak(plugd.pid()));
        plugin.stop(&api).await;
    })
    .await;
}
