//! Makes this test program a keeper for the tests of runs.

#![allow(unsafe_code, reason = "only what is linked as an initializer comes before the threads of the test program")]

use std::env;

#[used]
#[unsafe(link_section = ".init_array")]
static BECOME_KEEPER: extern "C" fn() = become_keeper;

/// Runs before `main`, which would start threads.
extern "C" fn become_keeper() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == super::ARGUMENT) && arguments.next().is_none() {
        super::sys::exit(i32::from(super::run().is_err()));
    }
}
