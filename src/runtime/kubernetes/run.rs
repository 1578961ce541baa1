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
    runtime::{EarlierRun, Run, RunEvents, StartSpec},
};

/// How long the end of a run waits for the rest of its output: less than a plugin may take to end once it is killed.
const OUTPUT_FIRST: Duration = Duration::from_secs(2);

/// How long a pod is kept for the rest of its output once its plugin has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// How long the deletion of what has ended may take.
const LAST_DELETION: Duration = Duration::from_secs(60);

/// The grace of a pod whose plugin has had its own: the shortest that there is.
const NO_GRACE: Duration = Duration::from_secs(1);

/// What the supervisor wants of a run. Only ever raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Run,
    Stop,
    Kill,
}

/// The supervisor's end of a run. Dropped without a wish, it leaves the pod as it is.
struct PodRun(watch::Sender<Wish>);

impl Run for PodRun {
    fn stop(&self) {
        self.0.send_modify(|wish| *wish = Wish::Stop.max(*wish));
    }

    fn kill(&self) {
        self.0.send_modify(|wish| *wish = Wish::Kill);
    }

    fn pids(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// Begins a run.
pub(super) fn start(inner: Arc<Inner>, spec: StartSpec, events: RunEvents) -> impl Run + use<> {
    let (wishes, wished) = watch::channel(Wish::Run);
    let (plugin, run, grace) = (spec.plugin, spec.run, spec.grace);
    let (secret, sight) = (spec.token().to_owned().into(), inner.pods.look(run));
    let events = placed(&inner, (plugin, run), sight.clone(), events);
    let follower = Follower { inner, plugin, run, grace, secret, sight, wishes: wished, events };
    tokio::spawn(follower.begin(spec));
    PodRun(wishes)
}

/// The run of a pod that an earlier plugd made; none if the pod does not tell whose it is.
pub(super) fn earlier(inner: &Arc<Inner>, pod: &Pod) -> Option<EarlierRun> {
    let ((plugin, run), secret, grace) = (pod::whose(pod)?, pod::token(pod)?, pod::grace_of(pod));
    let (inner, token, sight) = (Arc::clone(inner), secret.clone(), inner.pods.look(run));
    let take_over = move |events, patience| {
        let (wishes, wished) = watch::channel(Wish::Run);
        let events = placed(&inner, (plugin, run), sight.clone(), events);
        let follower = Follower { inner, plugin, run, grace, secret, sight, wishes: wished, events };
        tokio::spawn(follower.follow((Instant::now() + patience, patience)));
        Box::new(PodRun(wishes)) as Box<dyn Run>
    };
    let has_ended = matches!(status::read(pod, true), Seen::Over(_));
    Some(EarlierRun { plugin, run, token, has_ended, take_over: Box::new(take_over) })
}

/// Tells the same, and where the run is.
fn placed(inner: &Inner, of: (PluginId, RunId), sight: watch::Receiver<Sight>, events: RunEvents) -> RunEvents {
    let namespace = inner.api.namespace().map(ToOwned::to_owned);
    Box::new(move |event| {
        let placement = || {
            let sight = sight.borrow();
            let pod = match &*sight {
                Sight::Nothing => None,
                Sight::Here(pod) | Sight::Gone(pod) => Some(&**pod),
            };
            Some(Box::new(pod::placement(namespace.as_deref(), of, pod)))
        };
        events(match event {
            RunEvent::Spawned { pid, confinement, .. } => {
                RunEvent::Spawned { pid, confinement, placement: placement() }
            }
            RunEvent::SpawnFailed(failure) => RunEvent::SpawnFailed(Failure { placement: placement(), ..failure }),
            RunEvent::TakenAway(failure) => RunEvent::TakenAway(Failure { placement: placement(), ..failure }),
            event => event,
        });
    })
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
}

/// What has been said and done of a run.
#[derive(Default)]
struct Progress {
    has_spawned: bool,
    is_cut_off: bool,
    /// Why its start was given up.
    given_up: Option<Failure>,
    output: Option<AbortOnDropHandle<()>>,
    deletion: Option<AbortOnDropHandle<()>>,
}

impl Follower {
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
                (self.events)(RunEvent::SpawnFailed(failure));
                // It may have been made though the answer was lost.
                let appeared = self.sight.wait_for(|sight| matches!(sight, Sight::Here(_)));
                if matches!(timeout(LAST_DELETION, appeared).await, Ok(Ok(_))) {
                    self.delete(NO_GRACE).await;
                }
            }
            // The request for it may have been sent.
            Err(is_stopped) => {
                if is_stopped {
                    (self.events)(RunEvent::GroupEmptied);
                    self.delete(NO_GRACE).await;
                }
            }
        }
    }

    /// Follows the pod to its end; it has to run by the deadline, which was so far away when its start began.
    async fn follow(mut self, (deadline, limit): (Instant, Duration)) {
        let mut progress = Progress::default();
        let ending = loop {
            self.carry_out_wish(&mut progress);
            if let Some(ending) = self.look(&mut progress) {
                break ending;
            }
            let is_due = !progress.has_spawned && progress.given_up.is_none();
            tokio::select! {
                changed = self.sight.changed() => if changed.is_err() { return },
                // Nobody hears of it any longer: plugd goes on without it, or goes.
                changed = self.wishes.changed() => if changed.is_err() { return },
                () = sleep_until(deadline), if is_due => self.give_up(&mut progress, limit),
            }
        };
        let rest = self.take_rest(&mut progress, &ending).await;
        if self.wishes.has_changed().is_err() {
            // The next plugd is told, if the pod is still there.
            return;
        }
        self.tell_end(&progress, ending);
        self.clean_up(rest).await;
    }

    fn is_wanted(&self, progress: &Progress) -> bool {
        *self.wishes.borrow() == Wish::Run && progress.given_up.is_none()
    }

    /// Says what is new of the pod; how it ended, if it did.
    fn look(&mut self, progress: &mut Progress) -> Option<Ending> {
        let is_wanted = self.is_wanted(progress);
        let seen = match &*self.sight.borrow_and_update() {
            Sight::Nothing => return None,
            Sight::Gone(pod) => return Some(status::gone(pod, is_wanted)),
            Sight::Here(pod) => status::read(pod, is_wanted),
        };
        match seen {
            Seen::Waiting { is_hopeless: true, why } if is_wanted => {
                let why = why.unwrap_or_default();
                progress.given_up = Some(outside(Stage::Start, &why).permanent());
                progress.deletion = Some(self.deletion(NO_GRACE));
            }
            Seen::Waiting { .. } => {}
            // One that was given up may run all the same until it is deleted.
            Seen::Running if progress.given_up.is_some() => {}
            Seen::Running => self.tell_spawned(progress),
            Seen::CutOff(words) => {
                if !std::mem::replace(&mut progress.is_cut_off, true) {
                    (self.events)(RunEvent::TakenAway(outside(Stage::Exit, &words)));
                }
            }
            Seen::Over(ending) => return Some(ending),
        }
        None
    }

    fn tell_spawned(&self, progress: &mut Progress) {
        if !std::mem::replace(&mut progress.has_spawned, true) {
            (self.events)(RunEvent::Spawned { pid: None, confinement: None, placement: None });
            progress.output = Some(self.output());
        }
    }

    /// It does not run in time: what the cluster says to that.
    fn give_up(&mut self, progress: &mut Progress, limit: Duration) {
        let why = match &*self.sight.borrow() {
            Sight::Here(pod) => match status::read(pod, true) {
                Seen::Waiting { why: Some(why), .. } => why,
                _ => "the cluster does not say why".to_owned(),
            },
            Sight::Nothing | Sight::Gone(_) => "the cluster has not told of its pod".to_owned(),
        };
        let words = format!("its pod does not run within {} s: {why}", limit.as_secs_f32());
        progress.given_up = Some(outside(Stage::Start, &words));
        progress.deletion = Some(self.deletion(NO_GRACE));
    }

    fn carry_out_wish(&mut self, progress: &mut Progress) {
        if !self.wishes.has_changed().unwrap_or_default() && progress.deletion.is_some() {
            return;
        }
        let wish = *self.wishes.borrow_and_update();
        match wish {
            Wish::Run => {}
            Wish::Stop => progress.deletion = Some(self.deletion(self.grace)),
            Wish::Kill => progress.deletion = Some(self.deletion(NO_GRACE)),
        }
    }

    fn tell_end(&self, progress: &Progress, ending: Ending) {
        let tell = |event| (self.events)(event);
        let is_wanted = self.is_wanted(progress);
        let never_ran = match (&progress.given_up, &ending) {
            (Some(failure), _) => Some(failure.clone()),
            (None, Ending::CannotRun(words)) => Some(Failure::new(Stage::Start, words).permanent()),
            (None, Ending::NeverRan(words)) if !progress.has_spawned => Some(outside(Stage::Start, words)),
            (None, _) => None,
        };
        match (never_ran, ending) {
            (Some(failure), _) if is_wanted || progress.given_up.is_some() => {
                return tell(RunEvent::SpawnFailed(failure));
            }
            (None, Ending::Exited(exit)) => {
                if !progress.has_spawned {
                    tell(RunEvent::Spawned { pid: None, confinement: None, placement: None });
                }
                tell(RunEvent::Exited(exit));
            }
            (None, Ending::Ended(words) | Ending::NeverRan(words)) if is_wanted && !progress.is_cut_off => {
                tell(RunEvent::TakenAway(outside(Stage::Exit, &words)));
            }
            _ => {}
        }
        tell(RunEvent::GroupEmptied);
    }

    /// Takes the rest of the output, which is to be in the log when the end is told. What has not come in time goes on to be taken.
    async fn take_rest(&self, progress: &mut Progress, ending: &Ending) -> Option<AbortOnDropHandle<()>> {
        let has_run = progress.has_spawned || matches!(ending, Ending::Exited(_) | Ending::Ended(_));
        if !has_run || progress.given_up.is_some() {
            return None;
        }
        let mut output = progress.output.take().unwrap_or_else(|| self.output());
        let is_late = timeout(OUTPUT_FIRST, &mut output).await.is_err();
        is_late.then_some(output)
    }

    /// Takes the pod away, after what it printed last.
    async fn clean_up(&self, rest: Option<AbortOnDropHandle<()>>) {
        if let Some(rest) = rest {
            drop(timeout(LAST_OUTPUT, rest).await);
        }
        self.delete(NO_GRACE).await;
    }

    /// Takes what the plugin prints, in a task of its own.
    fn output(&self) -> AbortOnDropHandle<()> {
        let printed = (self.inner.printed_of)(self.plugin, self.run, &self.secret);
        let (api, name, sight) = (self.inner.api.clone(), pod::name(self.plugin, self.run), self.sight.clone());
        AbortOnDropHandle::new(tokio::spawn(output::take(api, name, sight, printed)))
    }

    /// Deletes the pod in a task of its own, in place of the one before.
    fn deletion(&self, grace: Duration) -> AbortOnDropHandle<()> {
        let (inner, name) = (Arc::clone(&self.inner), pod::name(self.plugin, self.run));
        AbortOnDropHandle::new(tokio::spawn(async move {
            requests::delete((inner.api.clone(), &inner.term), name, Some(grace)).await;
        }))
    }

    async fn delete(&self, grace: Duration) {
        if !matches!(&*self.sight.borrow(), Sight::Gone(_)) {
            let of = (self.inner.api.clone(), &*self.inner.term);
            let deleted = requests::delete(of, pod::name(self.plugin, self.run), Some(grace));
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
