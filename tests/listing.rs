//! ListPlugins: what its filters let through.

use std::collections::BTreeSet;

use plugd::api::v1::{
    ListConfigurationRevisionsRequest, ListPluginsRequest, ListTokensRequest, Plugin, PluginMode, Role,
    UpdateConfigurationRequest,
};
use tonic::Code;

use crate::harness::{Api, Plugd, external_manifest, field_violations};

async fn list(api: &Api, manifest_id: &str, page_size: i32) -> Vec<Plugin> {
    let mut request = ListPluginsRequest {
        manifest_id: Some(manifest_id.to_owned()).filter(|id| !id.is_empty()),
        page_size,
        ..ListPluginsRequest::default()
    };
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

/// The page token of a plugin's history, which has two revisions.
async fn token_of_history(api: &Api, plugin_id: &str) -> String {
    for _ in 0..2 {
        let configuration = Some(prost_types::Struct::default());
        let request =
            UpdateConfigurationRequest { plugin_id: plugin_id.to_owned(), configuration, if_generation: None };
        api.configurations().update_configuration(request).await.unwrap();
    }
    let plugin_id = plugin_id.to_owned();
    let request = ListConfigurationRevisionsRequest { plugin_id, page_size: 1, page_token: String::new() };
    api.configurations().list_configuration_revisions(request).await.unwrap().into_inner().next_page_token
}

#[tokio::test]
async fn a_page_token_is_good_only_for_the_list_and_the_filters_that_gave_it() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let (one, two) = (api.run(&["tame"]).await, api.run(&["tame"]).await);
    api.create_token("second", Role::Viewer).await;
    let plugins = ListPluginsRequest { page_size: 1, ..ListPluginsRequest::default() };
    let tokens = ListTokensRequest { page_size: 1, ..ListTokensRequest::default() };
    let history = ListConfigurationRevisionsRequest { plugin_id: two, ..Default::default() };
    let of_plugins = api.plugins().list_plugins(plugins.clone()).await.unwrap().into_inner().next_page_token;
    let of_tokens = api.access().list_tokens(tokens.clone()).await.unwrap().into_inner().next_page_token;
    let of_history = token_of_history(&api, &one).await;

    let filtered = ListPluginsRequest { mode: PluginMode::Supervised.into(), ..plugins.clone() };
    for (request, page_token) in [(&plugins, &of_tokens), (&plugins, &of_history), (&filtered, &of_plugins)] {
        let request = ListPluginsRequest { page_token: page_token.clone(), ..request.clone() };
        let refused = api.plugins().list_plugins(request).await.unwrap_err();
        assert_eq!(
            (refused.code(), field_violations(&refused)),
            (Code::InvalidArgument, vec!["page_token".to_owned()])
        );
    }
    let request = ListTokensRequest { page_token: of_plugins, ..tokens };
    assert_eq!(field_violations(&api.access().list_tokens(request).await.unwrap_err()), ["page_token"]);
    let request = ListConfigurationRevisionsRequest { page_token: of_history, ..history };
    let refused = api.configurations().list_configuration_revisions(request).await.unwrap_err();
    assert_eq!(field_violations(&refused), ["page_token"], "of another plugin");
}
