//! OIDC workload identity: a CI job or a pod logs in with its provider's ID
//! token as the password, and its claims say which groups it is in. Nothing
//! secret is kept where it runs.

pub mod claims;
mod discovery;
mod source;

use std::path::PathBuf;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::caller::{Caller, Identity, Proof, Stamp};
use super::followed::Followed;
use super::jwt::keys::{Key, Keys};
use super::jwt::{ALGORITHMS, Claims, Expected, Invalid, Unverified};
use super::{AuthError, Unidentified};
use claims::Mapping;
use discovery::Discovery;
use source::Source;

/// The longest `sub`, in bytes (OpenID Connect Core section 2).
const MAX_SUBJECT: usize = 255;

/// One issuer of `auth.oidc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What it is called in identities.
    pub name: String,
    /// What it calls itself (`iss`): its URL.
    pub issuer: String,
    /// What tokens must be for (`aud`).
    pub audience: String,
    /// Where its keys are.
    pub keys: KeySource,
    /// Who its workloads are here; the first that matches counts.
    pub workloads: Vec<Mapping>,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Where its discovery document says.
    Discovery {
        /// PEM certificates of authorities to trust besides the usual ones.
        root_cas: Option<PathBuf>,
    },
    /// In this file, a JWK set.
    File(PathBuf),
}

/// An issuer whose keys can be fetched, as it was written.
///
/// # Errors
/// It is no `https://` URL, nor one of this machine.
pub fn checked_issuer(text: &str) -> Result<String, String> {
    let refused = |_| format!("`{text}` is no issuer: write its URL (`https://HOST/...`)");
    Discovery::new(text, None).map_err(refused)?;
    Ok(text.to_owned())
}

/// Identifies workloads by the tokens of the issuers.
pub(super) struct Workloads {
    issuers: Vec<Issuer>,
}

struct Issuer {
    settings: Settings,
    keys: FoundKeys,
}

enum FoundKeys {
    Fetched(Source),
    File(Followed<Keys>),
}

impl Workloads {
    /// Makes ready. Files are read; no issuer need be reachable.
    pub(super) fn open(issuers: Vec<Settings>) -> Result<Self, AuthError> {
        let issuers = issuers.into_iter().map(Issuer::open);
        Ok(Self {
            issuers: issuers.collect::<Result<_, _>>()?,
        })
    }

    /// Whether `password` has the form of a token and says to be from one of
    /// the issuers: then it is nothing else.
    pub(super) fn claims(&self, password: &str) -> bool {
        // Most passwords have no two dots, and need not be looked at closer.
        password.bytes().filter(|byte| *byte == b'.').count() == 2
            && Unverified::parse(password).is_ok_and(|token| self.issuer_of(&token).is_some())
    }

    fn issuer_of(&self, token: &Unverified<'_>) -> Option<&Issuer> {
        let named = token.issuer()?;
        self.issuers
            .iter()
            .find(|issuer| issuer.settings.issuer == named)
    }

    /// Which workload it is.
    pub(super) async fn identify(&self, token: &str) -> Result<Caller, Unidentified> {
        let token = Unverified::parse(token).map_err(|_| Unidentified::Wrong)?;
        let issuer = self.issuer_of(&token).ok_or(Unidentified::Wrong)?;
        let name = &issuer.settings.name;
        issuer.identify(token).await.map_err(|why| {
            tracing::info!("a token of the issuer {name} was refused: {why}");
            Unidentified::Wrong
        })
    }

    /// What is wrong with the files of keys now. Of an issuer that cannot be
    /// reached the log tells: that is no mistake of the configuration.
    pub(super) async fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for issuer in &self.issuers {
            if let FoundKeys::File(file) = &issuer.keys {
                problems.extend(file.problem().await);
            }
        }
        problems
    }

    /// Whether the mapping by which a workload came in is still there.
    pub(super) fn stands(&self, issuer: &str, stamp: Stamp) -> bool {
        self.issuers
            .iter()
            .filter(|known| known.settings.name == issuer)
            .any(|known| {
                let mut mappings = known.settings.workloads.iter();
                mappings.any(|mapping| known.stamp(mapping) == stamp)
            })
    }
}

impl Issuer {
    fn open(settings: Settings) -> Result<Self, AuthError> {
        let keys = match &settings.keys {
            KeySource::File(path) => FoundKeys::File(
                Followed::open(path.clone(), Keys::of_set).map_err(AuthError::Keys)?,
            ),
            KeySource::Discovery { root_cas } => FoundKeys::Fetched(
                Source::open(&settings.name, &settings.issuer, root_cas.as_deref())
                    .map_err(AuthError::Keys)?,
            ),
        };
        Ok(Self { settings, keys })
    }

    async fn identify(&self, token: Unverified<'_>) -> Result<Caller, Invalid> {
        let id = token.key_id().ok_or(Invalid::Form("it names no key"))?;
        let key = self
            .key(id)
            .await
            .ok_or_else(|| Invalid::Key(id.to_owned()))?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            audience: &self.settings.audience,
        };
        let claims = token.verify(&key, &ALGORITHMS, expected, SystemTime::now())?;
        self.caller(&claims)
    }

    async fn key(&self, id: &str) -> Option<Key> {
        match &self.keys {
            FoundKeys::File(file) => file.current().await.get(id).cloned(),
            FoundKeys::Fetched(source) => source.key(id).await,
        }
    }

    fn caller(&self, claims: &Claims) -> Result<Caller, Invalid> {
        let subject = claims.subject()?.ok_or(Invalid::Claim("sub"))?;
        if subject.len() > MAX_SUBJECT || subject.chars().any(char::is_control) {
            return Err(Invalid::Claim("sub"));
        }
        let mut mappings = self.settings.workloads.iter();
        let mapping = mappings
            .find(|mapping| mapping.matches(claims.all()))
            .ok_or_else(|| {
                Invalid::Unmapped(format!(
                    "no entry of `workloads` matches the claims of {subject:?}"
                ))
            })?;
        let identity = Identity::Workload {
            issuer: self.settings.name.clone(),
            subject: subject.to_owned(),
        };
        let proof = Proof::Workload {
            mapping: self.stamp(mapping),
            expires: claims.expires,
        };
        Ok(Caller {
            groups: mapping.groups.clone(),
            ..Caller::known(identity, proof)
        })
    }

    /// Tells an issuer and a mapping from what they may become.
    fn stamp(&self, mapping: &Mapping) -> Stamp {
        let Settings {
            name,
            issuer,
            audience,
            keys,
            ..
        } = &self.settings;
        let text = format!("{name:?} {issuer:?} {audience:?} {keys:?} {mapping:?}");
        let digest: [u8; 32] = Sha256::digest(text).into();
        let mut stamp = [0; 16];
        stamp.copy_from_slice(digest.split_at(16).0);
        Stamp(stamp)
    }
}
