use super::*;
use crate::cli::failure::Exit;

#[test]
fn a_token_is_named_by_its_id_or_by_a_name_that_only_it_has() {
    let mk = |id: &str, name: &str| AccessToken { id: id.to_owned(), name: name.to_owned(), ..AccessToken::default() };
    let tokens = [mk("1", "ci"), mk("2", "twin"), mk("3", "twin"), mk("4", "2")];
    assert_eq!(pick(&tokens, "ci").unwrap(), "1");
    assert_eq!(pick(&tokens, "2").unwrap(), "2", "an id wins over a name");
    assert_eq!(pick(&tokens, "nobody").unwrap_err().exit, Exit::NotFound);
    let failure = pick(&tokens, "twin").unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.hint.unwrap().ends_with(": 2, 3"));
}
