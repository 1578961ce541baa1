use super::*;

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn headers(parents: &[&str]) -> HeaderMap {
    let mut headers: HeaderMap =
        parents.iter().map(|parent| (TRACEPARENT, HeaderValue::from_str(parent).unwrap())).collect();
    headers.insert(TRACESTATE, HeaderValue::from_static("a=1"));
    headers
}

#[test]
fn the_trace_that_a_caller_names_is_kept_with_all_that_it_says() {
    for parent in [format!("00-{ID}-00f067aa0ba902b7-01"), format!("01-{ID}-00f067aa0ba902b7-00-more")] {
        let (mut headers, before) = (headers(&[&parent]), headers(&[&parent]));
        assert_eq!(TraceId::of(&mut headers).as_str(), ID);
        assert_eq!(headers, before);
    }
}

#[test]
fn what_names_no_trace_gets_a_new_one_which_its_headers_then_name() {
    let good = format!("00-{ID}-00f067aa0ba902b7-01");
    let cases = [
        vec![],
        vec!["nonsense".to_owned()],
        vec![format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))],
        vec![format!("00-{ID}-0000000000000000-01")],
        vec![format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase())],
        vec![format!("ff-{ID}-00f067aa0ba902b7-01")],
        vec![format!("00-{ID}-00f067aa0ba902b7")],
        vec![format!("{good}-more")],
        vec![good.clone(), good],
    ];
    for parents in cases {
        let parents: Vec<_> = parents.iter().map(String::as_str).collect();
        let mut headers = headers(&parents);
        let id = TraceId::of(&mut headers);
        assert!(is_id(id.as_str(), 32) && id.as_str() != ID, "{parents:?} {id:?}");
        assert_eq!(theirs(&headers), Some(id), "{parents:?}");
        assert!(!headers.contains_key(TRACESTATE), "it belongs to the trace that was none");
    }
}

#[test]
fn two_requests_have_two_traces() {
    assert_ne!(TraceId::of(&mut HeaderMap::new()), TraceId::of(&mut HeaderMap::new()));
}
