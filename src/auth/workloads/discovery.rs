//! An issuer's keys over the network: its discovery document (OpenID Connect
//! Discovery section 4) and the JWK set that it names.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::HeaderValue;
use http::header::{ACCEPT, CACHE_CONTROL};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Url};
use serde::Deserialize;

use crate::auth::jwt::keys::Keys;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer, in bytes.
const MAX_SIZE: usize = 1024 * 1024;

/// How long keys are good where the issuer says nothing of it, and the least
/// and the most that it may say.
const USUAL: Duration = Duration::from_secs(15 * 60);
const LEAST: Duration = Duration::from_secs(60);
const MOST: Duration = Duration::from_secs(24 * 3600);

/// Fetches the keys of one issuer.
pub(super) struct Discovery {
    client: Client,
    issuer: String,
    document: Url,
    /// Only an issuer on this machine may be asked without TLS.
    plain: bool,
}

/// What counts of a discovery document.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// Keys, and for how long they are good.
pub(super) struct Fetched {
    pub(super) keys: Keys,
    pub(super) fresh: Duration,
}

impl Discovery {
    /// Makes ready to ask the issuer; `root_cas` is a file of PEM certificates.
    pub(super) fn new(issuer: &str, root_cas: Option<&Path>) -> Result<Self, String> {
        let document = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let document: Url = document
            .parse()
            .map_err(|error| format!("the issuer `{issuer}` is no URL: {error}"))?;
        let plain = is_here(&document);
        let mut builder = Client::builder()
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")));
        if plain {
            builder = builder.no_proxy();
        }
        if let Some(path) = root_cas {
            let wrong = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
            let pem = fs::read(path).map_err(|error| wrong(&error))?;
            let roots = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
            if roots.is_empty() {
                return Err(wrong(&"it holds no certificate"));
            }
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(|error| error.to_string())?;
        let discovery = Self {
            client,
            issuer: issuer.to_owned(),
            document,
            plain,
        };
        discovery.secure(&discovery.document)?;
        Ok(discovery)
    }

    /// The keys as they are now.
    pub(super) async fn fetch(&self) -> Result<Fetched, String> {
        let (document, _) = self.get(&self.document).await?;
        let document: Document = serde_json::from_slice(&document)
            .map_err(|error| format!("{}: {error}", self.document))?;
        if document.issuer != self.issuer {
            return Err(format!(
                "{} is about another issuer: {:?}",
                self.document, document.issuer
            ));
        }
        let address: Url = document
            .jwks_uri
            .parse()
            .map_err(|error| format!("{}: jwks_uri: {error}", self.document))?;
        self.secure(&address)?;
        let (set, fresh) = self.get(&address).await?;
        let keys = Keys::of_set(&set).map_err(|cause| format!("{address}: {cause}"))?;
        Ok(Fetched { keys, fresh })
    }

    fn secure(&self, address: &Url) -> Result<(), String> {
        match address.scheme() {
            "https" => Ok(()),
            "http" if self.plain && is_here(address) => Ok(()),
            _ => Err(format!("{address} is not https")),
        }
    }

    async fn get(&self, address: &Url) -> Result<(Vec<u8>, Duration), String> {
        let request = self.client.get(address.clone());
        let asked = request.header(ACCEPT, "application/json").send().await;
        let mut response = asked.map_err(said)?;
        if response.status().as_u16() != 200 {
            return Err(format!("{address}: {}", response.status()));
        }
        let fresh = freshness(response.headers().get(CACHE_CONTROL));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_SIZE {
                return Err(format!("{address}: larger than 1 MiB"));
            }
        }
        Ok((body, fresh))
    }
}

/// Whether the address is this machine's own.
fn is_here(address: &Url) -> bool {
    match address.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// What `Cache-Control` says, within bounds.
fn freshness(header: Option<&HeaderValue>) -> Duration {
    let Some(header) = header.and_then(|header| header.to_str().ok()) else {
        return USUAL;
    };
    let mut fresh = USUAL;
    for directive in header.split(',').map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("max-age") {
            let seconds = value.trim_matches('"').parse();
            fresh = seconds.map_or(fresh, Duration::from_secs);
        } else if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return LEAST;
        }
    }
    fresh.clamp(LEAST, MOST)
}

/// What went wrong, with its causes.
fn said(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_good_for_as_long_as_the_issuer_says_within_bounds() {
        let fresh = |text| freshness(Some(&HeaderValue::from_static(text))).as_secs();
        assert_eq!(freshness(None), USUAL);
        assert_eq!(fresh("public, max-age=600"), 600);
        assert_eq!(fresh("max-age=0"), 60);
        assert_eq!(fresh("Max-Age=999999999"), 86400);
        assert_eq!(fresh("no-store, max-age=600"), 60);
        assert_eq!(fresh("max-age=soon"), USUAL.as_secs());
    }

    #[test]
    fn only_an_issuer_on_this_machine_goes_without_tls() {
        for (issuer, good) in [
            ("https://token.actions.githubusercontent.com", true),
            ("http://127.0.0.1:4000", true),
            ("http://[::1]:4000/path", true),
            ("http://localhost:4000", true),
            ("http://10.0.0.1", false),
            ("http://localhost.evil.example", false),
            ("ftp://127.0.0.1", false),
            ("not a url", false),
        ] {
            assert_eq!(Discovery::new(issuer, None).is_ok(), good, "{issuer}");
        }
    }

    #[test]
    fn a_document_names_no_address_without_tls() {
        let here = Discovery::new("http://127.0.0.1:4000", None).unwrap();
        let away = Discovery::new("https://issuer.example", None).unwrap();
        let secure = |of: &Discovery, text: &str| of.secure(&text.parse().unwrap()).is_ok();
        assert!(secure(&here, "http://127.0.0.1:4001/keys"));
        assert!(!secure(&here, "http://169.254.169.254/latest"));
        assert!(!secure(&away, "http://127.0.0.1/keys"));
        assert!(!secure(&away, "file:///etc/passwd"));
        assert!(secure(&away, "https://keys.example/set"));
    }
}
