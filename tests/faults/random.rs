//! `kill -9` of plugd at any moment of a script: what was answered is kept, watchers see all, and nothing is left over.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use plugd::api::v1::{
    ActiveState, GetConfigurationRequest, Plugin, PluginEvent, ReportedState::Active, UpdateConfigurationRequest,
    plugin_event::Kind,
};
use serde_json::json;
use tonic::Status;

use super::{repeat, resumed, rounds};
use crate::{
    contract::support::{replace, settle, version_of, versioned},
    harness::{Api, Plugd, Watch, eventually},
};

const KNOBS: crate::harness::Knobs =
    &[("PLUGD_BACKOFF", "10ms"), ("PLUGD_MAX_BACKOFF", "20ms"), ("PLUGD_GRACE", "50ms")];

/// How long a script is taken to last before one has been seen to its end.
const FIRST_GUESS: Duration = Duration::from_secs(1);
/// After so many rounds the folders are looked at.
const LOOK: usize = 10;

/// What was answered of a plugin.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    active: ActiveState,
    version: u32,
    greeting: Option<usize>,
}

/// A change that was asked for, and what it makes of a plugin. Nothing: it deletes it. No id: it installs one.
type Change = (Option<String>, Option<Known>);

/// What is known of all plugins, and which change has not been answered.
#[derive(Default)]
struct Answered {
    plugins: BTreeMap<String, Known>,
    pending: Option<Change>,
}

impl Answered {
    /// Makes a change that makes this of a plugin.
    async fn change(&mut self, id: &str, known: Option<Known>, change: impl Future<Output = Result<Plugin, Status>>) {
        self.pending = Some((Some(id.to_owned()), known));
        change.await.unwrap();
        match known {
            Some(known) => drop(self.plugins.insert(id.to_owned(), known)),
            None => drop(self.plugins.remove(id)),
        }
        self.pending = None;
    }

    async fn install(&mut self, api: &Api) -> (String, Known) {
        let known = Known { active: ActiveState::Inactive, version: 1, greeting: None };
        self.pending = Some((None, Some(known)));
        let id = api.upload(versioned(1, "tame")).await.unwrap().id;
        self.plugins.insert(id.clone(), known);
        self.pending = None;
        (id, known)
    }

    /// Every kind of change, one after the other.
    async fn script(&mut self, api: &Api, round: usize) {
        let earlier: Vec<_> = self.plugins.keys().cloned().collect();
        let (id, known) = self.install(api).await;
        for id in earlier {
            self.change(&id, None, api.delete(&id)).await;
        }
        let known = Known { active: ActiveState::Active, ..known };
        self.change(&id, Some(known), api.activate(&id)).await;
        let known = Known { greeting: Some(round), ..known };
        self.change(&id, Some(known), configure(api, &id, round)).await;
        let known = Known { version: 2, ..known };
        self.change(&id, Some(known), replace(api, &id, versioned(2, "tame"))).await;
        self.change(&id, Some(Known { active: ActiveState::Inactive, ..known }), api.deactivate(&id)).await;
        self.change(&id, Some(known), api.activate(&id)).await;
    }

    /// Compares it with what there is. Of the change that was not answered either is right.
    async fn check(&mut self, api: &Api) {
        let mut found = BTreeMap::new();
        for plugin in api.list().await.unwrap() {
            let now = read(api, &plugin).await;
            let is_answered = self.plugins.get(&plugin.id) == Some(&now);
            let is_new = !self.plugins.contains_key(&plugin.id);
            let asked = self.pending.as_ref().filter(|(id, _)| id.as_ref().map_or(is_new, |id| *id == plugin.id));
            let is_asked = asked.is_some_and(|(_, known)| *known == Some(now));
            assert!(is_answered || is_asked, "{now:?} is neither {:?} nor {asked:?}", self.plugins.get(&plugin.id));
            found.insert(plugin.id, now);
        }
        for lost in self.plugins.keys().filter(|id| !found.contains_key(*id)) {
            assert_eq!(self.pending, Some((Some(lost.clone()), None)), "{lost} is lost");
        }
        (self.plugins, self.pending) = (found, None);
    }
}

async fn configure(api: &Api, id: &str, round: usize) -> Result<Plugin, Status> {
    let configuration = json!({"greeting": round.to_string()});
    let configuration = plugd::api::json::to_struct(configuration.as_object().unwrap()).unwrap();
    let request = UpdateConfigurationRequest {
        plugin_id: id.to_owned(),
        configuration: Some(configuration),
        if_generation: None,
    };
    let answer = api.configurations().update_configuration(request).await?;
    Ok(answer.into_inner().plugin.unwrap())
}

async fn read(api: &Api, plugin: &Plugin) -> Known {
    let request = GetConfigurationRequest { plugin_id: plugin.id.clone() };
    let answer = api.configurations().get_configuration(request).await.unwrap().into_inner();
    let fields = answer.configuration.map(|fields| plugd::api::json::from_struct(&fields)).unwrap_or_default();
    let greeting = fields.get("greeting").map(|greeting| greeting.as_str().unwrap().parse().unwrap());
    Known { active: plugin.active_state(), version: version_of(plugin), greeting }
}

/// A watcher that resumes after each death of plugd, and what it knows of all plugins.
struct Watcher {
    watch: Watch,
    revision: u64,
    plugins: BTreeMap<String, Plugin>,
}

impl Watcher {
    async fn new(api: &Api) -> Self {
        let watch = api.live().await;
        Self { revision: watch.cursor.revision, watch, plugins: BTreeMap::new() }
    }

    fn take(&mut self, event: PluginEvent) {
        assert_eq!(event.revision, self.revision + 1, "a gap or a repeat");
        self.revision = event.revision;
        match event.kind() {
            Kind::Removed => drop(self.plugins.remove(&event.plugin_id)),
            _ => drop(self.plugins.insert(event.plugin_id, event.plugin.unwrap())),
        }
    }

    /// Takes what comes until the connection ends.
    async fn follow(&mut self) {
        while let Ok(event) = self.watch.event().await {
            self.take(event);
        }
    }

    /// Takes what has come already, and goes on after it.
    async fn resume(&mut self, plugd: &Plugd) {
        while let Some(Ok(event)) = self.watch.event().now_or_never() {
            self.take(event);
        }
        self.watch = resumed(plugd, &self.watch.cursor).await;
    }

    /// Comes to what there is now, which is what everybody else sees.
    async fn check(&mut self, api: &Api) {
        let now = api.live().await.cursor.revision;
        while self.revision < now {
            let event = self.watch.event().await.unwrap();
            self.take(event);
        }
        let desired = |plugin: &Plugin| (plugin.id.clone(), plugin.generation, plugin.active_state());
        let listed: BTreeSet<_> = api.list().await.unwrap().iter().map(desired).collect();
        assert_eq!(self.plugins.values().map(desired).collect::<BTreeSet<_>>(), listed);
    }
}

/// What should run runs, once, and nothing else.
async fn assert_running(plugd: &Plugd, answered: &Answered) {
    for (id, known) in &answered.plugins {
        let is_active = known.active == ActiveState::Active;
        if is_active {
            settle(plugd, id, Active).await;
        }
        assert_eq!(Plugd::processes_of(id).len(), usize::from(is_active), "{id}: {known:?}");
    }
}

/// There is no file of a plugin that is not there, and after another start no package that none refers to.
async fn assert_nothing_left(plugd: &mut Plugd) {
    let plugins = plugd.api().list().await.unwrap();
    let is_known = |file: &String| plugins.iter().any(|plugin| file.starts_with(&format!("plugins/{}/", plugin.id)));
    let of_plugins = || plugd.files().into_iter().filter(|file| file.starts_with("plugins/"));
    eventually("files of deleted plugins are gone", || of_plugins().all(|file| is_known(&file)).then_some(())).await;
    let folders = || plugd.plugin_folders().into_iter();
    let is_of_one = |folder: String| plugins.iter().any(|plugin| plugin.id == folder);
    eventually("folders of deleted plugins are gone", || folders().all(is_of_one).then_some(())).await;
    plugd.kill_9().await;
    plugd.age_packages();
    plugd.restart().await;
    let needed: BTreeSet<_> = plugins
        .iter()
        .flat_map(|plugin| [plugin.package_digest(), plugin.previous_package_digest()])
        .filter(|digest| !digest.is_empty())
        .collect();
    eventually("packages that none needs are gone", || (plugd.packages().len() == needed.len()).then_some(())).await;
}

#[tokio::test]
async fn plugd_is_killed_at_random_moments_of_a_script() {
    let mut plugd = Plugd::with(KNOBS).await;
    let (mut answered, mut watcher) = (Answered::default(), Watcher::new(&plugd.api()).await);
    let (last, mut length) = (rounds(10, 1000), FIRST_GUESS);
    repeat("kill -9 of plugd at a random moment of a script", last, async |round| {
        let api = plugd.api();
        // Half of the scripts come to their end: so there are never many plugins.
        let moment = rand::random_range(Duration::ZERO..2 * length);
        let began = Instant::now();
        let script = async {
            answered.script(&api, round).await;
            length = began.elapsed();
            std::future::pending::<()>().await;
        };
        let both = async {
            tokio::select! {
                () = script => {}
                () = watcher.follow() => panic!("the watch ended before plugd"),
            }
        };
        // It never ends by itself.
        let _ = tokio::time::timeout(moment, both).await;
        plugd.kill_9().await;
        plugd.restart().await;
        let api = plugd.api();
        answered.check(&api).await;
        watcher.resume(&plugd).await;
        assert_running(&plugd, &answered).await;
        watcher.check(&api).await;
        if (round + 1) % LOOK == 0 {
            assert_nothing_left(&mut plugd).await;
            watcher.resume(&plugd).await;
        }
    })
    .await;
}
