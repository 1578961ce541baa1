//! What it takes to put a plugin on the wire.

use std::hint::black_box;

use super::*;
use crate::counts::repeat;

/// One with a manifest like those that are installed.
fn mk_usual() -> Plugin {
    let manifest = json!({
        "id": "greeter", "author": "me", "name": "Greeter", "description": "Greets whoever comes in.", "version": "1.0.0",
        "command": "./greeter", "args": ["--quiet"], "events_consumed": ["EventThreadPublished"],
        "configuration_schema": {"fields": [
            {"id": "greeting", "type": "string", "label": "Greeting", "description": "What it says.", "default": "Hello"},
            {"id": "loud", "type": "boolean", "label": "Loud", "description": "Whether it shouts.", "default": false},
        ]},
    });
    let mut plugin = Plugin { id: PluginId::from_bytes([9; 12]), ..mk_plugin() };
    plugin.desired.manifest = Arc::new(serde_json::from_value(manifest).unwrap());
    plugin
}

#[test]
fn encode() {
    let source = mk_usual();
    repeat(|| assert!(!black_box(plugin(&source).encode_to_vec()).is_empty()));
}
