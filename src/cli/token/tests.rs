use super::*;

#[test]
fn a_token_whose_time_is_up_is_marked() {
    let mk = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
    let at = |seconds| expiry(&AccessToken { expire_time: Some(mk(seconds)), ..AccessToken::default() }, 60);
    assert_eq!((at(60).as_str(), at(61).as_str()), ("1970-01-01T00:01:00Z (expired)", "1970-01-01T00:01:01Z"));
    assert_eq!(expiry(&AccessToken::default(), 60), "never");
}

#[test]
fn a_token_is_named_by_its_id_or_by_a_name_that_only_it_has() {
    let mk = |id: &str, name: &str| AccessToken { id: id.to_owned(), name: name.to_owned(), ..AccessToken::default() };
    let tokens = [mk("1", "ci"), mk("2", "twin"), mk("3", "twin"), mk("4", "2")];
    assert_eq!(pick(&tokens, "ci").unwrap().id, "1");
    assert_eq!(pick(&tokens, "2").unwrap().id, "2", "an id wins over a name");
    assert_eq!(pick(&tokens, "nobody").unwrap_err().exit, Exit::NotFound);
    let failure = pick(&tokens, "twin").unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.hint.unwrap().ends_with("\n    2\n    3"));
}
