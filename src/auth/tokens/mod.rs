//! wharf's own token service: short-lived signed tokens for whoever has logged
//! in (distribution's "Token Authentication Specification").
//!
//! A token narrows what its owner may do, and never widens it: on each use the
//! owner must still be who they were, and the rules of that moment decide.

mod claims;
mod key;
mod keys;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use jsonwebtoken::Algorithm;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::caller::{Caller, Scope};
use super::jwt::{Invalid, Unverified};
use super::{Asked, Unidentified};
use crate::storage::{StorageError, Store};
use claims::Claims;
use keys::Keys;

/// How long tokens may be made to last.
pub const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3600);

/// How long one key signs.
const PERIOD: Duration = Duration::from_secs(24 * 3600);

/// How many tokens are remembered that were verified.
const REMEMBERED: usize = 4096;

/// `auth.tokens` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a token can be used.
    pub lifetime: Duration,
    /// The URL of `/token` as clients reach it, unless their request tells.
    pub realm: Option<String>,
    /// What tokens are for (`aud`); the same on all replicas.
    pub service: String,
}

/// A token that was made.
pub struct Issued {
    /// For `Authorization: Bearer`.
    pub token: String,
    /// How long it can be used.
    pub lifetime: Duration,
    /// From when on.
    pub issued_at: SystemTime,
}

/// No token can be made. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The keys can't be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The key can't be made or used.
    #[error("the key of tokens: {0}")]
    Key(String),
}

/// Makes and verifies tokens.
pub(super) struct Tokens {
    settings: Settings,
    keys: Keys,
    /// By the SHA-256 of a token.
    verified: Cache<[u8; 32], Arc<Verified>>,
}

/// What a verified token has said.
struct Verified {
    key: String,
    caller: Caller,
    expires: SystemTime,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(300),
            realm: None,
            service: "wharf".to_owned(),
        }
    }
}

impl Failed {
    fn key(cause: impl ToString) -> Self {
        Self::Key(cause.to_string())
    }
}

impl Tokens {
    /// Its keys are in `store`.
    pub(super) fn new(settings: Settings, store: &Arc<dyn Store>) -> Self {
        Self::with_period(settings, store, PERIOD)
    }

    fn with_period(settings: Settings, store: &Arc<dyn Store>, period: Duration) -> Self {
        Self {
            settings,
            keys: Keys::new(Arc::clone(store), period),
            verified: Cache::new(REMEMBERED),
        }
    }

    /// A token by which `caller` may do what is in `scope`, as far as they may.
    pub(super) async fn issue(
        &self,
        caller: &Caller,
        scope: &Scope,
        now: SystemTime,
    ) -> Result<Issued, Failed> {
        let key = self.keys.current(now).await?;
        Ok(Issued {
            token: key.sign(&Claims::of(&self.settings, caller, scope, now))?,
            lifetime: self.settings.lifetime,
            issued_at: now,
        })
    }

    /// Whom a token stands for, by what was true when it was made.
    pub(super) async fn verify(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Caller, Unidentified> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(known) = self.verified.get(&hash) {
            // A key that was removed takes along what it has signed.
            return match now < known.expires && self.key(&known.key, now).await?.is_some() {
                true => Ok(known.caller.clone()),
                false => Err(Unidentified::Wrong),
            };
        }
        let unverified = Unverified::parse(token).map_err(refused)?;
        let id = unverified.key_id().unwrap_or_default().to_owned();
        let key = self.key(&id, now).await?.ok_or(Unidentified::Wrong)?;
        let expected = claims::expected(&self.settings);
        let claims = unverified
            .verify(key.verifies(), &[Algorithm::EdDSA], expected, now)
            .map_err(refused)?;
        let verified = Verified {
            key: id,
            caller: claims::caller(&claims).map_err(refused)?,
            expires: claims.expires,
        };
        // Its own clock is the one that counts: there is no leeway at the end.
        if now >= verified.expires {
            return Err(Unidentified::Wrong);
        }
        let caller = verified.caller.clone();
        self.verified.insert(hash, Arc::new(verified));
        Ok(caller)
    }

    /// `Bearer realm="…",service="…"[,scope="…"][,error="…"]` (RFC 6750
    /// section 3); `None` where no client could be told where to go.
    pub(super) fn challenge(&self, asked: &Asked<'_>) -> Option<HeaderValue> {
        let realm = match (&self.settings.realm, asked.url) {
            (Some(realm), _) => realm.clone(),
            (None, url) => format!("{}{}/token", url?, asked.prefix),
        };
        let mut text = format!(
            "Bearer realm=\"{realm}\",service=\"{}\"",
            self.settings.service
        );
        if !asked.needed.is_empty() {
            let scopes: Vec<String> = asked.needed.iter().map(ToString::to_string).collect();
            text += &format!(",scope=\"{}\"", scopes.join(" "));
        }
        match asked.why {
            Unidentified::Wrong if asked.token => text += ",error=\"invalid_token\"",
            Unidentified::Narrow => text += ",error=\"insufficient_scope\"",
            _ => {}
        }
        HeaderValue::try_from(text).ok()
    }

    async fn key(
        &self,
        id: &str,
        now: SystemTime,
    ) -> Result<Option<Arc<key::SigningKey>>, Unidentified> {
        self.keys.named(id, now).await.map_err(|error| {
            tracing::warn!(%error, "the key of a token can't be read");
            Unidentified::Unavailable
        })
    }
}

fn refused(why: Invalid) -> Unidentified {
    tracing::debug!(%why, "a token is refused");
    Unidentified::Wrong
}
