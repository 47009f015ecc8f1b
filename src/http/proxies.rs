//! `http.trustedproxies`: whose `X-Forwarded-*` and `Forwarded` (RFC 7239)
//! headers are believed. Nobody's, unless the configuration says so: anybody can
//! write them.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The most proxies of one request that are looked at.
const HOPS: usize = 32;

/// The proxies whose headers are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Their addresses.
    pub networks: Vec<IpNet>,
    /// Whoever comes over a unix socket.
    pub unix: bool,
}

/// What trusted proxies say about a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    /// Who asked the first of them.
    pub(super) client: Option<IpAddr>,
    /// Whether that was over TLS.
    pub(super) tls: Option<bool>,
    /// By which name; not checked.
    pub(super) host: Option<String>,
}

impl Proxies {
    /// What the headers say, if whoever sent them (nobody's address is known on
    /// a unix socket) is to be believed.
    pub(super) fn forwarded(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<Forwarded> {
        let trusted = match peer {
            Some(address) => self.trusts(address),
            None => self.unix,
        };
        trusted.then(|| {
            let nearest = elements(headers).pop().unwrap_or_default();
            let proto = last(headers, &X_FORWARDED_PROTO).or(nearest.proto);
            Forwarded {
                client: self.client(peer, headers),
                tls: proto.and_then(|proto| scheme(&proto)),
                host: last(headers, &X_FORWARDED_HOST).or(nearest.host),
            }
        })
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Both headers are read, and must agree where both are there: a proxy that
    /// keeps the one usually hands on the other as the client has made it up.
    fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let listed: Vec<String> = values(headers, &X_FORWARDED_FOR);
        let named: Vec<String> = elements(headers)
            .into_iter()
            .map(|element| element.client.unwrap_or_default())
            .collect();
        match (listed.is_empty(), named.is_empty()) {
            (true, true) => peer,
            (false, true) => self.walk(peer, &listed),
            (true, false) => self.walk(peer, &named),
            (false, false) => {
                let client = self.walk(peer, &listed);
                match client == self.walk(peer, &named) {
                    true => client,
                    false => peer,
                }
            }
        }
    }

    /// From the nearest hop to the farthest, as long as each is trusted: the
    /// first that is not is the client, for whatever stands left of it may be
    /// its own invention.
    fn walk(&self, peer: Option<IpAddr>, hops: &[String]) -> Option<IpAddr> {
        let mut client = peer;
        for hop in hops.iter().rev().take(HOPS) {
            let Some(address) = address(hop) else {
                break;
            };
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        client
    }
}

/// One proxy's part of `Forwarded`.
#[derive(Debug, Default)]
struct Element {
    client: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

/// The elements of all `Forwarded` headers, the nearest proxy's last.
fn elements(headers: &HeaderMap) -> Vec<Element> {
    let element = |text: String| {
        let mut element = Element::default();
        for pair in text.split(';') {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let value = Some(value.trim().trim_matches('"').to_owned());
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => element.client = value,
                "proto" => element.proto = value,
                "host" => element.host = value,
                _ => {}
            }
        }
        element
    };
    values(headers, &FORWARDED)
        .into_iter()
        .map(element)
        .collect()
}

/// The entries of a header that is a list, over all its lines. What is no text
/// is an entry too, which nobody can read.
fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.to_str().unwrap_or_default().split(','))
        .map(|entry| entry.trim().to_owned())
        .collect()
}

/// What the nearest proxy says.
fn last(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    values(headers, name)
        .pop()
        .filter(|value| !value.is_empty())
}

/// `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:567`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|full: SocketAddr| full.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

fn scheme(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies() -> Proxies {
        Proxies {
            networks: ["10.0.0.0/8", "2001:db8:1::/48"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            unix: false,
        }
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn client(peer: &str, lines: &[(&str, &str)]) -> String {
        let peer = Some(peer.parse().unwrap());
        match proxies().forwarded(peer, &headers(lines)) {
            None => "not believed".to_owned(),
            Some(forwarded) => forwarded.client.unwrap().to_string(),
        }
    }

    #[test]
    fn nobody_is_believed_who_is_not_named() {
        let lines = [("x-forwarded-for", "1.2.3.4")];
        assert_eq!(client("192.0.2.1", &lines), "not believed");
        assert_eq!(
            Proxies::default().forwarded(None, &headers(&lines)),
            None,
            "a unix socket is trusted only by name"
        );
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_not_trusted() {
        for (list, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1, 10.1.1.1", "192.0.2.1"),
            ("10.9.9.9, 10.1.1.1", "10.9.9.9"),
            ("6.6.6.6, 10.9.9.9, 192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::7]:4711, 2001:db8:1::2", "2001:db8::7"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            // What cannot be read ends the walk at the proxy that said it.
            ("192.0.2.1, unknown", "10.0.0.1"),
            ("192.0.2.1, , 10.1.1.1", "10.1.1.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(
                client("10.0.0.1", &[("x-forwarded-for", list)]),
                expected,
                "{list}"
            );
        }
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(client("10.0.0.1", &lines), "192.0.2.1");
        assert_eq!(client("::ffff:10.0.0.1", &lines), "192.0.2.1");
    }

    #[test]
    fn forwarded_is_read_and_must_not_contradict() {
        let rfc = r#"for=192.0.2.43;proto=http, For="[2001:db8:cafe::17]:4711";proto=https;host="r.test:443""#;
        let peer = Some("10.0.0.1".parse().unwrap());
        let found = proxies().forwarded(peer, &headers(&[("forwarded", rfc)]));
        let expected = Forwarded {
            client: Some("2001:db8:cafe::17".parse().unwrap()),
            tls: Some(true),
            host: Some("r.test:443".to_owned()),
        };
        assert_eq!(found, Some(expected));
        for (listed, named, expected) in [
            ("192.0.2.1", "for=192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "for=6.6.6.6", "10.0.0.1"),
            ("192.0.2.1", "for=_hidden", "10.0.0.1"),
        ] {
            let lines = [("x-forwarded-for", listed), ("forwarded", named)];
            assert_eq!(client("10.0.0.1", &lines), expected, "{listed} {named}");
        }
    }

    #[test]
    fn scheme_and_host_are_the_nearest_proxys() {
        let lines = headers(&[
            ("x-forwarded-proto", "http, https"),
            ("x-forwarded-host", "evil.test, r.test"),
        ]);
        let peer = Some("10.0.0.1".parse().unwrap());
        let found = proxies().forwarded(peer, &lines).unwrap();
        assert_eq!(found.tls, Some(true));
        assert_eq!(found.host.as_deref(), Some("r.test"));
        let lines = headers(&[("x-forwarded-proto", "gopher")]);
        assert_eq!(proxies().forwarded(peer, &lines).unwrap().tls, None);
    }

    proptest! {
        #[test]
        fn nothing_panics(listed in "[ -~]{0,60}", named in "[ -~]{0,60}") {
            let lines = headers(&[("x-forwarded-for", &listed), ("forwarded", &named)]);
            let peer = Some("10.0.0.1".parse().unwrap());
            prop_assert!(proxies().forwarded(peer, &lines).unwrap().client.is_some());
        }
    }
}
