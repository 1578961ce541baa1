use super::*;

#[test]
fn the_lines_can_be_pasted() {
    let text = commands("http://127.0.0.1:8000", "tok", "abc", "/opt/bin/grpcurl");
    let expected = [
        r#"/opt/bin/grpcurl -plaintext -H 'authorization: Bearer tok' -d '{"plugin_id":"abc"}' 127.0.0.1:8000 plugd.v1.PluginService/GetPlugin"#,
        r#"-d '{"plugin_id":"abc","active_state":"ACTIVE_STATE_INACTIVE"}' 127.0.0.1:8000 plugd.v1.PluginService/SetActiveState"#,
        r#"-d '{"plugin_ids":["abc"],"follow":true}' 127.0.0.1:8000 plugd.v1.LogService/StreamLogs"#,
        r#"curl -X PATCH -H 'authorization: Bearer tok' -H 'content-type: application/json' -d '{"active":"inactive"}' http://127.0.0.1:8000/api/plugins/abc/active"#,
    ];
    for line in expected {
        assert!(text.contains(line), "{text}");
    }
}
