//! The parts of a node that follows: those that read. What it can't answer itself it passes on to the leader.

use std::sync::Arc;

use anyhow::Context;
use axum::{Router, routing::any};
use tokio_util::sync::CancellationToken;

use super::{
    about, boot::Setup, metrics::Measured, node::Member, options::log_options, place, ports::Answers, role::Role,
    routes,
};
use crate::{
    bus::Hosts,
    cluster::{Follower, Forwarder, WaitFor},
    config::RuntimeProvider,
    grpc::{Access, UsageOf},
    link,
    logs::Logs,
    store::{Feed, Loaded, PackageStore, Store},
    supervisor::{Handle, Packages, Projection},
    telemetry::metrics::Changes,
};

/// What answers at a node that follows this store, its role, and what has it keep up. Streams end when it drains.
///
/// # Errors
/// What is in the way.
pub(super) async fn following(
    setup: &Setup,
    member: &Member,
    (store, loaded, feed): (Store, Loaded, Feed),
    draining: CancellationToken,
) -> anyhow::Result<(Answers, Role, Follower)> {
    let Setup { config, catalog, .. } = setup;
    let projection = Projection::following(loaded.plugins, loaded.head);
    let access = Arc::new(Access::new(loaded.tokens));
    let tokens = Arc::clone(&access);
    let on_tokens = Box::new(move |all| tokens.replace_with(all));
    let follower = Follower::new(feed, projection.clone(), on_tokens, member.address.clone());
    access.look_again(follower.catch_up());
    let forwarder =
        Forwarder::new(member.token.clone(), &member.trust, follower.leader(), wait_for(&follower, &projection));
    let forwarder = forwarder.context("the leader can't be dialled")?;
    let role = Role::Follows { leader: follower.leader(), progress: follower.progress() };

    let handle = Handle::new(projection.clone(), Arc::new(store.clone()), loaded.epoch, draining.clone());
    // Nobody asks for one here.
    let packages = PackageStore::open(&place::packages(config), &loaded.database_id).await?;
    let usage: UsageOf = Arc::new(|_| None);
    let measured = Measured {
        projection,
        changes: Changes::default(),
        store: store.clone(),
        links: link::Metrics::default(),
        usage: usage.clone(),
        listener: setup.listener.clone(),
        memory_limit: config.limit_memory.map(|limit| limit.0),
        cluster: Some(role.clone()),
    };
    let services = routes::Services {
        packages: Arc::new(Packages::new(handle.clone(), packages, catalog.clone())),
        handle,
        logs: Logs::new(config.plugin_dir.clone(), log_options(config)),
        usage,
        about: about::about_follower(setup, &store, role.clone(), &draining),
        health: routes::health(&store, &draining, config.runtime_provider != RuntimeProvider::None),
        store,
        access,
        hosts: Arc::new(Hosts::default()),
        hooks: None,
        catalog: catalog.clone(),
        link: dialled(forwarder.clone()),
        follows: Some((forwarder, follower.progress())),
        draining,
    };
    Ok((routes::answers(config, services, measured)?, role, follower))
}

/// Plugins that dial a node that runs none, and those in pods that fetch their packages from it.
fn dialled(forwarder: Forwarder) -> Router {
    let forward = any(move |request| {
        let forwarder = forwarder.clone();
        async move { forwarder.upgrade(request).await }
    });
    Router::new().route(link::DIALLED, forward.clone()).route(link::PACKAGE, forward)
}

/// Waits for a revision, which it has looked for at once.
fn wait_for(follower: &Follower, projection: &Arc<Projection>) -> WaitFor {
    let (hurry, projection) = (follower.hurry(), Arc::clone(projection));
    Arc::new(move |revision| {
        let projection = Arc::clone(&projection);
        if projection.head() < revision {
            hurry();
        }
        Box::pin(async move { projection.reached(revision).await })
    })
}
