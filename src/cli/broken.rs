//! Why a connection can't be made, or broke, in words that help.

use std::{error::Error, io};

use anyhow::Chain;
use tokio_rustls::rustls;

/// The cause at the bottom of an error, and what to do about it if it is one of certificates.
pub(super) fn why(error: &(dyn Error + 'static)) -> (String, Option<&'static str>) {
    let mut chain = Chain::new(error);
    let last = chain.clone().last().unwrap_or(error).to_string();
    match chain.find_map(of_encryption) {
        // No server that encrypts answers so, whatever the client says.
        Some(rustls::Error::InvalidMessage(_)) => {
            ("what answers there does not encrypt".to_owned(), Some(IN_THE_CLEAR))
        }
        Some(error) => (last, about_certificates(error)),
        None => (last, None),
    }
}

const IN_THE_CLEAR: &str = "write its address with http:// instead of https://";

fn of_encryption<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

fn about_certificates(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(_) => Some(
            "the server's certificate must be for the name in the address and not expired; who vouches for it, or \
             the certificate itself, is named with --cacert or PLUGD_CACERT; to try without, --insecure believes anybody",
        ),
        rustls::Error::AlertReceived(_) => {
            Some("the server may want to see a certificate: --cert and --key, or PLUGD_CERT and PLUGD_KEY")
        }
        _ => None,
    }
}
