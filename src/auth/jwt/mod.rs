//! Tokens as compact JWS (RFC 7515, RFC 7519): taken apart, verified with a key
//! that is ours already, and their claims read strictly.
//!
//! A header may name a key (`kid`) or bring certificates whose chain we check
//! (`x5c`); a key of its own (`jwk`), or where to fetch one (`jku`, `x5u`), is
//! never looked at. A claim of the wrong type is a mistake, not an absent claim.

pub(super) mod keys;
pub(super) mod scope;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::{Map, Value};

use keys::Key;

/// The longest token, in bytes.
const MAX_LENGTH: usize = 16 * 1024;

/// How far the clock that stamped a token may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);

/// Every algorithm that can be allowed: signatures only, since whoever can
/// verify a shared secret can forge with it.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Why a token counts for nothing. For the log: a client isn't told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    /// It is no JWS of this kind.
    #[error("it is no signed token: {0}")]
    Form(&'static str),
    /// Its algorithm isn't allowed, or isn't one of its key.
    #[error("its algorithm {0:?} is not allowed here")]
    Algorithm(String),
    /// No key of ours has the name.
    #[error("its key {0:?} is not known")]
    Key(String),
    /// It brings certificates that no root of ours signed.
    #[error("its certificates are not trusted: {0}")]
    Chain(String),
    /// The signature is another's.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing or of the wrong type.
    #[error("its claim `{0}` is missing, or not what it must be")]
    Claim(&'static str),
    /// It is from another issuer.
    #[error("it is from another issuer: {0:?}")]
    Issuer(String),
    /// It is for somebody else.
    #[error("it is for another audience")]
    Audience,
    /// Its time is over.
    #[error("it expired {0} s ago")]
    Expired(u64),
    /// Its time has not come.
    #[error("it counts only in {0} s: are the clocks right?")]
    Early(u64),
    /// No rule says what its bearer is here.
    #[error("{0}")]
    Unmapped(String),
}

/// What a token must say to count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
}

/// A token taken apart; nothing about it is true yet.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    header: Header,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: &'a str,
}

/// What counts of a header.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    x5c: Option<Vec<String>>,
    /// Extensions that must be understood: none is.
    crit: Option<Value>,
}

/// What a verified token says.
#[derive(Debug)]
pub(super) struct Claims {
    all: Map<String, Value>,
    /// When it ends.
    pub(super) expires: SystemTime,
}

impl<'a> Unverified<'a> {
    /// Takes a compact JWS apart.
    pub(super) fn parse(text: &'a str) -> Result<Self, Invalid> {
        if text.len() > MAX_LENGTH {
            return Err(Invalid::Form("it is longer than 16 KiB"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Invalid::Form("no dots"))?;
        let (header, claims) = signed.split_once('.').ok_or(Invalid::Form("one dot"))?;
        let part = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| Invalid::Form("a part is not base64url"))
        };
        let header: Header = serde_json::from_slice(&part(header)?)
            .map_err(|_| Invalid::Form("its header is not as it must be"))?;
        if header.crit.is_some() {
            return Err(Invalid::Form("its header asks for extensions"));
        }
        let claims = serde_json::from_slice(&part(claims)?)
            .map_err(|_| Invalid::Form("its claims are no JSON object"))?;
        Ok(Self {
            header,
            claims,
            signed,
            signature,
        })
    }

    /// Who says to have issued it: only to choose whose keys to try.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// The name of its key: only to choose one of ours.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The certificates that it brings, its signer's first.
    pub(super) fn certificates(&self) -> Option<&[String]> {
        self.header.x5c.as_deref()
    }

    /// What the token says, if `key` signed it by one of `algorithms` and it is
    /// from and for the expected, now.
    pub(super) fn verify(
        self,
        key: &Key,
        algorithms: &[Algorithm],
        expected: Expected<'_>,
        now: SystemTime,
    ) -> Result<Claims, Invalid> {
        let named = self.header.alg;
        // The exact word only: `none`, `NONE` and `HS256` are none of them.
        let algorithm = algorithms
            .iter()
            .find(|allowed| name(**allowed) == named && key.takes(**allowed));
        let Some(algorithm) = algorithm else {
            return Err(Invalid::Algorithm(named));
        };
        if !key.signed(self.signed, self.signature, *algorithm) {
            return Err(Invalid::Signature);
        }
        Claims::check(self.claims, expected, now)
    }
}

impl Claims {
    fn check(
        all: Map<String, Value>,
        expected: Expected<'_>,
        now: SystemTime,
    ) -> Result<Self, Invalid> {
        match all.get("iss") {
            Some(Value::String(issuer)) if issuer == expected.issuer => {}
            Some(Value::String(issuer)) => return Err(Invalid::Issuer(issuer.clone())),
            _ => return Err(Invalid::Claim("iss")),
        }
        if !is_for(all.get("aud"), expected.audience)? {
            return Err(Invalid::Audience);
        }
        let expires = seconds(&all, "exp")?.ok_or(Invalid::Claim("exp"))?;
        // Some issuers say only when they made it, which is when it begins.
        let begins = match (seconds(&all, "nbf")?, seconds(&all, "iat")?) {
            (Some(begins), _) | (None, Some(begins)) => begins,
            (None, None) => return Err(Invalid::Claim("nbf")),
        };
        if let Ok(over) = now.duration_since(expires + LEEWAY) {
            return Err(Invalid::Expired((over + LEEWAY).as_secs()));
        }
        if let Ok(early) = begins.duration_since(now + LEEWAY)
            && !early.is_zero()
        {
            return Err(Invalid::Early((early + LEEWAY).as_secs()));
        }
        Ok(Self { all, expires })
    }

    /// A claim.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.all.get(name)
    }

    /// All claims.
    pub(super) fn all(&self) -> &Map<String, Value> {
        &self.all
    }

    /// Whom it is about; `None` if it says nobody.
    pub(super) fn subject(&self) -> Result<Option<&str>, Invalid> {
        match self.all.get("sub") {
            None => Ok(None),
            Some(Value::String(subject)) if subject.is_empty() => Ok(None),
            Some(Value::String(subject)) => Ok(Some(subject)),
            Some(_) => Err(Invalid::Claim("sub")),
        }
    }
}

/// The name of an algorithm in a header.
pub(super) fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

/// Whether `audience` is the one, or among those, that a claim names.
fn is_for(claim: Option<&Value>, audience: &str) -> Result<bool, Invalid> {
    match claim {
        Some(Value::String(one)) => Ok(one == audience),
        Some(Value::Array(several)) => {
            let names = several
                .iter()
                .map(Value::as_str)
                .collect::<Option<Vec<_>>>();
            Ok(names.ok_or(Invalid::Claim("aud"))?.contains(&audience))
        }
        _ => Err(Invalid::Claim("aud")),
    }
}

/// A time in whole seconds; whatever else stands there is a mistake.
fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<SystemTime>, Invalid> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let time = value
        .as_u64()
        // So that adding the leeway stays within what a clock can show.
        .filter(|seconds| *seconds < u64::from(u32::MAX) * 1024)
        .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    time.map(Some).ok_or(Invalid::Claim(name))
}
