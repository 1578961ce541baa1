//! The query with which somebody dials `/rpc`.

#![no_main]

libfuzzer_sys::fuzz_target!(|query: &str| plugd::fuzzing::handshake(query));
