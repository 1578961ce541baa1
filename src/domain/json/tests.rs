use proptest::prelude::*;
use serde_json::json;

use super::*;

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) })
}

#[test]
fn thirty_levels_are_fine_and_one_more_is_not() {
    assert!(!is_too_deep(&json!(1)));
    assert!(!is_too_deep(&nested(MAX_DEPTH)));
    assert!(is_too_deep(&nested(MAX_DEPTH + 1)));
}

#[test]
fn the_value_that_is_too_deep_is_named() {
    let object = |levels| Map::from_iter([("fine".to_owned(), json!(1)), ("deep".to_owned(), nested(levels))]);
    assert!(require_shallow("params", &object(MAX_DEPTH)).is_ok());
    assert_eq!(require_shallow("params", &object(MAX_DEPTH + 1)).unwrap_err().violations[0].field, "params.deep");
}

#[test]
fn a_text_that_is_too_deep_to_parse_is_told_from_one_that_is_no_json() {
    let error = |text: &str| serde_json::from_str::<Value>(text).unwrap_err();
    assert!(is_too_deep_to_parse(&error(&"[".repeat(1000))));
    assert!(!is_too_deep_to_parse(&error("[")));
}

fn refusal(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn an_integer_of_more_than_64_bits_is_refused_with_its_place() {
    let text = r#"{"a": {"b": [1, 2.5, 18446744073709551616]}, "c": "18446744073709551616"}"#;
    let words = "the number 18446744073709551616 can't be carried exactly; send it as a string";
    assert_eq!(refusal(text), format!("a.b[2]: {words}"));
    assert_eq!(refusal(r#"{"n":-9223372036854775809}"#).split(':').next(), Some("n"));
    assert_eq!(refusal(r#"["a\\\"[", 1e300, {"k": 300000000000000000000}]"#).split(':').next(), Some("[2].k"));
    assert!(matches!(parse(b"{"), Err(Unreadable::NotJson(_))));
}

#[test]
fn what_64_bits_hold_is_read_as_it_is() {
    let text = r#"{"largest":18446744073709551615,"smallest":-9223372036854775808,"wide":1e300,"zero":-0.0}"#;
    assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text.replace("1e300", "1e+300"));
}

#[test]
fn digits_in_a_text_or_a_key_are_no_number() {
    let text = r#"{"18446744073709551616":["18446744073709551616","\\","\"18446744073709551616"]}"#;
    assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
}

#[test]
fn an_integer_beyond_2_53_has_its_place_told() {
    let value = json!({"fine": EXACT, "list": [{"id": EXACT + 1}]});
    let found = inexact_in(value.as_object().unwrap()).unwrap();
    assert_eq!((&*found.path, &*found.number), ("list[0].id", "9007199254740993"));
    let inexact = |value: Value| find(&value, &|number| !is_exact(number));
    assert_eq!(inexact(json!([-9_007_199_254_740_992_i64, 1e300, 0, 100_000_000_000_000_000_u64, 1_u64 << 63])), None);
    assert!(inexact(json!(u64::MAX)).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// 12 % of all doubles came back changed in their last place.
    #[test]
    fn every_double_comes_back_from_its_text(bits: u64) {
        let double = f64::from_bits(bits);
        prop_assume!(double.is_finite());
        let text = serde_json::to_string(&double).unwrap();
        let read = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(read.as_f64().map(f64::to_bits), Some(double.to_bits()), "{}", text);
    }

    /// Taken as it is, or refused.
    #[test]
    fn every_integer_comes_back_or_is_refused(integer: i128, shift in 0_u32..128) {
        let integer = integer >> shift;
        let text = integer.to_string();
        match parse(text.as_bytes()) {
            Ok(read) => prop_assert_eq!(read.to_string(), text),
            Err(_) => prop_assert!(i64::try_from(integer).is_err() && u64::try_from(integer).is_err()),
        }
    }
}
