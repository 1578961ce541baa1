//! What comes over the socket between plugd and the init of a run.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plugd::fuzzing::keeper(bytes));
