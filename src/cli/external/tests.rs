use super::*;

#[test]
fn an_external_plugin_dials_the_server_that_was_talked_to() {
    assert_eq!(rpc_url("http://127.0.0.1:8000", "sdprt_x"), "ws://127.0.0.1:8000/rpc?token=sdprt_x");
    assert_eq!(rpc_url("https://plugd.example/", "t"), "wss://plugd.example/rpc?token=t");
}
