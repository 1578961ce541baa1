use std::{fs, os::unix::fs::PermissionsExt};

use futures_util::FutureExt;

use super::*;

fn mk_token(role: Role, expires: Option<Timestamp>) -> (String, AccessToken) {
    let (secret, hash) = mint();
    let id = TokenId::from(xid::new());
    (secret, AccessToken { id, name: "test".into(), role, hash, created: Timestamp::UNIX_EPOCH, expires })
}

fn later(milliseconds: i64) -> Timestamp {
    Timestamp::now() + jiff::SignedDuration::from_millis(milliseconds)
}

#[test]
fn a_secret_is_a_prefix_and_43_characters_and_never_the_same() {
    let (secret, hash) = mint();
    assert_eq!((secret.len(), hash), (49, Sha256::digest(&secret).into()));
    assert!(secret.starts_with("plugd_"));
    assert_ne!(secret, mint().0);
}

#[test]
fn only_the_secret_of_a_token_in_the_table_is_good() {
    let (secret, token) = mk_token(Role::Viewer, None);
    let access = Access::new([token.clone(), mk_token(Role::Admin, None).1]);
    let now = Timestamp::now();
    assert_eq!(access.authenticate(&secret, now).unwrap().token(), &token);
    for wrong in ["", "plugd_", &mint().0, &secret[..48], &format!("{secret} ")] {
        assert!(access.authenticate(wrong, now).is_none(), "{wrong}");
    }
}

#[test]
fn a_hash_that_is_half_the_same_is_another() {
    let (secret, mut token) = mk_token(Role::Admin, None);
    token.hash[31] ^= 1;
    assert!(Access::new([token]).authenticate(&secret, Timestamp::now()).is_none());
}

#[test]
fn a_token_stops_working_when_it_expires() {
    let expires = later(0);
    let (secret, token) = mk_token(Role::Admin, Some(expires));
    let access = Access::new([token]);
    let before = expires - jiff::SignedDuration::from_millis(1);
    assert!(access.authenticate(&secret, before).is_some() && access.has_admin(before));
    assert!(access.authenticate(&secret, expires).is_none() && !access.has_admin(expires));
}

#[tokio::test]
async fn a_revoked_token_stops_working_and_ends_what_was_opened_with_it() {
    let (secret, token) = mk_token(Role::Admin, None);
    let (other_secret, other) = mk_token(Role::Admin, None);
    let access = Access::new([token.clone(), other]);
    let now = Timestamp::now();
    let caller = access.authenticate(&secret, now).unwrap();
    let other = access.authenticate(&other_secret, now).unwrap();
    assert!(caller.ended().now_or_never().is_none());
    access.remove(token.id);
    assert_eq!(caller.ended().now_or_never().unwrap().reason, Reason::Unauthenticated);
    assert!(access.authenticate(&secret, now).is_none());
    assert!(other.ended().now_or_never().is_none());
}

#[tokio::test]
async fn what_was_opened_with_a_token_ends_when_it_expires() {
    let (secret, token) = mk_token(Role::Admin, Some(later(30)));
    let caller = Access::new([token]).authenticate(&secret, Timestamp::UNIX_EPOCH).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), caller.ended()).await.unwrap();
    assert_eq!(ended.message, "the token has expired");
    assert!(!caller.token().is_valid_at(Timestamp::now()));
}

#[test]
fn an_administrators_secret_is_in_a_file_of_their_own() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("admin.token");
    let now = Timestamp::now();
    let (secret, token) = mint_token("admin", Role::Admin, now, None);
    write_secret(&path, &secret).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{secret}\n"));
    assert!(Access::new([token]).authenticate(text.trim_end(), now).unwrap().is_admin());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = write_secret(&path, "another").unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AlreadyExists, "it may be somebody's only key");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_table_that_is_replaced_keeps_who_stays_and_ends_what_the_others_opened() {
    let tokens = [(); 3].map(|()| mk_token(Role::Viewer, None));
    let [(stays, kept), (goes, gone), (comes, new)] = tokens;
    let (access, now) = (Access::new([kept.clone(), gone]), Timestamp::now());
    let [kept_caller, gone_caller] = [&stays, &goes].map(|secret| access.authenticate(secret, now).unwrap());
    access.replace_with(vec![new, kept]);
    assert!(gone_caller.ended().now_or_never().is_some());
    assert!(kept_caller.ended().now_or_never().is_none());
    let works = |secret: &str| access.authenticate(secret, now).is_some();
    assert_eq!([&stays, &goes, &comes].map(|secret| works(secret)), [true, false, true]);
}
