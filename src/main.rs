//! plugd: a control plane for plugins.

use std::process::ExitCode;

fn main() -> ExitCode {
    plugd::cli::parse().run()
}
