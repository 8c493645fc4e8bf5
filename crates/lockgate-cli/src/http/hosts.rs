//! Which requests a server answers: those that are addressed to it, and no change that a web page asks for.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, Request, StatusCode, Version, header};

/// Stands for any name.
const ANY: &str = "*";

/// The names that a server is reached by.
pub(super) struct Hosts {
    bound: IpAddr,
    names: Vec<String>,
}

impl Hosts {
    pub(super) fn new(bound: IpAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        Self { bound: bound.to_canonical(), names: names.collect() }
    }

    /// Why a request is not answered.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), (StatusCode, String)> {
        let headers = request.headers();
        let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let named: Vec<&str> = named.chain(request.uri().authority().map(|named| named.as_str())).collect();
        // HTTP/1.0 knows no Host, and no browser speaks it.
        if named.is_empty() && request.version() != Version::HTTP_10 {
            return Err((StatusCode::BAD_REQUEST, String::from("the header Host is missing\n")));
        }
        if let Some(other) = named.iter().find(|host| !self.allows(host)) {
            let text = format!(
                "{other:?} is not a name of this server; add it to worker.hosts in the config (--allow-host of the stand-in)\n"
            );
            return Err((StatusCode::MISDIRECTED_REQUEST, text));
        }
        if changes(request.method()) && is_of_a_page(headers) {
            return Err((StatusCode::FORBIDDEN, String::from("no web page may change anything here\n")));
        }
        Ok(())
    }

    fn allows(&self, host: &str) -> bool {
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        // An address is no name that somebody else could have resolved to this server.
        if let Ok(address) = name.parse::<IpAddr>() {
            let address = address.to_canonical();
            return address.is_loopback() || self.bound.is_unspecified() || address == self.bound;
        }
        name == "localhost" || self.names.iter().any(|known| known == ANY || *known == name)
    }
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

fn changes(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// Browsers say where a change comes from; other programs do not.
fn is_of_a_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bound: &str, method: &str, headers: &[(&str, &str)]) -> Option<StatusCode> {
        let hosts = Hosts::new(bound.parse().unwrap(), &[String::from("Worker-1.Internal")]);
        let request = headers
            .iter()
            .fold(Request::builder().method(method), |r, (name, value)| r.header(*name, *value));
        hosts.check(&request.body(()).unwrap()).err().map(|(status, _)| status)
    }

    #[test]
    fn names_and_addresses_of_the_server_are_answered_and_others_are_not() {
        let refused = Some(StatusCode::MISDIRECTED_REQUEST);
        for (bound, host, status_of) in [
            ("127.0.0.1", "localhost:9464", None),
            ("127.0.0.1", "127.0.0.1:9464", None),
            ("127.0.0.1", "[::1]:9464", None),
            ("127.0.0.1", "worker-1.internal.", None),
            ("127.0.0.1", "evil.example", refused),
            ("127.0.0.1", "localhost.evil.example", refused),
            ("127.0.0.1", "10.0.0.7", refused),
            ("10.0.0.7", "10.0.0.7:9464", None),
            ("10.0.0.7", "10.0.0.8:9464", refused),
            ("0.0.0.0", "10.0.0.8:9464", None),
            ("::", "evil.example", refused),
        ] {
            assert_eq!(status(bound, "GET", &[("host", host)]), status_of, "{bound} {host}");
        }
        assert_eq!(status("::1", "GET", &[]), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status("::1", "GET", &[("host", "localhost"), ("host", "evil.example")]), refused);
    }

    #[test]
    fn a_change_that_a_web_page_asks_for_is_refused() {
        let host = ("host", "localhost");
        assert_eq!(status("::1", "POST", &[host]), None);
        assert_eq!(status("::1", "GET", &[host, ("origin", "https://evil.example")]), None);
        for from in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
        {
            assert_eq!(status("::1", "POST", &[host, from]), Some(StatusCode::FORBIDDEN), "{from:?}");
        }
    }
}
