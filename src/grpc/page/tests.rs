use super::*;
use crate::{api::v1::ListPluginsRequest, domain::PluginId};

#[test]
fn a_page_has_at_most_the_most_and_a_negative_size_is_a_fault_of_that_field() {
    assert_eq!([0, 1, 1000, 1001, i32::MAX].map(|asked| size(asked, PLUGINS).unwrap()), [100, 1, 1000, 1000, 1000]);
    for asked in [-1, i32::MIN] {
        assert_eq!(size(asked, PLUGINS).unwrap_err().violations[0].field, "page_size");
    }
}

/// Which messages with so many bytes in them a page of this size takes.
fn taken<const N: usize>(size: i32, items: [usize; N]) -> [bool; N] {
    let mut page = Page::begin(list("ListPlugins", "a"), (size, PLUGINS), "").unwrap();
    items.map(|bytes| page.fill([(vec![0; bytes], 7_u64)]))
}

#[test]
fn a_page_ends_when_the_items_or_the_bytes_are_used_up() {
    assert_eq!(taken(2, [1, 1, 1]), [true, true, false]);
    assert_eq!(taken(100, [PAGE_BYTES - 20, 20, 5]), [true, false, true]);
}

#[test]
fn a_page_has_one_item_however_large() {
    assert_eq!(taken(100, [PAGE_BYTES + 1, 1]), [true, false]);
}

fn list(method: &str, manifest_id: &str) -> Scope {
    Scope::new(method, &ListPluginsRequest { manifest_id: Some(manifest_id.to_owned()), ..Default::default() })
}

#[test]
fn a_token_leads_back_to_its_place() {
    let (place, list) = ((5_u64, PluginId::from(xid::new())), list("ListPlugins", "a"));
    assert_eq!(list.after(&list.token(&place)).unwrap(), Some(place));
    assert_eq!(list.after(&list.token(&7_u64)).unwrap(), Some(7_u64));
    assert_eq!(list.after::<u64>("").unwrap(), None);
}

#[test]
fn a_token_of_another_list_of_other_filters_or_of_nobody_is_refused() {
    let here = list("ListPlugins", "a");
    let place = here.token(&(5_u64, PluginId::from(xid::new())));
    let foreign = [list("ListTokens", "a").token(&7_u64), list("ListPlugins", "b").token(&7_u64), place];
    for text in foreign.iter().map(String::as_str).chain(["x", "é", "cg", "AAAA"]) {
        assert_eq!(here.after::<u64>(text).unwrap_err().violations[0].field, "page_token", "{text}");
    }
}
