//! Credentials that were right a moment ago, so that a pull of twenty layers
//! pays for one hash. Only what was right is kept, and only as a keyed hash.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::auth::password::Password;
use crate::auth::user_name::UserName;

/// How long credentials are remembered. A change of the file forgets them at
/// once, so this need not be short for that; five minutes cover a build's pulls
/// and pushes, and let go of the tags of those who left.
const LIFE: Duration = Duration::from_secs(5 * 60);

/// How many users are remembered; one entry each, some 300 bytes.
const MAX_ENTRIES: usize = 4096;

/// HMAC-SHA-256 of user, a zero byte (which neither may hold) and password.
pub(super) use crate::auth::backoff::Tag;

/// The random key of this process: tags mean nothing outside.
pub(super) struct Key(Hmac<Sha256>);

/// The tags of the credentials that were right.
#[derive(Default)]
pub(super) struct Remembered {
    /// Read on every request without a lock, copied on the rare write.
    entries: ArcSwap<HashMap<UserName, Entry>>,
}

#[derive(Clone, Copy)]
struct Entry {
    tag: Tag,
    until: Instant,
}

impl Key {
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        // A whole block of SHA-256.
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)?;
        let key = Hmac::new(&bytes.into());
        bytes.zeroize();
        Ok(Self(key))
    }

    pub(super) fn tag(&self, user: &UserName, password: &Password) -> Tag {
        let mut mac = self.0.clone();
        mac.update(user.as_str().as_bytes());
        mac.update(&[0]);
        mac.update(password.reveal().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl Remembered {
    /// Whether these credentials were right within the last five minutes.
    pub(super) fn knows(&self, user: &UserName, tag: &Tag, now: Instant) -> bool {
        self.entries
            .load()
            .get(user)
            .is_some_and(|entry| entry.until > now && bool::from(entry.tag.ct_eq(tag)))
    }

    /// Remembers credentials that were just verified.
    pub(super) fn remember(&self, user: &UserName, tag: Tag, now: Instant) {
        let until = now + LIFE;
        self.entries.rcu(|entries| {
            let mut entries = HashMap::clone(entries);
            entries.retain(|_, entry| entry.until > now);
            if entries.len() >= MAX_ENTRIES {
                let oldest = entries.iter().min_by_key(|(_, entry)| entry.until);
                if let Some(oldest) = oldest.map(|(user, _)| user.clone()) {
                    entries.remove(&oldest);
                }
            }
            entries.insert(user.clone(), Entry { tag, until });
            Arc::new(entries)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    fn tag(key: &Key, name: &str, password: &str) -> Tag {
        key.tag(&user(name), &Password::new(password.to_owned()).unwrap())
    }

    #[test]
    fn a_tag_stands_for_user_and_password_and_process() {
        let key = Key::random().unwrap();
        assert_eq!(tag(&key, "a", "bc"), tag(&key, "a", "bc"));
        assert_ne!(tag(&key, "a", "bc"), tag(&key, "ab", "c"));
        assert_ne!(tag(&key, "a", "bc"), tag(&key, "a", "bd"));
        let other = Key::random().unwrap();
        assert_ne!(tag(&key, "a", "bc"), tag(&other, "a", "bc"));
    }

    #[test]
    fn remembers_for_five_minutes() {
        let remembered = Remembered::default();
        let key = Key::random().unwrap();
        let right = tag(&key, "moby", "gordon");
        let now = Instant::now();
        assert!(!remembered.knows(&user("moby"), &right, now));
        remembered.remember(&user("moby"), right, now);
        assert!(remembered.knows(&user("moby"), &right, now));
        assert!(remembered.knows(&user("moby"), &right, now + LIFE / 2));
        assert!(!remembered.knows(&user("moby"), &right, now + LIFE));
        assert!(!remembered.knows(&user("moby"), &tag(&key, "moby", "x"), now));
        assert!(!remembered.knows(&user("bob"), &right, now));
    }

    #[test]
    fn is_bounded_and_forgets_the_oldest() {
        let now = Instant::now();
        let full = (0..MAX_ENTRIES).map(|number| {
            let until = now + Duration::from_secs(1 + number as u64);
            (
                user(&format!("u{number}")),
                Entry {
                    tag: [0; 32],
                    until,
                },
            )
        });
        let remembered = Remembered {
            entries: ArcSwap::from_pointee(full.collect()),
        };
        remembered.remember(&user("new"), [0; 32], now);
        assert_eq!(remembered.entries.load().len(), MAX_ENTRIES);
        assert!(remembered.knows(&user("new"), &[0; 32], now));
        assert!(!remembered.knows(&user("u0"), &[0; 32], now));
        assert!(remembered.knows(&user("u1"), &[0; 32], now));
    }
}
