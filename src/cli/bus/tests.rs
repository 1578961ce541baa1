use super::*;
use crate::cli::failure::Exit;

#[test]
fn only_an_object_is_taken() {
    assert!(parse_object("{\"a\": 1}", "x").is_ok());
    for text in ["", "[]", "1", "{", "{\"id\": 9007199254740999}"] {
        assert_eq!(parse_object(text, "x").unwrap_err().exit, Exit::Usage, "{text}");
    }
}
