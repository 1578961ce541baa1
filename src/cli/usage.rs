//! What plugins use of the host, as JSON and in words.

use std::time::Duration;

use indicatif::BinaryBytes;
use serde_json::{Value, json};

pub(super) use crate::api::words::cpu;

use super::show;
use crate::api::v1::{PluginStatus, Usage};

pub(super) fn usage_json(usage: &Usage) -> Value {
    json!({
        "sample_time": show::time(usage.sample_time.as_ref()),
        "memory_bytes": usage.memory_bytes,
        "cpu_seconds": cpu_time(usage).as_secs_f64(),
        "cpu_millis": usage.cpu_millis,
        "processes": usage.processes,
        "open_files": usage.open_files,
        "memory_history": usage.memory_history,
    })
}

/// What a plugin uses, for people; what is not known is empty.
pub(super) fn fields(status: &PluginStatus) -> [(&'static str, String); 4] {
    let Some(usage) = &status.usage else {
        return ["cpu", "memory", "processes", "open files"].map(|name| (name, String::new()));
    };
    [
        ("cpu", cpu(usage).unwrap_or_default()),
        ("memory", memory(usage)),
        ("processes", usage.processes.to_string()),
        ("open files", usage.open_files.map(|count| count.to_string()).unwrap_or_default()),
    ]
}

pub(super) fn memory(usage: &Usage) -> String {
    BinaryBytes(usage.memory_bytes).to_string()
}

fn cpu_time(usage: &Usage) -> Duration {
    usage.cpu_time.and_then(|time| time.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_uses_is_told_in_words_and_as_json() {
        let mut usage = Usage {
            memory_bytes: 12_897_485,
            cpu_time: Some(prost_types::Duration { seconds: 3, nanos: 500_000_000 }),
            processes: 2,
            memory_history: vec![1, 12_897_485],
            ..Usage::default()
        };
        let told = |usage: &Usage| fields(&PluginStatus { usage: Some(usage.clone()), ..PluginStatus::default() });
        let words = told(&usage).map(|(_, words)| words);
        assert_eq!(words, ["", "12.30 MiB", "2", ""], "neither a share nor files are known yet");
        (usage.cpu_millis, usage.open_files) = (Some(1234), Some(7));
        let words = told(&usage).map(|(_, words)| words);
        assert_eq!(words, ["123.4%", "12.30 MiB", "2", "7"]);
        assert_eq!(fields(&PluginStatus::default()).map(|(_, words)| words.len()), [0; 4]);
        let expected = json!({
            "sample_time": null, "memory_bytes": 12_897_485, "cpu_seconds": 3.5, "cpu_millis": 1234, "processes": 2,
            "open_files": 7, "memory_history": [1, 12_897_485],
        });
        assert_eq!(usage_json(&usage), expected);
    }
}
