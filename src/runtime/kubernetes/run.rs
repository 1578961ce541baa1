//! One run from its start, or from where an earlier plugd left it, to its last event.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Inner, claims, output, pod,
    pods::Sight,
    requests,
    status::{self, Ending, Seen, outside},
};
use crate::{
    domain::{Failure, PluginId, RunEvent, RunId, Secret, Stage},
    runtime::{EarlierRun, Run, RunEvents, StartSpec, Wish},
};

/// How long the end of a run waits for the rest of its output: less than a plugin may take to end once it is killed.
const OUTPUT_FIRST: Duration = Duration::from_secs(2);

/// How long a pod is kept for the rest of its output once its plugin has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// How long the deletion of what has ended may take.
const LAST_DELETION: Duration = Duration::from_secs(60);

/// The grace of a pod whose plugin has had its own: the shortest that there is.
const NO_GRACE: Duration = Duration::from_secs(1);

/// The supervisor's end of a run. Dropped without a wish, it leaves the pod as it is.
struct PodRun(watch::Sender<Wish>);

impl Run for PodRun {
    fn stop(&self) {
        Wish::Stop.tell(&self.0);
    }

    fn kill(&self) {
        Wish::Kill.tell(&self.0);
    }

    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// Begins a run.
pub(super) fn start(inner: Arc<Inner>, spec: StartSpec, events: RunEvents) -> impl Run + use<> {
    let (secret, sight) = (spec.token().to_owned().into(), inner.pods.look(spec.run));
    let (follower, run) = Follower::new(inner, (spec.plugin, spec.run), (secret, spec.grace), sight, events);
    tokio::spawn(follower.begin(spec));
    run
}

/// The run of a pod that an earlier plugd made; none if the pod does not tell whose it is.
pub(super) fn earlier(inner: &Arc<Inner>, pod: &Pod) -> Option<EarlierRun> {
    let ((plugin, run), secret, grace) = (pod::whose(pod)?, pod::token(pod)?, pod::grace_of(pod));
    let (inner, token, sight) = (Arc::clone(inner), secret.clone(), inner.pods.look(run));
    let take_over = move |events, patience| {
        let (follower, run) = Follower::new(inner, (plugin, run), (secret, grace), sight, events);
        tokio::spawn(follower.follow((Instant::now() + patience, patience)));
        Box::new(run) as Box<dyn Run>
    };
    let has_ended = matches!(status::read(pod, true), Seen::Over(_));
    Some(EarlierRun { plugin, run, token, has_ended, take_over: Box::new(take_over) })
}

/// Tells what happens to a run, and does what is wished.
struct Follower {
    inner: Arc<Inner>,
    plugin: PluginId,
    run: RunId,
    grace: Duration,
    /// The token of the run.
    secret: Secret,
    sight: watch::Receiver<Sight>,
    wishes: watch::Receiver<Wish>,
    events: RunEvents,
    has_spawned: bool,
    is_cut_off: bool,
    /// Why its start was given up.
    given_up: Option<Failure>,
    output: Option<AbortOnDropHandle<()>>,
    deletion: Option<AbortOnDropHandle<()>>,
}

impl Follower {
    /// With the supervisor's end of the run.
    fn new(
        inner: Arc<Inner>,
        (plugin, run): (PluginId, RunId),
        (secret, grace): (Secret, Duration),
        sight: watch::Receiver<Sight>,
        events: RunEvents,
    ) -> (Self, PodRun) {
        let (wish, wishes) = watch::channel(Wish::Run);
        let follower = Self {
            inner,
            plugin,
            run,
            grace,
            secret,
            sight,
            wishes,
            events,
            has_spawned: false,
            is_cut_off: false,
            given_up: None,
            output: None,
            deletion: None,
        };
        (follower, PodRun(wish))
    }

    /// Says what happens, and where the run is.
    fn tell(&self, event: RunEvent) {
        let placement = || {
            let sight = self.sight.borrow();
            let pod = match &*sight {
                Sight::Nothing => None,
                Sight::Here(pod) | Sight::Gone(pod) => Some(&**pod),
            };
            Some(Box::new(pod::placement(self.inner.api.namespace(), (self.plugin, self.run), pod)))
        };
        (self.events)(match event {
            RunEvent::Spawned { pid, confinement, .. } => {
                RunEvent::Spawned { pid, confinement, placement: placement() }
            }
            RunEvent::SpawnFailed(failure) => RunEvent::SpawnFailed(Failure { placement: placement(), ..failure }),
            RunEvent::TakenAway(failure) => RunEvent::TakenAway(Failure { placement: placement(), ..failure }),
            event => event,
        });
    }

    async fn begin(mut self, spec: StartSpec) {
        let deadline = Instant::now() + spec.prepare_timeout;
        let made = tokio::select! {
            biased;
            wish = self.wishes.wait_for(|wish| *wish > Wish::Run) => Err(wish.is_ok()),
            made = make(&self.inner, &spec, deadline) => Ok(made),
        };
        match made {
            Ok(Ok(pod)) => {
                self.inner.pods.made(pod);
                self.follow((deadline, spec.prepare_timeout)).await;
            }
            Ok(Err(failure)) => {
                self.tell(RunEvent::SpawnFailed(failure));
                // It may have been made though the answer was lost.
                let appeared = self.sight.wait_for(|sight| matches!(sight, Sight::Here(_)));
                if matches!(timeout(LAST_DELETION, appeared).await, Ok(Ok(_))) {
                    self.delete().await;
                }
            }
            // The request for it may have been sent.
            Err(true) => {
                self.tell(RunEvent::GroupEmptied);
                self.delete().await;
            }
            // Nobody hears of it any longer.
            Err(false) => {}
        }
    }

    /// Follows the pod to its end; it has to run by the deadline, which was so far away when its start began.
    async fn follow(mut self, (deadline, limit): (Instant, Duration)) {
        let ending = loop {
            self.carry_out_wish();
            if let Some(ending) = self.look() {
                break ending;
            }
            let is_due = !self.has_spawned && self.given_up.is_none();
            tokio::select! {
                changed = self.sight.changed() => if changed.is_err() { return },
                // Nobody hears of it any longer: plugd goes on without it, or goes.
                changed = self.wishes.changed() => if changed.is_err() { return },
                () = sleep_until(deadline), if is_due => self.give_up(limit),
            }
        };
        let rest = self.take_rest(&ending).await;
        if self.wishes.has_changed().is_err() {
            // The next plugd is told, if the pod is still there.
            return;
        }
        self.tell_end(ending);
        // The pod is taken away after what it printed last.
        if let Some(rest) = rest {
            drop(timeout(LAST_OUTPUT, rest).await);
        }
        self.delete().await;
    }

    fn is_wanted(&self) -> bool {
        *self.wishes.borrow() == Wish::Run && self.given_up.is_none()
    }

    /// Says what is new of the pod; how it ended, if it did.
    fn look(&mut self) -> Option<Ending> {
        let is_wanted = self.is_wanted();
        let seen = match &*self.sight.borrow_and_update() {
            Sight::Nothing => return None,
            Sight::Gone(pod) => return Some(status::gone(pod, is_wanted)),
            Sight::Here(pod) => status::read(pod, is_wanted),
        };
        match seen {
            Seen::Waiting { is_hopeless: true, why } if is_wanted => {
                let why = why.unwrap_or_default();
                self.given_up = Some(outside(Stage::Start, &why).permanent());
                self.begin_deletion(NO_GRACE);
            }
            Seen::Waiting { .. } => {}
            // One that was given up may run all the same until it is deleted.
            Seen::Running if self.given_up.is_some() => {}
            Seen::Running => self.tell_spawned(),
            Seen::CutOff(words) => {
                if !std::mem::replace(&mut self.is_cut_off, true) {
                    self.tell(RunEvent::TakenAway(outside(Stage::Exit, &words)));
                }
            }
            Seen::Over(ending) => return Some(ending),
        }
        None
    }

    fn tell_spawned(&mut self) {
        if !std::mem::replace(&mut self.has_spawned, true) {
            self.tell(RunEvent::Spawned { pid: None, confinement: None, placement: None });
            self.output = Some(self.begin_output());
        }
    }

    /// It does not run in time: what the cluster says to that.
    fn give_up(&mut self, limit: Duration) {
        let why = match &*self.sight.borrow() {
            Sight::Here(pod) => match status::read(pod, true) {
                Seen::Waiting { why: Some(why), .. } => why,
                _ => "the cluster does not say why".to_owned(),
            },
            Sight::Nothing | Sight::Gone(_) => "the cluster has not told of its pod".to_owned(),
        };
        let words = format!("its pod does not run within {} s: {why}", limit.as_secs_f32());
        self.given_up = Some(outside(Stage::Start, &words));
        self.begin_deletion(NO_GRACE);
    }

    fn carry_out_wish(&mut self) {
        if !self.wishes.has_changed().unwrap_or_default() && self.deletion.is_some() {
            return;
        }
        let wish = *self.wishes.borrow_and_update();
        match wish {
            Wish::Run => {}
            Wish::Stop => self.begin_deletion(self.grace),
            Wish::Kill => self.begin_deletion(NO_GRACE),
        }
    }

    fn tell_end(&self, ending: Ending) {
        let is_wanted = self.is_wanted();
        let never_ran = match (&self.given_up, &ending) {
            (Some(failure), _) => Some(failure.clone()),
            (None, Ending::CannotRun(words)) => Some(Failure::new(Stage::Start, words).permanent()),
            (None, Ending::NeverRan(words)) if !self.has_spawned => Some(outside(Stage::Start, words)),
            (None, _) => None,
        };
        match (never_ran, ending) {
            (Some(failure), _) if is_wanted || self.given_up.is_some() => {
                return self.tell(RunEvent::SpawnFailed(failure));
            }
            (None, Ending::Exited(exit)) => {
                if !self.has_spawned {
                    self.tell(RunEvent::Spawned { pid: None, confinement: None, placement: None });
                }
                self.tell(RunEvent::Exited(exit));
            }
            (None, Ending::Ended(words) | Ending::NeverRan(words)) if is_wanted && !self.is_cut_off => {
                self.tell(RunEvent::TakenAway(outside(Stage::Exit, &words)));
            }
            _ => {}
        }
        self.tell(RunEvent::GroupEmptied);
    }

    /// Takes the rest of the output, which is to be in the log when the end is told. What has not come in time goes on to be taken.
    async fn take_rest(&mut self, ending: &Ending) -> Option<AbortOnDropHandle<()>> {
        let has_run = self.has_spawned || matches!(ending, Ending::Exited(_) | Ending::Ended(_));
        if !has_run || self.given_up.is_some() {
            return None;
        }
        let mut output = self.output.take().unwrap_or_else(|| self.begin_output());
        let is_late = timeout(OUTPUT_FIRST, &mut output).await.is_err();
        is_late.then_some(output)
    }

    /// Takes what the plugin prints, in a task of its own.
    fn begin_output(&self) -> AbortOnDropHandle<()> {
        let printed = (self.inner.printed_of)(self.plugin, self.run, &self.secret);
        let (api, name, sight) = (self.inner.api.clone(), pod::name(self.plugin, self.run), self.sight.clone());
        AbortOnDropHandle::new(tokio::spawn(output::take(api, name, sight, printed)))
    }

    /// Deletes the pod in a task of its own, in place of the one before.
    fn begin_deletion(&mut self, grace: Duration) {
        let (inner, name) = (Arc::clone(&self.inner), pod::name(self.plugin, self.run));
        self.deletion = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            requests::delete((inner.api.clone(), &inner.term), name, Some(grace)).await;
        })));
    }

    async fn delete(&self) {
        if !matches!(&*self.sight.borrow(), Sight::Gone(_)) {
            let of = (self.inner.api.clone(), &*self.inner.term);
            let deleted = requests::delete(of, pod::name(self.plugin, self.run), Some(NO_GRACE));
            // What is left then is swept.
            drop(timeout(LAST_DELETION, deleted).await);
        }
    }
}

/// Waits until nothing of an earlier run may live, and for a turn; then makes the pod, after the claim of its volume.
async fn make(inner: &Inner, spec: &StartSpec, deadline: Instant) -> Result<Pod, Failure> {
    let late = |what: &str| outside(Stage::Start, &format!("{what} for {} s", spec.prepare_timeout.as_secs_f32()));
    let alone = timeout_at(deadline, inner.pods.alone(spec.plugin, spec.run)).await;
    alone.map_err(|_| late("the pod of an earlier run has not ended"))?;
    let turn = timeout_at(deadline, inner.turns.acquire()).await;
    let _turn = turn.map_err(|_| late("other pods have been in the making"))?;
    claims::make(inner, spec.plugin, deadline).await?;
    requests::create(inner, spec, deadline).await
}
