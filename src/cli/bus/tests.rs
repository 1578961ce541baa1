use super::*;

#[test]
fn only_an_object_that_can_be_carried_is_taken() {
    assert!(message("\u{feff}{\"a\": 1}").is_ok());
    for text in ["", "[]", "1", "{", "{\"id\": 9007199254740999}"] {
        assert!(message(text).is_err(), "{text}");
    }
}
