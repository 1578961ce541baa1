//! ListPlugins: what its filters let through.

use std::collections::BTreeSet;

use plugd::api::v1::{ListPluginsRequest, Plugin};

use crate::harness::{Api, Plugd, external_manifest};

async fn list(api: &Api, manifest_id: &str, page_size: i32) -> Vec<Plugin> {
    let mut request =
        ListPluginsRequest { manifest_id: manifest_id.to_owned(), page_size, ..ListPluginsRequest::default() };
    let mut plugins = Vec::new();
    loop {
        let page = api.plugins().list_plugins(request.clone()).await.unwrap().into_inner();
        plugins.extend(page.plugins);
        if page.next_page_token.is_empty() {
            return plugins;
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn plugins_are_found_by_the_id_in_their_manifest_on_every_page() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let mut wanted = BTreeSet::new();
    for manifest_id in ["mine", "other", "mine", "mine-too"] {
        let plugin = api.register(&external_manifest(manifest_id)).await.unwrap();
        wanted.extend((manifest_id == "mine").then_some(plugin.id));
    }
    for page_size in [0, 1] {
        let found = list(&api, "mine", page_size).await;
        assert_eq!(found.into_iter().map(|plugin| plugin.id).collect::<BTreeSet<_>>(), wanted);
    }
    assert_eq!(list(&api, "nobody", 0).await, []);
    assert_eq!(list(&api, "", 0).await.len(), 4);
}
