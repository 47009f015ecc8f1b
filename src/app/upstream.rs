//! A second registry that content is fetched from, as a client: Basic and
//! Bearer logins (distribution-spec, "Authentication"; docker's token
//! protocol), manifests and blobs by their digests. What comes is verified by
//! whoever asks.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use tokio::sync::Mutex;

use crate::auth::password::Password;
use crate::oci::{Digest, RepositoryName};
use crate::registry::check::{Source, SourceError};
use crate::storage::{ByteStream, MAX_RECORD};

/// How long the other registry may take to connect, and be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes of a token's answer.
const TOKEN: usize = 1024 * 1024;

/// Every kind of manifest that is stored here.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// Another registry.
pub struct Upstream {
    client: Client,
    base: Url,
    login: Option<(String, Password)>,
    /// What the last request was let in with.
    authorization: Mutex<Option<String>>,
}

impl Upstream {
    /// The registry at `url` (`https://host[:port]`; a host alone means HTTPS),
    /// with a user's login, and an authority that signed its certificate.
    ///
    /// # Errors
    /// The address or the certificate can't be used.
    pub fn new(
        url: &str,
        login: Option<(String, Password)>,
        authority: Option<&[u8]>,
    ) -> Result<Self, SourceError> {
        let text = if url.contains("://") {
            url.trim_end_matches('/').to_owned()
        } else {
            format!("https://{}", url.trim_end_matches('/'))
        };
        let base: Url = text.parse().map_err(|error| {
            SourceError(format!("`{url}` is no address of a registry: {error}"))
        })?;
        if !matches!(base.scheme(), "http" | "https")
            || base.host_str().is_none()
            || !base.username().is_empty()
            || base.password().is_some()
        {
            return Err(SourceError(format!(
                "`{}` is no address of a registry: write `https://host[:port]`, and the user with --user",
                base.host_str().unwrap_or_default()
            )));
        }
        let mut builder = Client::builder()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = authority {
            let certificate = Certificate::from_pem(pem).map_err(|error| {
                SourceError(format!(
                    "the authority's certificate can't be used: {error}"
                ))
            })?;
            builder = builder.tls_certs_merge([certificate]);
        }
        let client = builder.build().map_err(failed)?;
        Ok(Self {
            client,
            base,
            login,
            authorization: Mutex::new(None),
        })
    }

    async fn get(&self, path: &str) -> Result<Option<Response>, SourceError> {
        let url = self
            .base
            .join(path)
            .map_err(|error| SourceError(error.to_string()))?;
        let known = self.authorization.lock().await.clone();
        let mut answer = self.ask(&url, known.as_deref()).await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let authorization = self.authorize(&answer).await?;
            answer = self.ask(&url, Some(&authorization)).await?;
            *self.authorization.lock().await = Some(authorization);
        }
        match answer.status() {
            status if status.is_success() => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(SourceError(format!(
                "{} refuses: look at the user and the password",
                self.host()
            ))),
            status => Err(SourceError(format!("{} answers {status}", self.host()))),
        }
    }

    async fn ask(&self, url: &Url, authorization: Option<&str>) -> Result<Response, SourceError> {
        let mut request = self.client.get(url.clone()).header(ACCEPT, MANIFESTS);
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        request.send().await.map_err(failed)
    }

    /// What a challenge wants.
    async fn authorize(&self, answer: &Response) -> Result<String, SourceError> {
        let challenges = answer.headers().get_all(WWW_AUTHENTICATE);
        let challenges: Vec<&str> = challenges
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let with = |scheme: &str| {
            challenges.iter().find_map(|challenge| {
                let (word, rest) = challenge.split_once(' ')?;
                word.eq_ignore_ascii_case(scheme).then_some(rest)
            })
        };
        if let Some(parameters) = with("bearer") {
            return self.token(parameters).await;
        }
        match (with("basic"), &self.login) {
            (Some(_), Some((user, password))) => Ok(basic(user, password)),
            (Some(_), None) => Err(SourceError(format!(
                "{} wants a login: give it with --user",
                self.host()
            ))),
            (None, _) => Err(SourceError(format!(
                "{} wants a login of a kind that isn't known here",
                self.host()
            ))),
        }
    }

    async fn token(&self, parameters: &str) -> Result<String, SourceError> {
        let realm = parameter(parameters, "realm").unwrap_or_default();
        let mut realm: Url = realm
            .parse()
            .map_err(|_| SourceError(format!("{} names no realm", self.host())))?;
        for name in ["service", "scope"] {
            if let Some(value) = parameter(parameters, name) {
                realm.query_pairs_mut().append_pair(name, &value);
            }
        }
        let mut request = self.client.get(realm.clone());
        if let Some((user, password)) = &self.login {
            if !self.trusts(&realm) {
                return Err(SourceError(format!(
                    "{} sends its logins to {}, which isn't its own: the password was not sent there",
                    self.host(),
                    realm.host_str().unwrap_or_default()
                )));
            }
            request = request.header("Authorization", basic(user, password));
        }
        let answer = request.send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(SourceError(format!(
                "{} gives no token ({}): look at the user and the password",
                realm.host_str().unwrap_or_default(),
                answer.status()
            )));
        }
        let body = bounded(answer, TOKEN).await?;
        let body: serde_json::Value = serde_json::from_slice(&body)
            .map_err(|_| SourceError("the token is no JSON".to_owned()))?;
        let token = body.get("token").or_else(|| body.get("access_token"));
        match token.and_then(serde_json::Value::as_str) {
            Some(token) => Ok(format!("Bearer {token}")),
            None => Err(SourceError("the answer holds no token".to_owned())),
        }
    }

    /// Whether a password for the registry may be sent there: to the same host,
    /// or one of the same domain, and never less safely.
    fn trusts(&self, realm: &Url) -> bool {
        let domain = |url: &Url| {
            let host = url.host_str().unwrap_or_default().to_owned();
            if host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[') {
                return host;
            }
            let labels: Vec<&str> = host.rsplit('.').take(2).collect();
            labels.join(".")
        };
        let safe = self.base.scheme() == "http" || realm.scheme() == "https";
        safe && domain(&self.base) == domain(realm)
    }

    fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }
}

#[async_trait]
impl Source for Upstream {
    async fn blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<ByteStream>, SourceError> {
        let answer = self
            .get(&format!("/v2/{repository}/blobs/{digest}"))
            .await?;
        Ok(answer.map(|answer| -> ByteStream {
            Box::pin(stream::try_unfold(answer, async |mut answer| {
                let chunk = answer.chunk().await.map_err(std::io::Error::other)?;
                Ok(chunk.map(|chunk| (chunk, answer)))
            }))
        }))
    }

    async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Bytes>, SourceError> {
        let path = format!("/v2/{repository}/manifests/{digest}");
        match self.get(&path).await? {
            Some(answer) => bounded(answer, MAX_RECORD as usize).await.map(Some),
            None => Ok(None),
        }
    }
}

async fn bounded(mut answer: Response, most: usize) -> Result<Bytes, SourceError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > most {
            return Err(SourceError(format!("an answer has more than {most} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn basic(user: &str, password: &Password) -> String {
    use base64::Engine as _;
    let pair = format!("{user}:{}", password.reveal());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Basic {encoded}")
}

/// A parameter of a challenge (RFC 9110 section 11.2).
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        let (key, after) = rest.trim_start_matches([',', ' ']).split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = after;
    }
}

fn failed(error: reqwest::Error) -> SourceError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    SourceError(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let text = r#"realm="https://auth.example/token",service="r.example", scope="repository:a/b:pull,push",x=y"#;
        for (name, value) in [
            ("realm", Some("https://auth.example/token")),
            ("Service", Some("r.example")),
            ("scope", Some("repository:a/b:pull,push")),
            ("x", Some("y")),
            ("none", None),
        ] {
            assert_eq!(parameter(text, name).as_deref(), value, "{name}");
        }
        assert_eq!(parameter("realm=\"open", "realm"), None);
    }

    #[test]
    fn passwords_stay_within_the_domain() {
        let upstream = |url| Upstream::new(url, None, None).unwrap();
        let realm = |text: &str| text.parse::<Url>().unwrap();
        let hub = upstream("registry-1.docker.io");
        assert!(hub.trusts(&realm("https://auth.docker.io/token")));
        assert!(!hub.trusts(&realm("http://auth.docker.io/token")));
        assert!(!hub.trusts(&realm("https://auth.docker.example/token")));
        let local = upstream("http://127.0.0.1:5000/");
        assert!(local.trusts(&realm("http://127.0.0.1:5001/token")));
        assert!(!local.trusts(&realm("http://128.0.0.1:5001/token")));
        for bad in [
            "ftp://x",
            "https://user:secret@host",
            "https://",
            "http://[::",
        ] {
            assert!(Upstream::new(bad, None, None).is_err(), "{bad}");
        }
    }
}
