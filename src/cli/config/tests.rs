use super::*;

#[test]
fn a_value_is_taken_by_its_type_in_the_schema_else_by_its_looks() {
    let field =
        ConfigurationField { id: "code".to_owned(), r#type: Type::String.into(), ..ConfigurationField::default() };
    let schema = [field];
    assert_eq!(typed(&schema, "code", "0123".to_owned()), "0123");
    assert_eq!(typed(&schema, "count", "3".to_owned()), 3);
    assert_eq!(typed(&schema, "on", "true".to_owned()), true);
    assert_eq!(typed(&schema, "name", "hello".to_owned()), "hello");
}
