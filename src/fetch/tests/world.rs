//! What downloads with the names of a test.

use std::sync::Arc;

pub(super) use crate::outbound::tests::world::{
    CERTIFIED, LOOPBACK, Names, Resolver, Server, asked, in_time, mk_client, mk_listener,
};
use crate::{
    domain::Result,
    fetch::{Options, fetch_with},
    outbound::Rules,
};

/// Options for a server on 127.0.0.1.
pub(super) fn nearby() -> Options {
    Options { allow_private: true, ..Options::default() }
}

/// Fetches with these names, believing the tests' certificate only.
pub(super) async fn fetch_by_name(
    url: &str,
    names: &Arc<impl Resolver + 'static>,
    options: &Options,
) -> Result<bytes::Bytes> {
    let rules = Rules { allow_private: options.allow_private, allow_plain: true };
    in_time(fetch_with(&mk_client(Arc::clone(names), rules), url, options)).await
}
