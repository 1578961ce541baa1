//! What can be done with the plugin that runs, as lines to paste.

use std::fmt::Write;

use super::{Session, paste, server::Access};
use crate::{
    api::v1::Plugin,
    cli::ui::{Style, sanitize},
};

/// Prints where everything is and how to reach it.
pub(super) fn print(session: &Session, access: &Access, plugin: &Plugin) {
    let (address, token) = (access.address.to_string(), access.token.clone());
    let place = Place { address, token, plugin_id: plugin.id.clone(), grpcurl: paste::grpcurl() };
    let title = format!("  {} runs as {}", sanitize(&plugin.name), plugin.id);
    session.print(&format!("\n{}", session.ui.paint(Style::Bold, &title)));
    session.print(&place.text());
}

/// Where grpcurl is had.
const GRPCURL: &str = "https://github.com/fullstorydev/grpcurl/releases";

/// What the lines name.
struct Place {
    address: String,
    token: String,
    plugin_id: String,
    /// If this host has it.
    grpcurl: Option<String>,
}

impl Place {
    fn text(&self) -> String {
        let Self { address, token, plugin_id, grpcurl } = self;
        let mut text = String::new();
        let id = format!("{{\"plugin_id\":\"{plugin_id}\"}}");
        let state =
            |state: &str| format!("{{\"plugin_id\":\"{plugin_id}\",\"active_state\":\"ACTIVE_STATE_{state}\"}}");
        let calls = [
            ("show it", "GetPlugin", id.clone()),
            ("watch every change", "WatchState", "{}".to_owned()),
            ("stop it", "SetActiveState", state("INACTIVE")),
            ("start it", "SetActiveState", state("ACTIVE")),
            ("follow its log", "StreamLogs", format!("{{\"plugin_id\":\"{plugin_id}\",\"follow\":true}}")),
        ];
        let _ = writeln!(text, "\n  gRPC    {address}\n  REST    http://{address}/api/plugins");
        let _ = writeln!(text, "  plugins ws://{address}/rpc\n  token   {token}\n");
        if grpcurl.is_none() {
            let _ = writeln!(text, "  # grpcurl is not on the PATH: {GRPCURL} has it\n");
        }
        for (what, method, message) in calls {
            let _ = writeln!(text, "  # {what}\n  {}", self.grpcurl(method, &message));
        }
        let _ = writeln!(text, "\n  # the same over REST\n  {}", self.curl("GET", "", None));
        for state in ["inactive", "active"] {
            let _ = writeln!(text, "  {}", self.curl("PATCH", "/active", Some(state)));
        }
        text
    }

    fn grpcurl(&self, method: &str, message: &str) -> String {
        let Self { address, token, .. } = self;
        let header = format!("-H 'authorization: Bearer {token}'");
        let program = self.grpcurl.as_deref().unwrap_or("grpcurl");
        format!("{program} -plaintext {header} -d '{message}' {address} plugd.v1.PluginService/{method}")
    }

    fn curl(&self, method: &str, path: &str, active: Option<&str>) -> String {
        let Self { address, token, plugin_id, .. } = self;
        let body = active.map(|state| format!(" -H 'content-type: application/json' -d '{{\"active\":\"{state}\"}}'"));
        let header = format!("-H 'authorization: Bearer {token}'{}", body.unwrap_or_default());
        format!("curl -X {method} {header} http://{address}/api/plugins/{plugin_id}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_can_be_pasted() {
        let [address, token, plugin_id] = ["127.0.0.1:8000", "tok", "abc"].map(str::to_owned);
        let place = Place { address, token, plugin_id, grpcurl: Some("/opt/bin/grpcurl".to_owned()) };
        let text = place.text();
        assert!(!text.contains(GRPCURL), "{text}");
        let expected = [
            r#"/opt/bin/grpcurl -plaintext -H 'authorization: Bearer tok' -d '{"plugin_id":"abc"}' 127.0.0.1:8000 plugd.v1.PluginService/GetPlugin"#,
            r#"-d '{"plugin_id":"abc","active_state":"ACTIVE_STATE_INACTIVE"}' 127.0.0.1:8000 plugd.v1.PluginService/SetActiveState"#,
            r#"curl -X PATCH -H 'authorization: Bearer tok' -H 'content-type: application/json' -d '{"active":"inactive"}' http://127.0.0.1:8000/api/plugins/abc/active"#,
        ];
        for line in expected {
            assert!(text.contains(line), "{text}");
        }
        let without = Place { grpcurl: None, ..place }.text();
        assert!(without.contains(GRPCURL) && without.contains("  grpcurl -plaintext"), "{without}");
    }
}
