//! CONTRACT 8, the life of a supervised plugin: its start, its crashes, its end, and every row of 8.7.
//!
//! | from | trigger | held by |
//! |---|---|---|
//! | any not running | spawn requested | `start::a_plugin_goes_through_starting_…_8_7` |
//! | any | WebSocket accepted | `start::spawning_alone_is_not_active_…_8_2`, `crash::a_crash_goes_through_…_8_3` |
//! | running | exit, budget left | `crash::a_crash_goes_through_restarting_…_8_3` |
//! | running | exit, budget spent | `crash::exit_42_at_every_start_…_8_3_must` |
//! | running | stop requested | `stop::leaving_active_closes_the_subscriptions_…_8_7` |
//! | stopping | process exited | `stop::an_exit_code_after_a_stop_…_8_4` |
//! | not running | stop requested | `stop::a_stop_in_error_…_8_4`, `stop::a_stop_during_a_backoff_…_8_4` |
//! | running | host shutting down | `s14_persistence::a_shutdown_stops_the_plugins_…_14` |
//!
//! plugd's own decisions: a lost connection of a process that lives is `connecting`, then a crash (`misbehaviour`); what
//! can never start is not tried again; the backoff has 10 % of jitter. Held elsewhere: every transition, event by event
//! (`domain::lifecycle`), the whole process group (`misbehaviour`), package updates as such (section 3.10), several changes at
//! once (`faults::crowds`).

mod crash;
mod crowds;
mod start;
mod stop;

use serde_json::json;

use crate::harness::{chaos_manifest, packaged};

/// A plugin that runs this script of the shell.
fn script(text: &str) -> Vec<u8> {
    let mut manifest = chaos_manifest(&[]);
    manifest["command"] = json!("sh");
    manifest["args"] = json!(["-c", text]);
    packaged(&manifest)
}
