//! What a token of ours says: distribution's claims, and one of our own that
//! its caller is rebuilt from.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Settings;
use crate::auth::caller::{Caller, Grant, Identity, Proof, Scope};
use crate::auth::jwt::{self, Expected, Invalid};

/// Who has made them: any replica.
const ISSUER: &str = "wharf";

/// The claim of our own.
const HOLDER: &str = "wharf";

#[derive(Serialize)]
pub(super) struct Claims<'a> {
    iss: &'static str,
    sub: String,
    aud: &'a str,
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: String,
    access: Vec<Access>,
    wharf: Holder,
}

/// One entry of `access`.
#[derive(Serialize)]
struct Access {
    r#type: &'static str,
    name: String,
    actions: Vec<&'static str>,
}

/// Who has got the token, and what proved it.
#[derive(Serialize, Deserialize)]
struct Holder {
    identity: Identity,
    proof: Proof,
    groups: Vec<String>,
    grants: Option<Vec<Grant>>,
}

impl<'a> Claims<'a> {
    /// Those of a token for `caller`, from `now` on.
    pub(super) fn of(
        settings: &'a Settings,
        caller: &Caller,
        scope: &Scope,
        now: SystemTime,
    ) -> Self {
        let begins = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let subject = match &caller.identity {
            // As distribution's own service has it.
            Identity::Anonymous => String::new(),
            known => known.to_string(),
        };
        Self {
            iss: ISSUER,
            sub: subject,
            aud: &settings.service,
            exp: (begins + settings.lifetime).as_secs(),
            nbf: begins.as_secs(),
            iat: begins.as_secs(),
            jti: Uuid::new_v4().to_string(),
            access: access(scope),
            wharf: Holder {
                identity: caller.identity.clone(),
                proof: caller.proof.clone(),
                groups: caller.groups.clone(),
                grants: caller.grants.clone(),
            },
        }
    }
}

/// What verified claims must say.
pub(super) fn expected(settings: &Settings) -> Expected<'_> {
    Expected {
        issuer: ISSUER,
        audience: &settings.service,
    }
}

/// The caller that verified claims are about, as narrow as their token.
pub(super) fn caller(claims: &jwt::Claims) -> Result<Caller, Invalid> {
    let holder = claims.get(HOLDER).ok_or(Invalid::Claim(HOLDER))?;
    let holder = Holder::deserialize(holder).map_err(|_| Invalid::Claim(HOLDER))?;
    let scope = jwt::scope::read(claims.get("access"))?;
    Ok(Caller {
        identity: holder.identity,
        proof: holder.proof,
        groups: holder.groups,
        grants: holder.grants,
        scope: Some(scope),
    })
}

fn access(scope: &Scope) -> Vec<Access> {
    let catalog = scope.catalog.then(|| Access {
        r#type: "registry",
        name: "catalog".to_owned(),
        actions: vec!["*"],
    });
    let repositories = scope.repositories.iter().map(|(name, actions)| Access {
        r#type: "repository",
        name: name.to_string(),
        actions: actions.iter().map(crate::oci::Action::as_str).collect(),
    });
    repositories.chain(catalog).collect()
}
