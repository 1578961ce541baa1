//! Whether a page of this server made a request.

/// Is this `Origin` the one that `Host` names? The scheme can't be compared: a proxy may have spoken TLS for this server.
#[must_use]
pub fn is_own(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let without_default_port = |authority| str::strip_suffix(authority, port).unwrap_or(authority).to_ascii_lowercase();
    !authority.is_empty() && without_default_port(authority) == without_default_port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_own_by_host_and_port_whatever_the_case() {
        for origin in
            ["http://plugd.example", "https://PLUGD.example", "http://plugd.example:80", "https://plugd.example:443"]
        {
            assert!(is_own(origin, "plugd.example"), "{origin}");
        }
        assert!(is_own("http://[::1]:8000", "[::1]:8000"));
        assert!(is_own("http://plugd.example", "plugd.example:80"));
    }

    #[test]
    fn what_names_another_place_or_none_is_not_own() {
        for origin in [
            "null",
            "",
            "plugd.example",
            "http://",
            "http://plugd.example:81",
            "http://plugd.example.evil",
            "https://plugd.example:80",
        ] {
            assert!(!is_own(origin, "plugd.example"), "{origin}");
        }
        assert!(!is_own("http://", ""));
    }
}
