//! Why a connection can't be made, or broke, in words that help.

use std::{error::Error, io};

use anyhow::Chain;
use tokio_rustls::rustls;

/// The cause at the bottom of an error, and what to do about it if it is one of certificates.
pub(super) fn why(error: &(dyn Error + 'static)) -> (String, Option<&'static str>) {
    let mut chain = Chain::new(error);
    (chain.clone().last().unwrap_or(error).to_string(), chain.find_map(about_certificates))
}

fn about_certificates(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) => Some(
            "the server's certificate must be for the name in the address and not expired; who vouches for it is named \
             with --cacert or PLUGD_CACERT",
        ),
        rustls::Error::AlertReceived(_) => {
            Some("the server may want to see a certificate: --cert and --key, or PLUGD_CERT and PLUGD_KEY")
        }
        _ => None,
    }
}
