//! The init that is kept for the next start.

use super::*;

async fn run_to_its_end(fixture: &Fixture) {
    let mut started = fixture.start(mk_shell("exit 0"));
    started.spawned().await;
    started.exited().await;
    started.emptied().await;
}

/// A fixture that has an init to spare, and its keeper.
async fn mk_fixture_that_keeps() -> (Fixture, u32) {
    let fixture = mk_fixture_with(Files::default(), |options| options.sandbox.level = SandboxLevel::Protect);
    let keeper = fixture.keeper().await;
    keeps_one(&fixture, keeper).await;
    (fixture, keeper)
}

/// Waits until plugd has an init to spare, and the keeper no other one. The keeper has it before plugd does.
async fn keeps_one(fixture: &Fixture, keeper: u32) {
    eventually(|| fixture.runtime.inner.kept.is_there() && tree::children(keeper).len() == 1).await;
}

#[tokio::test]
async fn a_start_takes_the_init_that_is_kept_and_has_another_one_made() {
    let (fixture, keeper) = mk_fixture_that_keeps().await;
    let suspended = Suspended::new(keeper);
    run_to_its_end(&fixture).await;
    drop(suspended);
    keeps_one(&fixture, keeper).await;
    run_to_its_end(&fixture).await;
}

#[tokio::test]
async fn an_init_whose_keeper_has_died_is_not_taken() {
    let (fixture, keeper) = mk_fixture_that_keeps().await;
    kill_process(tree::to_pid(keeper).unwrap(), Signal::KILL).unwrap();
    eventually(|| !fixture.runtime.inner.kept.is_there()).await;
    run_to_its_end(&fixture).await;
}

#[tokio::test]
async fn nothing_is_left_of_the_init_that_is_kept_when_nobody_needs_it() {
    let (fixture, keeper) = mk_fixture_that_keeps().await;
    let kept = tree::children(keeper)[0];
    drop(fixture);
    eventually(|| !tree::is_alive(kept) && !tree::is_alive(keeper)).await;
}
