//! Who is it: turns a request's `Authorization` into an identity.

mod basic;
pub mod htpasswd;
pub mod password;
pub mod user_name;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;

use htpasswd::edit_error::EditError;
use htpasswd::{Htpasswd, Notice};

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

/// Users cannot be told apart as configured. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The realm holds characters that no header may hold.
    #[error("the realm {0:?} cannot stand in a header; take out its control characters")]
    Realm(String),
    /// The users file cannot be read.
    #[error("cannot read the users in {path}: {cause}; check the path and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// No line of the users file is `user:hash`.
    #[error("{0} is no file of lines `user:hash`; `wharf user ls` shows what is read from it")]
    Broken(PathBuf),
    /// There is no users file, and none can be made.
    #[error("no users file can be made: {0}")]
    Create(#[from] EditError),
    /// The system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Identifies callers. Clones share what they know.
#[derive(Clone)]
pub struct Authenticator {
    method: Method,
}

#[derive(Clone)]
enum Method {
    Open,
    Htpasswd {
        users: Arc<Htpasswd>,
        challenge: HeaderValue,
    },
}

impl Authenticator {
    /// Makes ready to identify callers, and says what the owner of the users
    /// should know. A users file that does not exist is made as registry:2 does
    /// it: [`Notice::Created`] has the password. Reads the file, and may hash.
    pub fn open(settings: Settings) -> Result<(Self, Vec<Notice>), AuthError> {
        let settings = match settings {
            Settings::Open => {
                let method = Method::Open;
                return Ok((Self { method }, Vec::new()));
            }
            Settings::Htpasswd(settings) => settings,
        };
        let challenge =
            basic::challenge(&settings.realm).ok_or(AuthError::Realm(settings.realm))?;
        let (users, notices) = Htpasswd::open(settings.path, settings.queue)?;
        let method = Method::Htpasswd {
            users: Arc::new(users),
            challenge,
        };
        Ok((Self { method }, notices))
    }

    /// The caller behind an `Authorization` header, if there is one. A request
    /// with more than one must be refused by the caller.
    pub async fn identify(
        &self,
        authorization: Option<&HeaderValue>,
    ) -> Result<Identity, Unidentified> {
        match &self.method {
            Method::Open => Ok(Identity::Anonymous),
            Method::Htpasswd { users, .. } => {
                let credentials = basic::credentials(authorization)?;
                users.verify(&credentials).await?;
                Ok(Identity::User(credentials.user.to_string()))
            }
        }
    }

    /// The `WWW-Authenticate` value that asks for credentials; `None` where
    /// none are needed.
    pub fn challenge(&self) -> Option<HeaderValue> {
        match &self.method {
            Method::Open => None,
            Method::Htpasswd { challenge, .. } => Some(challenge.clone()),
        }
    }

    /// Reads the users again (for SIGHUP; a change is noticed without it), and
    /// says what their owner should know. On an error the users stay as they
    /// were.
    pub async fn reload(&self) -> Result<Vec<Notice>, AuthError> {
        match &self.method {
            Method::Open => Ok(Vec::new()),
            Method::Htpasswd { users, .. } => users.reload().await,
        }
    }

    /// How many password hashes were computed since the start.
    pub fn hashes(&self) -> u64 {
        match &self.method {
            Method::Open => 0,
            Method::Htpasswd { users, .. } => users.hashes(),
        }
    }
}
