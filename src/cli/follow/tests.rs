use super::*;

#[test]
fn only_what_passes_is_tried_again() {
    assert!(is_passing(&Status::unavailable("draining")));
    assert!(is_passing(&Status::cancelled("draining")));
    assert!(is_passing(&Status::from_error(Box::new(std::io::Error::other("reset")))));
    assert!(!is_passing(&Status::permission_denied("no")));
    assert!(!is_passing(&Status::out_of_range("compacted")));
}
