//! plugd: a control plane for plugins.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: a keeper must stay small, and have one thread.
    match plugd::cli::run_helper() {
        Some(ended) => ended,
        None => plugd::cli::parse().run(),
    }
}
