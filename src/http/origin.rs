//! Where a request comes from, and by which address its client reached us:
//! what the connection says, or trusted proxies ([`Proxies`]).

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::HOST;
use http::uri::Authority;

use super::{Peer, Proxies, Settings, neighbourhood};

/// The longest name of a host that is repeated, in bytes, with a port.
const LONGEST_HOST: usize = 261;

/// Where a request comes from: an extension of every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client; unknown on a unix socket.
    pub address: Option<IpAddr>,
    /// Whether a proxy that we trust has told us of the client, who is then not
    /// at the other end of the connection.
    pub forwarded: bool,
    /// Whether the client speaks TLS, to us or to the first proxy.
    pub tls: bool,
    /// `host[:port]` by which the client reached us; nothing if it is no such
    /// name.
    pub host: Option<String>,
}

impl Origin {
    /// Of a request; `proxies` are believed.
    pub fn of<B>(request: &http::Request<B>, proxies: &Proxies) -> Self {
        let peer = request.extensions().get::<Peer>();
        let address = peer.and_then(|peer| Some(peer.address?.ip()));
        let named = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| request.uri().authority().map(Authority::as_str));
        let told = peer.and_then(|_| proxies.forwarded(address, request.headers()));
        let forwarded = told.is_some();
        let told = told.unwrap_or_default();
        Self {
            address: if forwarded { told.client } else { address },
            forwarded,
            tls: told.tls.unwrap_or(peer.is_some_and(|peer| peer.tls)),
            host: told
                .host
                .or_else(|| named.map(str::to_owned))
                .filter(|host| is_host(host)),
        }
    }

    /// What [`tell_origin`] has found out; without it, what the connection says.
    pub fn told<B>(request: &http::Request<B>) -> Self {
        let told = request.extensions().get::<Self>();
        told.cloned()
            .unwrap_or_else(|| Self::of(request, &Proxies::default()))
    }

    /// Whom the client stands for where clients are counted.
    pub fn neighbourhood(&self) -> Option<IpAddr> {
        self.address.map(neighbourhood)
    }

    /// `scheme://host[:port]`: where clients find us. `http.host`, if the
    /// configuration has it, or how this client reached us; `None` if that
    /// cannot be told.
    pub fn url(&self, settings: &Settings) -> Option<String> {
        let scheme = if self.tls { "https" } else { "http" };
        let reached = || Some(format!("{scheme}://{}", self.host.as_deref()?));
        settings.external_url.clone().or_else(reached)
    }
}

/// The layer around everything else: puts an [`Origin`] into each request.
pub async fn tell_origin(
    State(state): State<Arc<ArcSwap<super::State>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let origin = Origin::of(&request, &state.load().settings.proxies);
    request.extensions_mut().insert(origin);
    next.run(request).await
}

/// What may be repeated in an address or in a line that can be copied.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= LONGEST_HOST
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> http::Request<()> {
        let peer = Peer {
            address: Some("10.0.0.1:4711".parse().unwrap()),
            tls: false,
        };
        let mut builder = http::Request::builder().uri("/v2/").extension(peer);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    const LINES: [(&str, &str); 4] = [
        ("host", "10.0.0.9:5000"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "r.test"),
    ];

    #[test]
    fn an_untrusted_request_is_what_its_connection_is() {
        let origin = Origin::of(&request(&LINES), &Proxies::default());
        assert_eq!(origin.address, Some("10.0.0.1".parse().unwrap()));
        assert!(!origin.forwarded);
        let url = origin.url(&Settings::default());
        assert_eq!(url.as_deref(), Some("http://10.0.0.9:5000"));
    }

    #[test]
    fn a_trusted_proxy_tells_address_scheme_and_host() {
        let proxies = Proxies {
            networks: vec!["10.0.0.1/32".parse().unwrap()],
            unix: false,
        };
        let origin = Origin::of(&request(&LINES), &proxies);
        assert_eq!(origin.address, Some("192.0.2.1".parse().unwrap()));
        assert!(origin.forwarded);
        let url = origin.url(&Settings::default());
        assert_eq!(url.as_deref(), Some("https://r.test"));
        let settings = Settings {
            external_url: Some("https://named.test".to_owned()),
            ..Settings::default()
        };
        assert_eq!(origin.url(&settings).as_deref(), Some("https://named.test"));
    }

    #[test]
    fn what_is_no_host_is_not_repeated() {
        for host in ["a/b", "a b", "user@host", "", "h\"x"] {
            let origin = Origin::of(&request(&[("host", host)]), &Proxies::default());
            assert_eq!(origin.host, None, "{host}");
        }
    }
}
