//! Who is it: turns a request's `Authorization` into an identity.

pub mod backoff;
mod basic;
mod bearer;
pub mod caller;
mod followed;
pub mod htpasswd;
mod jwt;
pub mod outside;
pub mod password;
pub mod robots;
pub mod source;
pub mod tokens;
pub mod user_name;
pub mod watch;
mod wire;
pub mod workloads;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;

use caller::{Caller, Identity, Needed, Proof, Scope};
use htpasswd::edit_error::EditError;
use htpasswd::{Htpasswd, Notice};
use outside::Outside;
use tokens::{Issued, Tokens};
use workloads::Workloads;

use crate::storage::{StorageError, Store};
use robots::{Robots, Secret};

/// What workloads log in to where nobody else does.
const WORKLOADS_REALM: &str = "Registry Realm";

/// How callers are told apart. Without any way they are not: everybody is
/// anonymous.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// registry:2's `auth: htpasswd`.
    pub htpasswd: Option<htpasswd::Settings>,
    /// registry:2's `auth: token`: an outside service's tokens.
    pub outside: Option<outside::Settings>,
    /// Issuers of workloads' identities.
    pub oidc: Vec<workloads::Settings>,
    /// wharf's own tokens, for whoever logs in by one of the ways above.
    pub tokens: Option<tokens::Settings>,
}

impl Settings {
    /// Whether there is no way to log in, so that everybody is anonymous.
    pub fn is_open(&self) -> bool {
        self.htpasswd.is_none() && self.outside.is_none() && self.oidc.is_empty()
    }
}

/// What a request shows of who makes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'a> {
    /// Its `Authorization` header. A request with more than one must be refused.
    pub authorization: Option<&'a HeaderValue>,
    /// Where it comes from; an IPv6 network where one host has it whole.
    pub address: Option<IpAddr>,
}

/// What a client is asked for credentials for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What its request needs.
    pub needed: &'a [Needed],
    /// What was wrong with what it showed.
    pub why: Unidentified,
    /// Whether it showed a Bearer token.
    pub token: bool,
    /// `scheme://host[:port]` by which it reached us, if that can be told.
    pub url: Option<&'a str>,
    /// What our paths begin with: empty, or `/name`.
    pub prefix: &'a str,
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
    /// The token is good, but not for this.
    #[error("this token is not for what was asked")]
    Narrow,
    /// Too many verifications are under way.
    #[error("too many logins at once")]
    Busy,
    /// The storage, where robots are, does not answer: whether the credentials
    /// are right is not known.
    #[error("who this is cannot be looked up at the moment")]
    Unavailable,
    /// There were too many wrong passwords from this address or for this user.
    #[error("too many wrong logins")]
    Slowed {
        /// How long the next login has to wait, in seconds.
        seconds: u64,
    },
}

/// The name of a user that `Authorization: Basic` gives, whatever else is wrong
/// with it: for the audit log.
pub fn claimed_user(header: &HeaderValue) -> Option<String> {
    basic::claimed_user(header)
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
    /// Keys that tokens are verified with cannot be read, or used.
    #[error("keys of `auth`: {0}; correct the file or the configuration")]
    Keys(String),
}

/// Identifies callers. Clones share what they know.
#[derive(Clone)]
pub struct Authenticator {
    ways: Arc<Ways>,
}

/// The ways that are configured.
struct Ways {
    htpasswd: Option<Htpasswd>,
    outside: Option<Outside>,
    workloads: Option<Workloads>,
    tokens: Option<Tokens>,
    robots: Robots,
    /// What asks for a password.
    basic: Option<HeaderValue>,
}

impl Authenticator {
    /// Makes ready to identify callers, and says what the owner of the users
    /// should know. A users file that does not exist is made as registry:2 does
    /// it: [`Notice::Created`] has the password. Reads the file, and may hash.
    /// `store` has what replicas share.
    pub async fn open(
        settings: Settings,
        store: &Arc<dyn Store>,
    ) -> Result<(Self, Vec<Notice>), AuthError> {
        let mut ways = Ways {
            htpasswd: None,
            outside: settings.outside.map(Outside::open).transpose()?,
            workloads: None,
            tokens: settings.tokens.map(|own| Tokens::new(own, store)),
            robots: Robots::new(store),
            basic: None,
        };
        let mut notices = Vec::new();
        if let Some(settings) = settings.htpasswd {
            let challenge = basic::challenge(&settings.realm);
            let refused = || AuthError::Realm(settings.realm.clone());
            ways.basic = Some(challenge.ok_or_else(refused)?);
            let (users, said) = Htpasswd::open(settings)?;
            ways.htpasswd = Some(users);
            notices = said;
        }
        if !settings.oidc.is_empty() {
            ways.workloads = Some(Workloads::open(settings.oidc)?);
            ways.basic = ways.basic.or_else(|| basic::challenge(WORKLOADS_REALM));
        }
        let ways = Arc::new(ways);
        Ok((Self { ways }, notices))
    }

    /// Whether there is any way to log in.
    pub fn asks(&self) -> bool {
        let ways = &self.ways;
        ways.htpasswd.is_some() || ways.outside.is_some() || ways.workloads.is_some()
    }

    /// Who is behind what a request shows. Whoever shows nothing is
    /// [`Unidentified::Missing`] where there is a way to log in: whether they
    /// may come in all the same is for the access rules.
    pub async fn identify(&self, shown: Shown<'_>) -> Result<Caller, Unidentified> {
        if !self.asks() {
            return Ok(Caller::anonymous());
        }
        if let Some(token) = bearer::token(shown.authorization)? {
            if let Some(tokens) = &self.ways.tokens {
                let caller = tokens.verify(token, SystemTime::now()).await?;
                return match self.stands(&caller).await {
                    true => Ok(caller),
                    false => Err(Unidentified::Wrong),
                };
            }
            let outside = self.ways.outside.as_ref().ok_or(Unidentified::Wrong)?;
            return outside.identify(token).await;
        }
        let sent = basic::sent(shown.authorization)?;
        if let Some(workloads) = &self.ways.workloads
            && workloads.claims(sent.password())
        {
            return workloads.identify(sent.password()).await;
        }
        let credentials = sent.credentials()?;
        if let Some(secret) = Secret::of(&credentials.password) {
            return self.ways.robots.verify(&credentials.user, &secret).await;
        }
        let users = self.ways.htpasswd.as_ref().ok_or(Unidentified::Wrong)?;
        let stamp = users.verify(&credentials, shown.address).await?;
        let user = Identity::User(credentials.user);
        Ok(Caller::known(user, Proof::Password(stamp)))
    }

    /// Whether what proved the caller's identity still counts: the user is
    /// there and has the same password, the robot is neither revoked nor
    /// expired.
    pub async fn stands(&self, caller: &Caller) -> bool {
        match (&caller.identity, &caller.proof) {
            (_, Proof::Nothing) => true,
            (Identity::User(user), Proof::Password(stamp)) => match &self.ways.htpasswd {
                Some(users) => users.stamp(user).await == Some(*stamp),
                None => false,
            },
            // A request that runs for longer than its token was begun in time.
            (_, Proof::Outside { .. }) => self.ways.outside.is_some(),
            (Identity::Workload { issuer, .. }, Proof::Workload { mapping, .. }) => self
                .ways
                .workloads
                .as_ref()
                .is_some_and(|workloads| workloads.stands(issuer, *mapping)),
            (_, Proof::Workload { .. }) => false,
            (Identity::Robot(name), Proof::Robot(stamp)) => {
                self.ways.robots.stands(name, *stamp).await
            }
            (_, Proof::Password(_) | Proof::Robot(_)) => false,
        }
    }

    /// The `WWW-Authenticate` values that ask for credentials; none where none
    /// are needed.
    pub fn challenges(&self, asked: &Asked<'_>) -> Vec<HeaderValue> {
        let own = self.ways.tokens.as_ref();
        if let Some(own) = own.and_then(|tokens| tokens.challenge(asked)) {
            return vec![own];
        }
        let outside = self.ways.outside.iter();
        let bearer = outside.filter_map(|outside| outside.challenge(asked));
        bearer.chain(self.ways.basic.clone()).collect()
    }

    /// What asks for the credentials that a token is given for.
    pub fn challenge_for_token(&self) -> Vec<HeaderValue> {
        self.ways.basic.iter().cloned().collect()
    }

    /// Whether tokens are given out.
    pub fn gives_tokens(&self) -> bool {
        self.ways.tokens.is_some()
    }

    /// A token for `scope`, which the caller must have the rights for; `None`
    /// where no tokens are given out.
    ///
    /// # Errors
    /// The keys cannot be read or made.
    pub async fn issue(
        &self,
        caller: &Caller,
        scope: &Scope,
    ) -> Result<Option<Issued>, tokens::Failed> {
        match &self.ways.tokens {
            Some(tokens) => Ok(Some(tokens.issue(caller, scope, SystemTime::now()).await?)),
            None => Ok(None),
        }
    }

    /// Reads the users again (for SIGHUP; a change is noticed without it), and
    /// says what their owner should know. On an error the users stay as they
    /// were.
    pub async fn reload(&self) -> Result<Vec<Notice>, AuthError> {
        match &self.ways.htpasswd {
            Some(users) => users.reload().await,
            None => Ok(Vec::new()),
        }
    }

    /// Writes down in the storage which robots were used: those whose last
    /// record is a minute old, or `all`.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn write_uses(&self, all: bool) -> Result<(), StorageError> {
        self.ways.robots.write_uses(all).await
    }

    /// Looks at the files that are followed, and says which of them (`users`,
    /// `keys`) cannot be used and why: their last good version stays in force.
    pub async fn broken(&self) -> BTreeMap<&'static str, String> {
        let mut broken = BTreeMap::new();
        if let Some(users) = &self.ways.htpasswd
            && let Some(why) = users.problem().await
        {
            broken.insert("users", why);
        }
        let mut keys = Vec::new();
        if let Some(outside) = &self.ways.outside {
            keys.extend(outside.problems().await);
        }
        if let Some(workloads) = &self.ways.workloads {
            keys.extend(workloads.problems().await);
        }
        if !keys.is_empty() {
            broken.insert("keys", keys.join("; "));
        }
        broken
    }

    /// How many password hashes were computed since the start.
    pub fn hashes(&self) -> u64 {
        self.ways.htpasswd.as_ref().map_or(0, Htpasswd::hashes)
    }
}
