//! Cursors and page tokens, as clients bring them back.

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| plugd::fuzzing::cursor(text));
