//! Who is it: turns a request's `Authorization` into an identity.

pub mod htpasswd;

use http::HeaderValue;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular: no authentication is configured.
    Anonymous,
    /// A user whose password was right.
    User(String),
}

/// How callers are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settings {
    /// They are not: everybody is [`Identity::Anonymous`].
    Open,
    /// registry:2's `auth: htpasswd`.
    Htpasswd(htpasswd::Settings),
}

/// The caller could not be identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// The request carries no credentials.
    #[error("log in first")]
    Missing,
    /// The credentials are wrong, or in a form that is not accepted. Which of
    /// both, and whether the user exists, is not told.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// Too many verifications are under way.
    #[error("too many logins at once")]
    Busy,
}

/// Identifies callers.
pub struct Authenticator {
    _settings: Settings,
}

impl Authenticator {
    /// The caller behind an `Authorization` header, if there is one.
    pub async fn identify(
        &self,
        _authorization: Option<&HeaderValue>,
    ) -> Result<Identity, Unidentified> {
        Ok(Identity::Anonymous)
    }

    /// The `WWW-Authenticate` value that asks for credentials; `None` where
    /// none are needed.
    pub fn challenge(&self) -> Option<HeaderValue> {
        None
    }
}
