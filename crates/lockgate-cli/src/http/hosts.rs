//! Checks which requests a server accepts: only those that are addressed to it, and no change that a web page
//! requests.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, Request, StatusCode, Version, header};

/// Matches any name.
const ANY: &str = "*";

/// The addresses and names of a server.
pub(super) struct Hosts {
    bound: IpAddr,
    names: Vec<String>,
}

impl Hosts {
    pub(super) fn new(bound: IpAddr, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        Self { bound: bound.to_canonical(), names: names.collect() }
    }

    /// Returns why a request is refused.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), (StatusCode, String)> {
        let headers = request.headers();
        let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let named: Vec<&str> = named.chain(request.uri().authority().map(|named| named.as_str())).collect();
        // HTTP/1.0 has no Host header, and no browser uses it.
        if named.is_empty() && request.version() != Version::HTTP_10 {
            return Err((StatusCode::BAD_REQUEST, String::from("the header Host is missing\n")));
        }
        if let Some(other) = named.iter().find(|host| !self.allows(host)) {
            let text = format!(
                "{other:?} is not a name of this server; add it to worker.hosts in the config, or to --allow-host of \
                 the fake backend\n"
            );
            return Err((StatusCode::MISDIRECTED_REQUEST, text));
        }
        if changes(request.method()) && is_from_web_page(headers) {
            return Err((
                StatusCode::FORBIDDEN,
                String::from("requests of web pages may not change anything; use another client\n"),
            ));
        }
        Ok(())
    }

    fn allows(&self, host: &str) -> bool {
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        // Only a name can be resolved to this server by somebody else. An address cannot.
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

/// Browsers send the origin of a change; other programs do not.
fn is_from_web_page(headers: &HeaderMap) -> bool {
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
    fn requests_to_other_names_and_addresses_are_refused() {
        let refused = Some(StatusCode::MISDIRECTED_REQUEST);
        for (bound, host, expected) in [
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
            assert_eq!(status(bound, "GET", &[("host", host)]), expected, "{bound} {host}");
        }
        assert_eq!(status("::1", "GET", &[]), Some(StatusCode::BAD_REQUEST));
        assert_eq!(status("::1", "GET", &[("host", "localhost"), ("host", "evil.example")]), refused);
    }

    #[test]
    fn change_requested_by_a_web_page_is_refused() {
        let host = ("host", "localhost");
        assert_eq!(status("::1", "POST", &[host]), None);
        assert_eq!(status("::1", "GET", &[host, ("origin", "https://evil.example")]), None);
        for from in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
        {
            assert_eq!(status("::1", "POST", &[host, from]), Some(StatusCode::FORBIDDEN), "{from:?}");
        }
    }
}
