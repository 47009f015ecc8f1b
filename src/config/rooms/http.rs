//! `http` but for `http.tls`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;

use super::super::DEFAULT_DRAIN;
use super::super::section::Section;
use super::super::values::{address, boolean, text, word};
use super::tls::tls;
use crate::http::{Limits, Proxies, Settings};
use crate::observe::debug;
use crate::server::{self, Listen};

const DEFAULT_ADDRESS: &str = ":5000";
const DEFAULT_METRICS: &str = "/metrics";

/// What stands in answers.
pub(super) fn wire(http: &Section<'_>, limits: Limits) -> Settings {
    let relative = http.read("relativeurls", boolean).unwrap_or(false);
    let external_url = http.read("host", external_url);
    Settings {
        prefix: http.read("prefix", prefix).unwrap_or_default(),
        external_url: external_url.filter(|_| !relative),
        headers: headers(&http.section("headers")),
        proxies: proxies(http),
        limits,
    }
}

/// Where and how to listen.
pub(super) fn server(http: &Section<'_>) -> server::Settings {
    server::Settings {
        listen: listen(http),
        tls: tls(&http.section("tls")),
        http2: !http
            .section("http2")
            .read("disabled", boolean)
            .unwrap_or(false),
        h2c: http
            .section("h2c")
            .read("enabled", boolean)
            .unwrap_or(false),
        drain: http.duration("draintimeout").unwrap_or(DEFAULT_DRAIN),
    }
}

/// `http.drainpause`
pub(super) fn pause(http: &Section<'_>) -> Duration {
    http.duration("drainpause").unwrap_or_default()
}

/// `http.debug`.
pub(super) fn debug(section: &Section<'_>) -> Option<debug::Settings> {
    let prometheus = section.section("prometheus");
    let enabled = prometheus.read("enabled", boolean).unwrap_or(false);
    let path = prometheus.read("path", |text| {
        if text.starts_with('/') {
            Ok(text.to_owned())
        } else {
            Err(format!("`{text}` is no path; write `/{text}`"))
        }
    });
    let addr = section.read("addr", address);
    if enabled && !section.has("addr") {
        prometheus.note_of("enabled", "has no effect without `http.debug.addr`");
    }
    Some(debug::Settings {
        addr: addr?,
        metrics_path: enabled.then(|| path.unwrap_or_else(|| DEFAULT_METRICS.to_owned())),
    })
}

fn listen(http: &Section<'_>) -> Listen {
    let unix = http.read("net", |text| word(&[("tcp", false), ("unix", true)], text));
    if unix == Some(true) {
        let path = http.read("addr", text);
        if path.is_none() {
            http.problem("`net: unix` needs the path of a socket as `addr`");
        }
        return Listen::Unix(PathBuf::from(path.unwrap_or_default()));
    }
    let address = http.read("addr", address);
    Listen::Tcp(address.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()))
}

/// `http.trustedproxies`
fn proxies(http: &Section<'_>) -> Proxies {
    let named = http.list("trustedproxies", |text| match text {
        "unix" => Ok(None),
        text => network(text).map(Some),
    });
    Proxies {
        unix: named.contains(&None),
        networks: named.into_iter().flatten().collect(),
    }
}

/// An address, or a network whose address has nothing beyond its prefix.
fn network(text: &str) -> Result<IpNet, String> {
    let refused = || {
        format!(
            "`{text}` is no address; write one such as `10.0.0.7`, a network such as `10.0.0.0/8`, or `unix`"
        )
    };
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| refused())?;
    if network != network.trunc() {
        return Err(format!(
            "`{text}` is an address within a network; write `{}` for the network, or `{}` for the address",
            network.trunc(),
            network.addr()
        ));
    }
    Ok(network)
}

/// `/name` without a slash at the end.
fn prefix(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    if !trimmed.is_empty() && !trimmed.starts_with('/') {
        return Err(format!(
            "`{text}` must begin with a slash; write `/{trimmed}/`"
        ));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if trimmed.bytes().all(allowed) && !trimmed.contains("//") {
        Ok(trimmed.to_owned())
    } else {
        Err(format!("`{text}` is no path of letters, digits and `-._~`"))
    }
}

/// `https://host[:port]` without a slash at the end.
fn external_url(text: &str) -> Result<String, String> {
    let scheme = ["https://", "http://"]
        .into_iter()
        .find(|scheme| text.starts_with(scheme))
        .ok_or_else(|| format!("`{text}` is no URL; write `https://{text}`"))?;
    let uri: Uri = text
        .parse()
        .map_err(|error| format!("`{text}` is no URL: {error}"))?;
    let host = uri
        .authority()
        .filter(|authority| !authority.host().is_empty())
        .ok_or_else(|| format!("`{text}` has no host; write `https://host[:port]`"))?;
    if host.as_str().contains('@') {
        return Err("holds a user name; write `https://host[:port]`".to_owned());
    }
    let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    if bare {
        Ok(format!("{scheme}{host}"))
    } else {
        Err(format!(
            "`{text}` holds more than a host; write `{scheme}{host}`, and a path as `http.prefix`"
        ))
    }
}

/// What says where an answer ends, which no configuration knows.
const FRAMING: [HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

fn headers(section: &Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for name in section.names() {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(header) if FRAMING.contains(&header) => {
                section.problem_of(name, "is the server's own to say: leave it out");
            }
            Ok(header) => headers.extend(
                section
                    .list(name, header_value)
                    .into_iter()
                    .map(|value| (header.clone(), value)),
            ),
            Err(_) => section.problem_of(name, "is no name of a header"),
        }
    }
    headers
}

fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("`{text}` is no value of a header"))
}
