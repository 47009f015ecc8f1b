//! Back-off: wrong passwords make the next login from that address, and of that
//! user, wait, before it costs a hash. Nobody who knows the password is locked
//! out by somebody who guesses:
//!
//! - Credentials that were right within a day pass from the addresses that they
//!   were right from, whatever others do there; and from any other address, as
//!   long as that one is not slowed itself. They come before strangers in the
//!   queue, too.
//! - Everybody else passes unless their address or the user is slowed.
//!
//! That slowed addresses which the user never came from get nothing, even with
//! the right password, is what keeps the memory of right ones from answering
//! guesses as fast as the wire brings them. What is decided never depends on
//! whether a user exists.

mod lately;
mod levels;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lately::Lately;
use levels::Levels;

use super::user_name::UserName;

/// What the wrong passwords of one minute may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `limits.loginsperaddress`: from one address; 0 is any number.
    pub per_address: u32,
    /// `limits.loginsperuser`: for one user, from wherever; 0 is any number.
    pub per_user: u32,
}

/// A keyed hash of user and password.
pub(super) type Tag = [u8; 32];

/// One login with a password.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) user: &'a UserName,
    /// Unknown on a unix socket: then only the user is slowed.
    pub(super) address: Option<IpAddr>,
    pub(super) tag: &'a Tag,
}

/// In which queue for a processor a login waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// These credentials were right within a day.
    Known,
    /// They may be anybody's.
    Stranger,
}

/// The login has to wait for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slowed(pub(super) Duration);

/// Counts wrong passwords, and remembers right ones.
#[derive(Debug)]
pub(super) struct Backoff {
    addresses: Levels<IpAddr>,
    users: Levels<UserName>,
    lately: Lately,
}

impl Limits {
    /// Any number of wrong passwords.
    pub const NONE: Self = Self {
        per_address: 0,
        per_user: 0,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_address: 60,
            per_user: 60,
        }
    }
}

impl Backoff {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            addresses: Levels::new(limits.per_address),
            users: Levels::new(limits.per_user),
            lately: Lately::default(),
        }
    }

    /// Whether logins from an address are not slowed.
    pub(super) fn is_calm(&self, address: Option<IpAddr>, now: Instant) -> bool {
        self.wait_of(address, now).is_none()
    }

    /// How a login goes on.
    pub(super) fn admit(&self, attempt: Attempt<'_>, now: Instant) -> Result<Lane, Slowed> {
        let lately = self.lately.right(attempt, now);
        if lately.is_some_and(|right| right.here) {
            return Ok(Lane::Known);
        }
        if let Some(wait) = self.wait_of(attempt.address, now) {
            return Err(Slowed(wait));
        }
        if lately.is_some() {
            return Ok(Lane::Known);
        }
        match self.users.wait(attempt.user, now) {
            Some(wait) => Err(Slowed(wait)),
            None => Ok(Lane::Stranger),
        }
    }

    /// The credentials were right.
    pub(super) fn right(&self, attempt: Attempt<'_>, now: Instant) {
        self.lately.remember(attempt, now);
    }

    /// They were wrong, which took a hash. `known` is whether there is such a
    /// user: what a client says is a user may be a password.
    pub(super) fn wrong(&self, attempt: Attempt<'_>, known: bool, now: Instant) {
        if let Some(address) = attempt.address
            && self.addresses.add(&address, now)
        {
            tracing::warn!(%address, "too many wrong passwords from this address: further logins from there wait (limits.loginsperaddress); if it is a proxy, name it in http.trustedproxies");
        }
        if self.users.add(attempt.user, now) && known {
            tracing::warn!(user = %attempt.user, "too many wrong passwords for this user: logins from new addresses wait (limits.loginsperuser)");
        }
    }

    fn wait_of(&self, address: Option<IpAddr>, now: Instant) -> Option<Duration> {
        self.addresses.wait(&address?, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        per_address: 3,
        per_user: 6,
    };

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    fn from(address: [u8; 4]) -> Option<IpAddr> {
        Some(IpAddr::from(address))
    }

    fn attempt<'a>(user: &'a UserName, tag: &'a Tag, last: u8) -> Attempt<'a> {
        Attempt {
            user,
            address: from([10, 0, 0, last]),
            tag,
        }
    }

    #[test]
    fn an_address_waits_after_its_wrong_passwords_whoever_it_asks_for() {
        let backoff = Backoff::new(LIMITS);
        let now = Instant::now();
        for name in ["a", "b", "c"] {
            let name = user(name);
            let attempt = attempt(&name, &[1; 32], 1);
            assert_eq!(backoff.admit(attempt, now), Ok(Lane::Stranger));
            backoff.wrong(attempt, false, now);
        }
        let name = user("d");
        let refused = backoff.admit(attempt(&name, &[1; 32], 1), now);
        assert_eq!(refused, Err(Slowed(Duration::from_secs(20))));
        let other = backoff.admit(attempt(&name, &[1; 32], 2), now);
        assert_eq!(other, Ok(Lane::Stranger));
        let later = now + Duration::from_secs(20);
        let later = backoff.admit(attempt(&name, &[1; 32], 1), later);
        assert_eq!(later, Ok(Lane::Stranger));
    }

    #[test]
    fn who_was_right_passes_while_others_guess() {
        let backoff = Backoff::new(LIMITS);
        let now = Instant::now();
        let moby = user("moby");
        let (right, wrong) = ([1; 32], [2; 32]);
        backoff.right(attempt(&moby, &right, 1), now);
        // From everywhere, and from where moby is.
        for last in [1, 1, 1, 2, 3, 4, 5] {
            backoff.wrong(attempt(&moby, &wrong, last), true, now);
        }
        let admit = |tag, last| backoff.admit(attempt(&moby, tag, last), now);
        assert_eq!(admit(&right, 1), Ok(Lane::Known), "at home");
        assert_eq!(admit(&right, 9), Ok(Lane::Known), "from a new address");
        assert!(admit(&wrong, 1).is_err());
        assert!(admit(&wrong, 9).is_err(), "the user is slowed");
        // Guesses from a slowed address learn nothing, not even by being right.
        for _ in 0..3 {
            backoff.wrong(attempt(&moby, &wrong, 7), true, now);
        }
        assert!(admit(&right, 7).is_err());
        // What others are not concerned with stays as it was.
        let bob = user("bob");
        let bobs = backoff.admit(attempt(&bob, &wrong, 9), now);
        assert_eq!(bobs, Ok(Lane::Stranger));
    }

    #[test]
    fn nothing_is_slowed_without_limits_or_address() {
        let backoff = Backoff::new(Limits::NONE);
        let now = Instant::now();
        let moby = user("moby");
        let attempt = attempt(&moby, &[1; 32], 1);
        let unknown = Attempt {
            address: None,
            ..attempt
        };
        for _ in 0..1000 {
            backoff.wrong(attempt, true, now);
            backoff.wrong(unknown, true, now);
        }
        assert_eq!(backoff.admit(attempt, now), Ok(Lane::Stranger));
        assert_eq!(backoff.admit(unknown, now), Ok(Lane::Stranger));
    }
}
