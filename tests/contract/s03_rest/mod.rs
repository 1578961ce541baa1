//! Section 3 of the contract: the collection of plugins over REST, a file for each kind of request.
//!
//! Held elsewhere: what fails everywhere (401, 403, 404, bodies) in `s01_transport`; shapes in `s02_shapes`; the log stream
//! (3.6) in `s04_logs`; what a new token and a new manifest do to connections (3.7, 3.8) in `external`, beside this
//! folder; the same requests through `plugd rest` in `rest_life`.

mod activation;
mod addresses;
mod configuration;
mod external;
mod installs;
mod packages;
mod plugins;
mod updates;
