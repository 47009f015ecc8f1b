//! Log lines that tell an operator what to change, each at most once in a while
//! per address: a client that keeps trying must not flood the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an address is not told the same again.
const QUIET: Duration = Duration::from_secs(600);

/// Addresses that are remembered; beyond them nobody new is told anything until
/// some are forgotten.
const REMEMBERED: usize = 4_096;

/// What a hint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    /// Plain HTTP came to a TLS port.
    PlainOnTls,
    /// TLS came to a plain port.
    TlsOnPlain,
    /// A client does not trust the certificate.
    Untrusted,
    /// An address has too many connections.
    TooMany,
    /// Too many connections are open in all, or too many files.
    Exhausted,
}

/// What has been said, and when.
#[derive(Debug, Default)]
pub(super) struct Hints {
    said: Mutex<HashMap<(Topic, Option<IpAddr>), Instant>>,
}

impl Hints {
    /// Whether a hint may be written now; asking counts as writing it.
    pub(super) fn due(&self, topic: Topic, address: Option<IpAddr>, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (topic, address);
        let fresh = |at: &Instant| now.saturating_duration_since(*at) < QUIET;
        if said.get(&key).is_some_and(fresh) {
            return false;
        }
        if said.len() >= REMEMBERED {
            said.retain(|_, at| fresh(at));
            if said.len() >= REMEMBERED {
                return false;
            }
        }
        said.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_told_each_thing_once_in_a_while() {
        let hints = Hints::default();
        let start = Instant::now();
        let ann = Some(IpAddr::from([10, 0, 0, 1]));
        let bob = Some(IpAddr::from([10, 0, 0, 2]));
        assert!(hints.due(Topic::PlainOnTls, ann, start));
        assert!(!hints.due(Topic::PlainOnTls, ann, start));
        assert!(hints.due(Topic::PlainOnTls, bob, start));
        assert!(hints.due(Topic::Untrusted, ann, start));
        assert!(hints.due(Topic::PlainOnTls, ann, start + QUIET));
    }

    #[test]
    fn memory_is_bounded() {
        let hints = Hints::default();
        let start = Instant::now();
        for number in 0..(REMEMBERED as u32 + 10) {
            let address = Some(IpAddr::from(number.to_be_bytes()));
            let told = hints.due(Topic::TlsOnPlain, address, start);
            assert_eq!(told, number < REMEMBERED as u32);
        }
        assert!(hints.due(Topic::TlsOnPlain, None, start + QUIET));
        assert_eq!(hints.said.lock().unwrap().len(), 1);
    }
}
