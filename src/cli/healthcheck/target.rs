//! Where the server is: a URL, or what its environment says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use http::Uri;

use crate::server::{Listen, Settings};

/// Whom to ask for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Where to connect.
    pub(super) place: Place,
    /// Whether to speak TLS.
    pub(super) tls: bool,
    /// The path with its query.
    pub(super) path: String,
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A host, without the brackets of an IPv6 address, and a port.
    Tcp(String, u16),
    /// A unix socket.
    Unix(PathBuf),
}

/// There is nothing that can be asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidTarget {
    #[error("`{0}` is no URL that can be asked: write http://host:port/ or https://host:port/")]
    Url(String),
    #[error("the address is `{0}`, not host:port: name the server with --url")]
    Address(String),
}

impl Target {
    /// `http://` or `https://`, host, optional port, optional path.
    pub(super) fn from_url(url: &str) -> Result<Self, InvalidTarget> {
        let invalid = || InvalidTarget::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid()),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = without_brackets(host.ok_or_else(invalid)?);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            place: Place::Tcp(host.to_owned(), port),
            tls,
            path: path.to_owned(),
        })
    }

    /// `/` on this machine, where registry:2's variables say that the server
    /// listens.
    pub(super) fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InvalidTarget> {
        let plain = |name| {
            let value = variable(name)?;
            // The values are YAML: they may be quoted.
            let value = value.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        let addr = plain("REGISTRY_HTTP_ADDR").unwrap_or_else(|| ":5000".to_owned());
        let place = if plain("REGISTRY_HTTP_NET").as_deref() == Some("unix") {
            Place::Unix(PathBuf::from(addr))
        } else {
            listening(&addr).ok_or(InvalidTarget::Address(addr))?
        };
        Ok(Self {
            place,
            tls: plain("REGISTRY_HTTP_TLS_CERTIFICATE").is_some(),
            path: "/".to_owned(),
        })
    }
}

impl Target {
    /// `/` on this machine, where a server with these settings listens.
    pub(super) fn from_settings(settings: &Settings) -> Result<Self, InvalidTarget> {
        let place = match &settings.listen {
            Listen::Unix(path) => Place::Unix(path.clone()),
            Listen::Tcp(addr) => {
                listening(addr).ok_or_else(|| InvalidTarget::Address(addr.clone()))?
            }
        };
        Ok(Self {
            place,
            tls: settings.tls.is_some(),
            path: "/".to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        match &self.place {
            Place::Tcp(host, port) if host.contains(':') => {
                write!(f, "{scheme}://[{host}]:{port}{}", self.path)
            }
            Place::Tcp(host, port) => write!(f, "{scheme}://{host}:{port}{}", self.path),
            Place::Unix(path) => write!(f, "{} ({scheme})", path.display()),
        }
    }
}

/// Where a server that listens on `addr` is reached from its own machine.
fn listening(addr: &str) -> Option<Place> {
    let (host, port) = addr.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = without_brackets(host);
    let host = match host.parse() {
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        Ok(ip) if !ip.is_unspecified() => host.to_owned(),
        Err(_) if !host.is_empty() => host.to_owned(),
        _ => Ipv4Addr::LOCALHOST.to_string(),
    };
    Some(Place::Tcp(host, port))
}

fn without_brackets(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> String {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        };
        match Target::from_environment(find) {
            Ok(target) => target.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_environment_says_where_the_server_listens() {
        let addr = |addr| environment(&[("REGISTRY_HTTP_ADDR", addr)]);
        assert_eq!(environment(&[]), "http://127.0.0.1:5000/");
        assert_eq!(addr(""), "http://127.0.0.1:5000/");
        assert_eq!(addr(":5001"), "http://127.0.0.1:5001/");
        assert_eq!(addr("\":5001\""), "http://127.0.0.1:5001/");
        assert_eq!(addr("0.0.0.0:80"), "http://127.0.0.1:80/");
        assert_eq!(addr("[::]:80"), "http://[::1]:80/");
        assert_eq!(addr("[fd00::1]:80"), "http://[fd00::1]:80/");
        assert_eq!(addr("10.0.0.7:80"), "http://10.0.0.7:80/");
        assert_eq!(addr("registry:80"), "http://registry:80/");
        for bad in ["5000", ":0", ":http", "host:99999"] {
            let error = addr(bad);
            assert!(error.starts_with("the address is `"), "{error}");
        }
        assert_eq!(
            environment(&[
                ("REGISTRY_HTTP_ADDR", "0.0.0.0:443"),
                ("REGISTRY_HTTP_TLS_CERTIFICATE", "/certs/domain.crt"),
            ]),
            "https://127.0.0.1:443/"
        );
        assert_eq!(
            environment(&[
                ("REGISTRY_HTTP_NET", "unix"),
                ("REGISTRY_HTTP_ADDR", "/run/registry.sock"),
            ]),
            "/run/registry.sock (http)"
        );
    }

    #[test]
    fn a_url_names_host_port_and_path() {
        let url = |url| Target::from_url(url).map(|target| target.to_string());
        for (given, shown) in [
            ("http://localhost", "http://localhost:80/"),
            ("https://reg.test/v2/", "https://reg.test:443/v2/"),
            ("https://[::1]:5000/?a=b", "https://[::1]:5000/?a=b"),
        ] {
            assert_eq!(url(given).as_deref(), Ok(shown));
        }
        for bad in [
            "",
            "localhost:5000",
            "/v2/",
            "ftp://a/",
            "http://",
            "http:// a/",
        ] {
            assert_eq!(url(bad), Err(InvalidTarget::Url(bad.into())), "{bad}");
        }
    }
}
