use proptest::prelude::*;

use super::*;

#[test]
fn a_supervised_token_has_80_characters_and_starts_with_its_run_in_base64() {
    let run = RunId::from(xid::new());
    let token = mint(run);
    assert_eq!(token.len(), 80);
    assert_eq!(token[..16], URL_SAFE_NO_PAD.encode(run.as_bytes()));
    assert!(!is_external(&token));
    assert_ne!(token, mint(run));
}

#[test]
fn an_external_token_has_the_form_of_10_2() {
    let token = mint_external();
    assert!(is_external(&token), "{token}");
    assert_ne!(token, mint_external());
    assert_eq!(run_of(&token), None);
}

#[test]
fn what_only_starts_like_an_external_token_is_not_one() {
    let token = mint_external();
    for near in [&token[..37], &format!("{token}x"), &format!("{}-", &token[..37]), "sdprt_", ""] {
        assert!(!is_external(near), "{near}");
    }
}

#[test]
fn tokens_are_compared_whole() {
    assert!(is_same("sdprt_a", "sdprt_a"));
    assert!(!is_same("sdprt_a", "sdprt_b"));
    assert!(!is_same("sdprt_a", "sdprt_"));
}

proptest! {
    #[test]
    fn a_token_names_the_run_that_it_was_minted_for(bytes: [u8; 12]) {
        let run = RunId::from_bytes(bytes);
        prop_assert_eq!(run_of(&mint(run)), Some(run));
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = (run_of(&text), is_external(&text), is_same(&text, ""));
    }
}
