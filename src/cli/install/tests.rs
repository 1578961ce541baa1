use super::*;

#[test]
fn versions_are_told_for_a_person() {
    assert_eq!(versions("1", "2"), "version 1 -> version 2");
    assert_eq!(versions("", "2"), "no version -> version 2");
    assert_eq!(versions("2", "2"), "version 2 as before");
}
