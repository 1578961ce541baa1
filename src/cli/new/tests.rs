use super::*;

#[test]
fn an_id_is_made_of_letters_digits_and_single_hyphens() {
    assert_eq!(slug("My  Plugin_2!").as_deref(), Some("my-plugin-2"));
    assert_eq!(slug("…"), None);
}
