use super::*;

#[test]
fn delays_double_up_to_five_seconds_and_start_anew() {
    let mut backoff = Backoff::default();
    let delays: Vec<u128> = (0..7).map(|_| backoff.next().as_millis()).collect();
    assert_eq!(delays, [250, 500, 1000, 2000, 4000, 5000, 5000]);
    backoff.reset();
    assert_eq!(backoff.next(), FIRST);
}

#[test]
fn only_what_passes_is_tried_again() {
    assert!(is_passing(&Status::unavailable("draining")));
    assert!(is_passing(&Status::cancelled("draining")));
    assert!(is_passing(&Status::from_error(Box::new(std::io::Error::other("reset")))));
    assert!(!is_passing(&Status::permission_denied("no")));
    assert!(!is_passing(&Status::out_of_range("compacted")));
}
