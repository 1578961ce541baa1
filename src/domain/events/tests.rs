use super::*;

#[test]
fn a_name_begins_with_a_letter_and_has_at_most_128_characters() {
    for name in ["a", "EventPostLiked", "order.paid", "a-b_c.9", &"x".repeat(128)] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "9a", ".a", "_a", "a b", "a/b", "é", "aé", "a\n", &"x".repeat(129)] {
        assert!(!is_name(name), "{name}");
    }
}

#[test]
fn a_catalogue_of_its_own_knows_exactly_its_names() {
    let catalog = EventCatalog::from_names(["order.paid", "7 dwarfs"]);
    assert!(catalog.has("order.paid") && catalog.has("7 dwarfs"));
    assert!(!catalog.has("order.sent"));
    assert!(EventCatalog::any().has("order.sent"));
    assert!(!EventCatalog::any().has("7 dwarfs"));
}

#[test]
fn a_catalogue_is_replaced_for_all_who_hold_it() {
    let catalog = EventCatalog::from_names(["order.paid"]);
    let held = catalog.clone();
    catalog.replace_with(&EventCatalog::from_names(["order.sent"]));
    assert!(held.has("order.sent") && !held.has("order.paid"));
    catalog.replace_with(&EventCatalog::any());
    assert!(held.is_any() && held.has("order.paid"));
}
