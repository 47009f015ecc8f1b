//! registry:2's `auth: token`: an outside service hands out tokens, which are
//! verified with its keys; what they say may be done is all that may be done.

mod chain;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use http::HeaderValue;
use jsonwebtoken::Algorithm;

use super::caller::{Caller, Identity, Proof};
use super::followed::Followed;
use super::jwt::keys::Keys;
use super::jwt::{self, Claims, Expected, Invalid, Unverified, scope};
use super::{Asked, AuthError, Unidentified};
use chain::Roots;

/// `auth.token` of the configuration, as registry:2 and registry:3 have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where clients get their tokens.
    pub realm: Realm,
    /// What tokens must be for (`aud`).
    pub service: String,
    /// Who must have made them (`iss`).
    pub issuer: String,
    /// Certificates whose keys sign, or whose authorities vouch for who signs.
    pub rootcertbundle: Option<PathBuf>,
    /// A set of keys.
    pub jwks: Option<PathBuf>,
    /// What tokens may be signed by.
    pub algorithms: Vec<Signing>,
}

/// Where clients get their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Realm {
    /// At this address.
    At(String),
    /// At this path of the address by which they reached us.
    Path(String),
}

/// A way of signing, by its name in a token's header (RFC 7518 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signing(Algorithm);

/// Verifies the tokens of an outside service.
pub(super) struct Outside {
    settings: Settings,
    algorithms: Vec<Algorithm>,
    bundle: Option<Followed<Bundle>>,
    jwks: Option<Followed<Keys>>,
}

/// What a `rootcertbundle` holds.
struct Bundle {
    keys: Keys,
    roots: Roots,
}

impl Signing {
    /// Every way that is accepted; those that registry:2 has besides are with a
    /// shared secret, or by a curve that nobody uses (ES512).
    pub fn all() -> Vec<Self> {
        jwt::ALGORITHMS.map(Self).to_vec()
    }

    /// The way of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|way| way.name() == name)
    }

    /// Its name.
    pub fn name(self) -> String {
        jwt::name(self.0)
    }
}

impl Outside {
    /// Reads the keys.
    pub(super) fn open(settings: Settings) -> Result<Self, AuthError> {
        let bundle = settings.rootcertbundle.clone();
        let jwks = settings.jwks.clone();
        Ok(Self {
            algorithms: settings.algorithms.iter().map(|way| way.0).collect(),
            bundle: bundle
                .map(|path| Followed::open(path, Bundle::parse))
                .transpose()
                .map_err(AuthError::Keys)?,
            jwks: jwks
                .map(|path| Followed::open(path, Keys::of_set))
                .transpose()
                .map_err(AuthError::Keys)?,
            settings,
        })
    }

    /// The challenge that sends clients to the service (RFC 6750 section 3);
    /// `None` if it cannot be told where they reached us, or cannot stand in a
    /// header.
    pub(super) fn challenge(&self, asked: &Asked<'_>) -> Option<HeaderValue> {
        let realm = match &self.settings.realm {
            Realm::At(address) => address.clone(),
            Realm::Path(path) => format!("{}{path}", asked.url?),
        };
        let scopes: Vec<String> = asked.needed.iter().map(ToString::to_string).collect();
        let error = match asked.why {
            Unidentified::Narrow => "insufficient_scope",
            Unidentified::Wrong if asked.token => "invalid_token",
            _ => "",
        };
        let mut text = format!(
            "Bearer realm=\"{}\",service=\"{}\"",
            quoted(&realm),
            quoted(&self.settings.service)
        );
        for (name, value) in [("scope", scopes.join(" ").as_str()), ("error", error)] {
            if !value.is_empty() {
                let _ = write!(text, ",{name}=\"{}\"", quoted(value));
            }
        }
        HeaderValue::try_from(text).ok()
    }

    /// What is wrong with the files of keys now.
    pub(super) async fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(bundle) = &self.bundle {
            problems.extend(bundle.problem().await);
        }
        if let Some(jwks) = &self.jwks {
            problems.extend(jwks.problem().await);
        }
        problems
    }

    /// Whose token it is, and what it is for.
    pub(super) async fn identify(&self, token: &str) -> Result<Caller, Unidentified> {
        self.verify(token).await.map_err(|why| {
            tracing::info!("a token of {:?} was refused: {why}", self.settings.issuer);
            Unidentified::Wrong
        })
    }

    async fn verify(&self, token: &str) -> Result<Caller, Invalid> {
        let token = Unverified::parse(token)?;
        let now = SystemTime::now();
        let expected = Expected {
            issuer: &self.settings.issuer,
            audience: &self.settings.service,
        };
        let bundle = match &self.bundle {
            Some(bundle) => Some(bundle.current().await),
            None => None,
        };
        let claims = if let Some(certificates) = token.certificates() {
            let roots = bundle.as_deref().map(|bundle| &bundle.roots);
            let roots = roots.ok_or_else(|| Invalid::Chain("there is no rootcertbundle".into()))?;
            let key = roots.key_of(certificates, now).map_err(Invalid::Chain)?;
            token.verify(&key, &self.algorithms, expected, now)?
        } else {
            let id = token.key_id().ok_or(Invalid::Form("it names no key"))?;
            let set = match &self.jwks {
                Some(jwks) => Some(jwks.current().await),
                None => None,
            };
            let key = bundle
                .as_deref()
                .and_then(|bundle| bundle.keys.get(id))
                .or_else(|| set.as_deref().and_then(|set| set.get(id)))
                .ok_or_else(|| Invalid::Key(id.to_owned()))?
                .clone();
            token.verify(&key, &self.algorithms, expected, now)?
        };
        caller(&claims)
    }
}

/// Whose token it is. Services make tokens for nobody, too: for who pulls
/// without a login.
fn caller(claims: &Claims) -> Result<Caller, Invalid> {
    let identity = match claims.subject()? {
        None => Identity::Anonymous,
        Some(name) => Identity::User(name.parse().map_err(|_| Invalid::Claim("sub"))?),
    };
    Ok(Caller {
        scope: Some(scope::read(claims.get("access"))?),
        ..Caller::known(
            identity,
            Proof::Outside {
                expires: claims.expires,
            },
        )
    })
}

impl Bundle {
    fn parse(pem: &[u8]) -> Result<Self, String> {
        let (keys, certificates) = Keys::of_certificates(pem)?;
        let roots = Roots::new(certificates)?;
        Ok(Self { keys, roots })
    }
}

/// As it stands between quotes in a header.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests;
