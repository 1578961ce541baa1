use proptest::prelude::*;

use super::*;

fn id(value: Value) -> RequestId {
    RequestId::read(value).unwrap()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_frame_with_a_method_is_a_request_11_1() {
    let frame = r#"{"jsonrpc":"2.0","id":"a","method":"get_config","params":{"keys":["x"]}}"#;
    let expected = Request { id: id(json!("a")), method: "get_config".into(), params: json!({"keys": ["x"]}) };
    assert_eq!(read(frame), Inbound::Request(expected));
}

#[test]
fn a_frame_that_is_nested_too_deep_to_parse_reaches_whom_it_is_for() {
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let Inbound::Response(response) = read(&format!(r#"{{"jsonrpc":"2.0","result":{{"x":{deep}}},"id":"a"}}"#)) else {
        panic!("not a response")
    };
    assert_eq!((response.id.as_str(), response.outcome.is_err()), ("a", true));
    let Inbound::Malformed(asked) = read(&format!(r#"{{"id":"a","method":"m","params":{deep}}}"#)) else {
        panic!("no call")
    };
    assert_eq!(asked.reply_to, Some(id(json!("a"))));
    let Inbound::Malformed(nobody) = read(&deep) else { panic!("it means something") };
    assert_eq!(nobody.reply_to, None);
}

/// The parser takes no number beyond the range of a double.
#[test]
fn a_frame_with_a_number_that_is_too_large_reaches_whom_it_is_for() {
    let Inbound::Response(response) = read(r#"{"id":"a","result":{"method":"m","x":[1e400]}}"#) else {
        panic!("not a response")
    };
    assert_eq!((response.id.as_str(), response.outcome.is_err()), ("a", true));
    let Inbound::Malformed(asked) = read(r#"{"id":"a","method":"m","params":{"x":1e400}}"#) else { panic!("no call") };
    assert_eq!(asked.reply_to, Some(id(json!("a"))));
}

#[test]
fn a_frame_without_a_method_is_a_response_11_1() {
    let Inbound::Response(response) = read(r#"{"jsonrpc":"2.0","id":"a","result":{"method":"ping","pong":true}}"#)
    else {
        panic!("not a response")
    };
    assert_eq!(response.id, "a");
    assert_eq!(response.outcome.unwrap()["pong"], true);
}

#[test]
fn a_method_inside_the_result_makes_no_request_11_1() {
    assert!(matches!(read(r#"{"id":"a","result":{"method":"configure","ok":true}}"#), Inbound::Response(_)));
}

#[test]
fn an_error_wins_over_a_null_result_11_1() {
    let Inbound::Response(response) = read(r#"{"id":"a","result":null,"error":{"code":-32601,"message":"no"}}"#) else {
        panic!("not a response")
    };
    assert_eq!(response.outcome, Err(CallError::Refused(RpcError { code: -32601, message: "no".into() })));
}

#[test]
fn an_error_of_any_form_is_an_error() {
    for error in [r#""boom""#, "{}", "7", r#"{"code":"x"}"#] {
        let Inbound::Response(response) = read(&format!(r#"{{"id":"a","error":{error}}}"#)) else { panic!("{error}") };
        assert!(matches!(response.outcome, Err(CallError::Refused(RpcError { code: -32000, .. }))), "{error}");
    }
}

#[test]
fn a_success_without_an_object_is_undecodable() {
    for rest in ["", r#","result":null"#, r#","result":7"#] {
        let Inbound::Response(response) = read(&format!(r#"{{"id":"a"{rest}}}"#)) else { panic!("{rest}") };
        assert!(matches!(response.outcome, Err(CallError::Undecodable(_))), "{rest}");
    }
}

/// It would become another number on its way.
#[test]
fn an_integer_of_more_than_64_bits_is_refused_to_whom_it_concerns() {
    let Inbound::Response(response) = read(r#"{"id":"a","result":{"rows":[18446744073709551617]}}"#) else {
        panic!("not a response")
    };
    let Err(CallError::Undecodable(why)) = response.outcome else { panic!("taken") };
    assert!(why.starts_with("result.rows[0]: the number 18446744073709551617"), "{why}");
    let request = read(r#"{"id":"b","method":"m","params":{"n":18446744073709551617}}"#);
    assert!(matches!(request, Inbound::Malformed(Malformed { reply_to: Some(to), .. }) if to == id(json!("b"))));
    assert!(matches!(read(r#"{"id":"c","result":{"n":1e300}}"#), Inbound::Response(Response { outcome: Ok(_), .. })));
}

#[test]
fn an_id_that_is_no_xid_is_echoed_as_it_came_11_2() {
    for value in [json!("zz not an xid"), json!(""), json!(17), json!(-1), json!(1.5)] {
        let frame = json!({"id": value, "method": "access_get"}).to_string();
        let Inbound::Request(request) = read(&frame) else { panic!("{frame}") };
        assert_eq!(parsed(&response(&request.id, "access_get", Ok(json!({}))))["id"], value);
        assert_eq!(parsed(&failure(&request.id, &RpcError::failed("no")))["id"], value);
    }
}

#[test]
fn what_has_no_id_gets_no_answer() {
    for frame in
        ["", "no", "[]", "7", "{}", r#"{"method":"x"}"#, r#"{"id":null,"method":"x"}"#, r#"{"id":[],"method":"x"}"#]
    {
        assert!(matches!(read(frame), Inbound::Malformed(Malformed { reply_to: None, .. })), "{frame}");
    }
}

#[test]
fn a_method_that_is_no_string_is_refused_to_its_id() {
    let Inbound::Malformed(malformed) = read(r#"{"id":"a","method":7}"#) else { panic!("not malformed") };
    assert_eq!(malformed.reply_to, Some(id(json!("a"))));
}

#[test]
fn deep_nesting_is_malformed_not_a_crash() {
    let deep = "[".repeat(100_000);
    for frame in [deep.clone(), format!(r#"{{"id":"a","method":"x","params":{deep}"#)] {
        assert!(matches!(read(&frame), Inbound::Malformed(_)));
    }
}

#[test]
fn a_request_has_exactly_the_documented_keys_11_3() {
    assert_eq!(
        parsed(&request("i", "ping", None)),
        json!({"jsonrpc": "2.0", "id": "i", "method": "ping"}),
        "no params when there are none"
    );
    assert_eq!(
        parsed(&request("i", "configure", Some(r#"{"a":1}"#))),
        json!({"jsonrpc": "2.0", "id": "i", "method": "configure", "params": {"a": 1}})
    );
}

#[test]
fn a_result_names_its_method_and_the_frame_does_not_11_1() {
    let answer = parsed(&response(&id(json!("i")), "get_config", Ok(json!({"config": {}}))));
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": "i", "result": {"method": "get_config", "config": {}}}));
}

#[test]
fn a_result_names_what_was_asked_whatever_the_host_put_there_11_1() {
    let answer = parsed(&response(&id(json!("i")), "a", Ok(json!({"method": "b"}))));
    assert_eq!(answer["result"]["method"], "a");
}

#[test]
fn an_error_comes_without_any_result_11_1() {
    let refused = RpcError { code: RpcError::METHOD_NOT_FOUND, message: "no such method".into() };
    let answer = parsed(&response(&id(json!("i")), "x", Err(refused)));
    assert_eq!(answer, json!({"jsonrpc": "2.0", "id": "i", "error": {"code": -32601, "message": "no such method"}}));
}

#[test]
fn a_result_that_is_no_object_is_a_failure_11_4() {
    let answer = parsed(&response(&id(json!("i")), "x", Ok(json!(7))));
    assert_eq!(answer["error"]["code"], -32000);
    assert!(answer.get("result").is_none());
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("id|method|params|result|error|code|message|[a-z]", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = read(&text);
    }

    #[test]
    fn no_json_makes_it_panic(value in json_value()) {
        let _ = read(&value.to_string());
    }

    #[test]
    fn a_request_survives_its_text(method in ".*", params in json_value(), id in ".*") {
        let Inbound::Request(read) = read(&request(&id, &method, Some(&params.to_string()))) else {
            return Err(TestCaseError::fail("not a request"));
        };
        prop_assert_eq!((read.id.to_text(), read.method, read.params), (id, method, params));
    }

    #[test]
    fn an_answer_never_reads_as_a_request(id_text in ".*", method in ".*", result in json_value()) {
        let text = response(&id(json!(id_text)), &method, Ok(result));
        let is_response = matches!(read(&text), Inbound::Response(_));
        prop_assert!(is_response);
    }
}
