//! registry:2's `auth: htpasswd`: users and their password hashes in a file that
//! is reread when it changes.

mod create;
pub mod edit;
pub mod edit_error;
mod follow;
pub mod hash;
mod lines;
mod notice;
mod priority;
mod remember;
mod replace;
#[cfg(test)]
mod tests;
mod verify;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

pub use create::create_with_random_password;
pub use notice::{Created, Notice, Problem};

use super::backoff::{self, Attempt, Backoff, Slowed};
use super::basic::Credentials;
use super::caller::Stamp;
use super::user_name::UserName;
use super::{AuthError, Unidentified};
use follow::Follower;
use hash::NewHash;
use remember::Key;
use verify::Verifier;

/// The user that registry:2 makes in a file that does not exist.
const FIRST_USER: &str = "docker";

/// The bcrypt cost of registry:2's own hash for that user.
const FIRST_USER_COST: u32 = 10;

/// `auth.htpasswd` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The realm of the challenge.
    pub realm: String,
    /// The file of users.
    pub path: PathBuf,
    /// `limits.loginqueue`: how many verifications may wait for a processor, and
    /// as many again of those whose credentials were right lately.
    pub queue: usize,
    /// When logins have to wait.
    pub backoff: backoff::Limits,
}

impl Settings {
    /// At 60 ms each, about as long as a client waits.
    pub const QUEUE: usize = 64;
}

/// Verifies credentials against a users file.
pub(super) struct Htpasswd {
    file: Follower,
    key: Key,
    verifier: Verifier,
    backoff: Backoff,
}

impl Htpasswd {
    /// Reads the file; makes it, as registry:2 does, if there is none.
    pub(super) fn open(settings: Settings) -> Result<(Self, Vec<Notice>), AuthError> {
        let path = settings.path;
        let kind = NewHash::Bcrypt(FIRST_USER_COST);
        let created = create_with_random_password(&path, FIRST_USER, kind)?;
        let (file, notices) = Follower::open(path)?;
        let htpasswd = Self {
            file,
            key: Key::random()?,
            verifier: Verifier::new(settings.queue),
            backoff: Backoff::new(settings.backoff),
        };
        let created = created.map(Notice::Created);
        Ok((htpasswd, created.into_iter().chain(notices).collect()))
    }

    /// Verifies credentials from an address, from memory or by a hash, and
    /// tells the version of the user's password.
    pub(super) async fn verify(
        &self,
        credentials: &Credentials,
        address: Option<IpAddr>,
    ) -> Result<Stamp, Unidentified> {
        let Credentials { user, password } = credentials;
        let tag = self.key.tag(user, password);
        let attempt = Attempt {
            user,
            address,
            tag: &tag,
        };
        self.file.look_if_due().await;
        let now = Instant::now();
        let remembered = {
            let version = self.file.current();
            let remembered = version.remembered.knows(user, &tag, now);
            if remembered && self.backoff.is_calm(address, now) {
                return version.users.stamp(user).ok_or(Unidentified::Wrong);
            }
            remembered
        };
        let admitted = self.backoff.admit(attempt, now);
        let lane = admitted.map_err(|Slowed(wait)| Unidentified::Slowed {
            seconds: wait.as_secs() + 1,
        })?;
        if !remembered {
            // A hash is due anyway: look now, so that who was just added or
            // given a new password need not wait.
            self.file.look().await;
        }
        let version = Arc::clone(&self.file.current());
        let verify = || async {
            // The flight before this one may have just landed.
            if version.remembered.knows(user, &tag, Instant::now()) {
                return Ok(true);
            }
            let (hash, known) = version.users.hash_of(user);
            let matches = self.verifier.verify(hash, password.clone(), lane).await? && known;
            let now = Instant::now();
            if matches {
                version.remembered.remember(user, tag, now);
            } else {
                self.backoff.wrong(attempt, known, now);
            }
            Ok(matches)
        };
        match version.flights.join(tag, verify).await? {
            true => {
                self.backoff.right(attempt, Instant::now());
                version.users.stamp(user).ok_or(Unidentified::Wrong)
            }
            false => Err(Unidentified::Wrong),
        }
    }

    /// The version of a user's password; `None` if there is no such user.
    pub(super) async fn stamp(&self, user: &UserName) -> Option<Stamp> {
        self.file.look_if_due().await;
        self.file.current().users.stamp(user)
    }

    /// Reads the file, changed or not, and says what is wrong with it. On an
    /// error the users stay as they were.
    pub(super) async fn reload(&self) -> Result<Vec<Notice>, AuthError> {
        self.file.reload().await
    }

    /// Looks at the file, and says what is wrong with it: the users read before
    /// count meanwhile.
    pub(super) async fn problem(&self) -> Option<String> {
        self.file.look_if_due().await;
        self.file.problem()
    }

    /// How many hashes were computed since the start.
    pub(super) fn hashes(&self) -> u64 {
        self.verifier.hashes()
    }
}
