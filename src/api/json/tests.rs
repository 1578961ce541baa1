use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn an_object_survives_the_way_there_and_back() {
    let object = json!({"a": [1, -2.5, true, null, {"b": "c"}], "big": 9_007_199_254_740_992_i64});
    let Json::Object(object) = object else { unreachable!() };
    assert_eq!(from_struct(&to_struct(&object).unwrap()), object);
}

#[test]
fn an_integer_that_would_change_is_refused_by_name() {
    let error = to_value(&json!({"id": [0, 9_007_199_254_740_993_i64]})).unwrap_err();
    assert_eq!((&*error.path, &*error.number), ("id[1]", "9007199254740993"));
}

#[test]
fn a_number_that_json_can_not_say_is_refused_by_name() {
    for (number, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
        let list = ListValue { values: vec![true.into(), number.into()] };
        let list = Value { kind: Some(Kind::ListValue(list)) };
        let fields = [("a".to_owned(), list)].into_iter().collect();
        let error = read_struct(&Struct { fields }).unwrap_err();
        assert_eq!((&*error.path, &*error.number), ("a[1]", text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_double_survives_the_way_there_and_back(bits: u64) {
        let double = f64::from_bits(bits);
        prop_assume!(double.is_finite());
        let there = from_value(&Value::from(double));
        let again = parse(there.to_string().as_bytes()).unwrap();
        let back = to_value(&again).unwrap().kind;
        prop_assert!(matches!(back, Some(Kind::NumberValue(back)) if back.to_bits() == double.to_bits()), "{there}");
    }
}
