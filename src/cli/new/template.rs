//! What a new plugin begins with: a program that runs, and a test of its own.

use clap::ValueEnum;
use serde_json::{Value, json};

/// What a new plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Template {
    /// Python 3.8 or later, without any package
    Python,
    /// Node 20.10 or later, without any package
    Node,
    /// Rust, built by Cargo
    Rust,
    /// A manifest only
    None,
}

/// A file of a template.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    /// Is it a program?
    pub(super) is_program: bool,
}

macro_rules! files {
    ($folder:literal: $($name:literal),+) => {
        &[$(File { name: $name, text: include_str!(concat!("templates/", $folder, "/", $name)), is_program: false }),+]
    };
}

const PYTHON: &[File] = files!("python": "main.py", "plugd.py", "test_main.py");
const NODE: &[File] = files!("node": "main.js", "package.json", "plugd.js", "plugin.js", "plugin.test.js");
const RUST: &[File] = &[
    File { name: ".gitignore", text: "/target/\n/plugin\n", is_program: false },
    File { name: "Cargo.toml", text: include_str!("templates/rust/Cargo.toml"), is_program: false },
    File { name: "build.sh", text: include_str!("templates/rust/build.sh"), is_program: true },
    File { name: "src/main.rs", text: include_str!("templates/rust/src/main.rs"), is_program: false },
    File { name: "src/plugd.rs", text: include_str!("templates/rust/src/plugd.rs"), is_program: false },
];

impl Template {
    /// Its files, beside the manifest.
    pub(super) const fn files(self) -> &'static [File] {
        match self {
            Self::Python => PYTHON,
            Self::Node => NODE,
            Self::Rust => RUST,
            Self::None => &[],
        }
    }

    /// The command in its manifest.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Python => "python3",
            Self::Node => "node",
            Self::Rust | Self::None => "./plugin",
        }
    }

    /// The arguments of the command. Node has its WebSocket behind a flag before version 22; later ones take the flag, too.
    pub(super) const fn args(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["main.py"],
            Self::Node => &["--experimental-websocket", "main.js"],
            Self::Rust | Self::None => &[],
        }
    }

    /// What else its manifest has: what its program knows to handle.
    pub(super) fn about(self) -> Option<Value> {
        let greeting = json!({
            "type": "string",
            "id": "greeting",
            "label": "Greeting",
            "description": "The word that comes first.",
            "default": "Hello",
        });
        (self != Self::None).then(
            || json!({"events_consumed": ["EventThreadPublished"], "configuration_schema": {"fields": [greeting]}}),
        )
    }

    /// The file that says what the plugin does, and the command that tests it within its folder.
    pub(super) const fn next(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Python => Some(("main.py", "python3 -m unittest")),
            Self::Node => Some(("plugin.js", "node --test")),
            Self::Rust => Some(("src/main.rs", "cargo test")),
            Self::None => None,
        }
    }
}
