//! What existing clients and plugins depend on: a file a section of the contract.

mod s01_transport;
mod s02_shapes;
mod s03_rest;
mod s04_logs;
mod s05_manifest;
mod s06_archive;
mod s07_process;
mod s08_supervised;
mod s09_external;
mod s10_handshake;
mod s11_messages;
mod s12_events;
mod s13_identity;
mod s14_persistence;
mod s15_knobs;
mod s16_errors;
mod s17_sd;
mod s18_admin;
mod s19_defects;
pub(crate) mod support;
