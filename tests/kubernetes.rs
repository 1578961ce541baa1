//! plugd with plugins as pods, against a real API server, its scheduler, and a node that runs pods as processes of this host.
//!
//! `make test-cluster` starts all of it, which is in `tests/kubernetes/`, and runs these. What that node can't show is listed in
//! `docs/kubernetes.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a scenario that can't go on has failed")]
#![allow(clippy::large_futures, reason = "a scenario is one future, and runs once")]
#![allow(dead_code, unused_imports, reason = "the harness has more than these tests need")]

#[path = "kubernetes/claims.rs"]
mod claims;
#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "kubernetes/deployment.rs"]
mod deployment;
#[path = "kubernetes/faults.rs"]
mod faults;
#[path = "kubernetes/gate.rs"]
mod gate;
mod harness;
#[path = "kubernetes/kills.rs"]
mod kills;
#[path = "kubernetes/lone.rs"]
mod lone;
#[path = "kubernetes/outages.rs"]
mod outages;
#[path = "kubernetes/page.rs"]
mod page;
#[path = "kubernetes/replicas.rs"]
mod replicas;
#[path = "kubernetes/runs.rs"]
mod runs;
#[path = "kubernetes/service.rs"]
mod service;
#[path = "kubernetes/speed.rs"]
mod speed;
