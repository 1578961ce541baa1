//! JSON-RPC as it travels (CONTRACT 11).
//!
//! What 11.1 and 11.2 demand of every message of plugd (its keys, a result's method, canonical ids) is checked by `Wire`
//! on each frame of each test. The 30 s of `configure` are held under paused time
//! (`supervisor::tests::configuration`), the bound on what waits for a plugin in `link::session::tests`.

mod calls;
mod envelope;
mod faults;
mod go;
mod host;
mod nesting;
mod python;
mod robots;
