//! Credentials that were right within a day, and from where: not to let them
//! in, which takes a hash or a younger memory, but to tell their owners from
//! those who guess.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq as _;

use super::{Attempt, Tag};
use crate::auth::user_name::UserName;

/// How long credentials are known: builds that run every night stay known.
const LIFE: Duration = Duration::from_secs(26 * 60 * 60);

/// How many users are known; some 300 bytes each.
const MAX_USERS: usize = 4096;

/// How many of their addresses.
const MAX_ADDRESSES: usize = 8;

/// Who was right lately.
#[derive(Debug, Default)]
pub(super) struct Lately {
    users: Mutex<HashMap<UserName, Entry>>,
}

/// That credentials were right lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Right {
    /// From this address, too.
    pub(super) here: bool,
}

#[derive(Debug)]
struct Entry {
    tag: Tag,
    until: Instant,
    /// The latest last.
    addresses: Vec<Option<IpAddr>>,
}

impl Lately {
    /// Whether these credentials were right lately.
    pub(super) fn right(&self, attempt: Attempt<'_>, now: Instant) -> Option<Right> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = users.get(attempt.user)?;
        let same = entry.until > now && bool::from(entry.tag.ct_eq(attempt.tag));
        same.then(|| Right {
            here: entry.addresses.contains(&attempt.address),
        })
    }

    /// They are right now.
    pub(super) fn remember(&self, attempt: Attempt<'_>, now: Instant) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= MAX_USERS && !users.contains_key(attempt.user) {
            make_room(&mut users, now);
        }
        let until = now + LIFE;
        let entry = users.entry(attempt.user.clone()).or_insert(Entry {
            tag: *attempt.tag,
            until,
            addresses: Vec::new(),
        });
        if entry.tag != *attempt.tag || entry.until <= now {
            entry.addresses.clear();
        }
        entry.tag = *attempt.tag;
        entry.until = until;
        let address = attempt.address;
        entry.addresses.retain(|known| *known != address);
        if entry.addresses.len() >= MAX_ADDRESSES {
            entry.addresses.remove(0);
        }
        entry.addresses.push(address);
    }
}

/// Forgets what is over, and if nothing is, the oldest.
fn make_room(users: &mut HashMap<UserName, Entry>, now: Instant) {
    users.retain(|_, entry| entry.until > now);
    if users.len() < MAX_USERS {
        return;
    }
    let oldest = users.iter().min_by_key(|(_, entry)| entry.until);
    if let Some(user) = oldest.map(|(user, _)| user.clone()) {
        users.remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt<'a>(user: &'a UserName, tag: &'a Tag, last: u8) -> Attempt<'a> {
        let address = Some(IpAddr::from([10, 0, 0, last]));
        Attempt { user, address, tag }
    }

    #[test]
    fn knows_credentials_for_a_day_with_their_last_addresses() {
        let lately = Lately::default();
        let now = Instant::now();
        let moby: UserName = "moby".parse().unwrap();
        for last in 0..10 {
            lately.remember(attempt(&moby, &[1; 32], last), now);
        }
        let right = |tag, last| lately.right(attempt(&moby, tag, last), now);
        assert_eq!(right(&[1; 32], 9), Some(Right { here: true }));
        assert_eq!(right(&[1; 32], 1), Some(Right { here: false }));
        assert_eq!(right(&[2; 32], 9), None);
        let over = lately.right(attempt(&moby, &[1; 32], 9), now + LIFE);
        assert_eq!(over, None);
        // A new password has no addresses yet.
        lately.remember(attempt(&moby, &[2; 32], 3), now);
        let right = |tag, last| lately.right(attempt(&moby, tag, last), now);
        assert_eq!(right(&[2; 32], 9), Some(Right { here: false }));
        assert_eq!(right(&[1; 32], 9), None);
    }

    #[test]
    fn is_bounded() {
        let lately = Lately::default();
        let now = Instant::now();
        for number in 0..=MAX_USERS as u64 {
            let user: UserName = format!("u{number}").parse().unwrap();
            let at = now + Duration::from_millis(number);
            lately.remember(attempt(&user, &[1; 32], 1), at);
        }
        assert_eq!(lately.users.lock().unwrap().len(), MAX_USERS);
        let first: UserName = "u0".parse().unwrap();
        assert_eq!(lately.right(attempt(&first, &[1; 32], 1), now), None);
    }
}
