//! What is done with plugins: one, or several at once.

use futures_util::{StreamExt, stream};

use super::{
    super::{page::told, plugin},
    *,
};
use crate::{
    api::v1::{ActiveState, DeletePluginRequest, RestartPluginRequest, SetActiveStateRequest},
    domain::text::sanitize,
};

/// Plugins that are changed at the same time: to delete one takes until nothing of it runs.
const AT_ONCE: usize = 16;

/// What can be done with a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Action {
    Start,
    Stop,
    Restart,
    Delete,
}

impl Action {
    pub(in crate::console) const ALL: [Self; 4] = [Self::Start, Self::Stop, Self::Restart, Self::Delete];

    /// What may be done with a plugin to have it run or not. One that runs elsewhere can't be started or stopped.
    pub(in crate::console) fn of(plugin: &Plugin) -> &'static [Self] {
        match plugin.active_state() {
            _ if is_external(plugin) => &[],
            ActiveState::Active => &[Self::Restart, Self::Stop],
            _ => &[Self::Start],
        }
    }

    /// The action that a form names.
    pub(in crate::console) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }

    pub(in crate::console) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Delete => "delete",
        }
    }

    pub(in crate::console) fn label(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Stop => "Stop",
            Self::Restart => "Restart",
            Self::Delete => "Delete",
        }
    }

    /// What has been asked for, as a notice tells it.
    fn done(self) -> &'static str {
        match self {
            Self::Start => "is being started",
            Self::Stop => "is being stopped",
            Self::Restart => "is being restarted",
            Self::Delete => "is deleted",
        }
    }

    pub(in crate::console) fn icon(self) -> Markup {
        let path = match self {
            Self::Start => "M7 5v14l12-7z",
            Self::Stop => "M6 6h12v12H6z",
            Self::Restart => "M19 12a7 7 0 1 1-2.1-5M19 3v5h-5",
            Self::Delete => "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
        };
        html! {
            svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" {
                path d=(path) fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round" stroke-linecap="round" {}
            }
        }
    }
}

/// Does what is asked of the selected plugins, or of the one whose button was pressed. To delete is asked once more.
pub(in crate::console) async fn change(visit: Visit, fields: Fields) -> Result<Response, Problem> {
    let back = fields.text("back").to_owned();
    let single = Action::ALL.into_iter().find(|action| fields.has(action.word()));
    let (action, ids): (Option<Action>, Vec<&str>) = match single {
        Some(action) => (Some(action), fields.all(action.word()).collect()),
        None => (Action::read(fields.text("action")), fields.all("id").collect()),
    };
    let Some(action) = action.filter(|_| !ids.is_empty()) else {
        return Ok(Notice::failed("No plugin was selected.").on(&back));
    };
    let names = names(&visit.api, &ids).await;
    if action == Action::Delete && !fields.has("sure") {
        return Ok(visit.page(ask(&ids, &names, &back)));
    }
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    let ids = ids.into_iter().map(str::to_owned);
    let acts = ids.zip(names).map(|(id, name)| {
        let api = Arc::clone(&visit.api);
        async move { (name, act(&api, action, &id).await) }
    });
    let acts: Vec<_> = stream::iter(acts).buffered(AT_ONCE).collect().await;
    for (name, act) in acts {
        match act {
            Ok(()) => done.push(name),
            Err(problem) => failures.push(format!("{name}: {}", told(problem)?.message())),
        }
    }
    Ok(notice(action, &done, &failures).on(&back))
}

/// Asks the service for it, and does not wait until it has come about: the page shows that.
///
/// # Errors
/// The service's.
async fn act(api: &Api, action: Action, id: &str) -> Result<(), Problem> {
    let (plugin_id, wait) = (id.to_owned(), Some(prost_types::Duration::default()));
    let set = |active_state: ActiveState| SetActiveStateRequest {
        plugin_id: plugin_id.clone(),
        active_state: active_state.into(),
        wait,
        if_generation: None,
    };
    match action {
        Action::Start => drop(api.call(set(ActiveState::Active)).await?),
        Action::Stop => drop(api.call(set(ActiveState::Inactive)).await?),
        Action::Restart => {
            drop(api.call(RestartPluginRequest { plugin_id, wait, if_generation: None }).await?);
        }
        Action::Delete => drop(api.call(DeletePluginRequest { plugin_id, if_generation: None }).await?),
    }
    Ok(())
}

/// What these plugins are called; one that is gone by its id.
async fn names(api: &Api, ids: &[&str]) -> Vec<String> {
    let mut names = Vec::with_capacity(ids.len());
    for id in ids {
        names.push(plugin::find(api, id).await.map_or_else(|_| sanitize(id), |plugin| name(&plugin)));
    }
    names
}

/// The page that asks whether these are to be deleted, by their names.
fn ask(ids: &[&str], names: &[String], back: &str) -> Page {
    let what = if let [name] = names { format!("“{name}”") } else { format!("{} plugins", names.len()) };
    let markup = html! {
        div.card.narrow {
            h1 { "Delete " (what) "?" }
            @if names.len() > 1 { ul { @for name in names { li { (name) } } } }
            p { "It is stopped, and its configuration, its package and its logs are removed. This can't be undone." }
            form method="post" action="/plugins" data-background {
                input type="hidden" name="action" value="delete";
                input type="hidden" name="sure" value="yes";
                input type="hidden" name="back" value=(back);
                @for id in ids { input type="hidden" name="id" value=(id); }
                button.danger autofocus { "Delete " (what) }
                " " a.button.quiet href=(super::super::guard::own_path(back)) { "Keep" }
            }
        }
    };
    Page::new(Section::Plugins, "Delete").fixed("confirm", markup)
}

fn notice(action: Action, done: &[String], failures: &[String]) -> Notice {
    let done = match done {
        [] => String::new(),
        [one] => format!("{one} {}.", action.done()),
        several => format!("{} plugins: each {}.", several.len(), action.done()),
    };
    match failures {
        [] => Notice::done(done),
        failures => Notice::failed(format!("{} {done}", failures.join("; ")).trim().to_owned()),
    }
}
