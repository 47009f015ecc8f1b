//! What quotas are held against: what their repositories hold, and what the
//! uploads under way in this process may still add, so that several at once
//! can't exceed together.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Quota;
use crate::oci::RepositoryName;
use crate::registry::Error;

/// An upload that nobody asked about for so long is taken for left.
const LEFT: Duration = Duration::from_secs(3600);

/// The sums of the quotas, and everything that is reserved.
#[derive(Default)]
pub(super) struct Ledger {
    quotas: Vec<Quota>,
    sums: Vec<Sum>,
    /// Whether what repositories hold has to be summed up anew.
    outdated: bool,
    open: HashMap<String, Open>,
}

/// Bytes of one quota.
#[derive(Clone, Copy, Default)]
struct Sum {
    used: u64,
    reserved: u64,
}

/// Something that will add to a repository if it comes to its end.
struct Open {
    repository: RepositoryName,
    quota: Option<usize>,
    reserved: u64,
    /// Whether it is an upload session: a mount or a manifest is none.
    session: bool,
    last: Instant,
}

impl Ledger {
    /// What repositories hold has changed in a way that it was not told.
    pub(super) fn outdated(&mut self) {
        self.outdated = true;
    }

    /// Whether [`Ledger::sum_up`] has to be called for these quotas.
    pub(super) fn needs(&self, quotas: &[Quota]) -> bool {
        self.quotas != quotas || self.outdated && !quotas.is_empty()
    }

    /// Takes over quotas, and what the repositories hold.
    pub(super) fn sum_up(&mut self, quotas: &[Quota], held: impl Iterator<Item = (String, u64)>) {
        self.quotas = quotas.to_vec();
        self.sums = vec![Sum::default(); quotas.len()];
        self.outdated = false;
        for (name, size) in held {
            if let Some(sum) = self.sum_of(&name) {
                sum.used = sum.used.saturating_add(size);
            }
        }
        let mut open = std::mem::take(&mut self.open);
        for one in open.values_mut() {
            one.quota = self.quota_of(&one.repository);
            if let Some(sum) = one.quota.and_then(|at| self.sums.get_mut(at)) {
                sum.reserved = sum.reserved.saturating_add(one.reserved);
            }
        }
        self.open = open;
    }

    /// A repository holds so much more, or less.
    pub(super) fn changed(&mut self, repository: &str, bytes: i64) {
        if let Some(sum) = self.sum_of(repository) {
            sum.used = sum.used.saturating_add_signed(bytes);
        }
    }

    /// Whether the repository has a quota.
    pub(super) fn has_quota(&self, repository: &RepositoryName) -> bool {
        self.quota_of(repository).is_some()
    }

    /// Refuses if nothing at all may be added to a repository.
    pub(super) fn check_left(&self, repository: &RepositoryName) -> Result<(), Error> {
        match self.quota_of(repository) {
            Some(at) if self.left(at) == 0 => Err(self.exceeded(at, 1)),
            _ => Ok(()),
        }
    }

    /// Reserves so many bytes in all for something, beside the `free` ones that
    /// cost nothing, or refuses if the quota doesn't allow what is more than it
    /// has.
    pub(super) fn reserve(
        &mut self,
        key: &str,
        repository: &RepositoryName,
        session: bool,
        bytes: u64,
    ) -> Result<(), Error> {
        self.enter(key, repository, session);
        let Some(open) = self.open.get(key) else {
            return Ok(());
        };
        let more = bytes.saturating_sub(open.reserved);
        if let Some(at) = open.quota
            && more > self.left(at)
        {
            return Err(self.exceeded(at, more));
        }
        if more > 0 {
            self.set(key, bytes);
        }
        Ok(())
    }

    /// Reserves exactly so many bytes, whatever the quota says: they are there.
    pub(super) fn settle(&mut self, key: &str, repository: &RepositoryName, bytes: u64) {
        self.enter(key, repository, true);
        self.set(key, bytes);
    }

    /// It has ended: nothing is reserved for it any more.
    pub(super) fn release(&mut self, key: &str) {
        self.set(key, 0);
        self.open.remove(key);
    }

    /// The upload sessions that are open, and their bytes.
    pub(super) fn open(&self) -> (u64, u64) {
        let sessions = self.open.values().filter(|open| open.session);
        sessions.fold((0, 0), |(count, bytes), open| {
            (count + 1, bytes + open.reserved)
        })
    }

    fn enter(&mut self, key: &str, repository: &RepositoryName, session: bool) {
        let now = Instant::now();
        if let Some(open) = self.open.get_mut(key) {
            open.last = now;
            return;
        }
        // Now and then, so that no request pays for all the others.
        if self.open.len() >= 1024 && self.open.len().is_power_of_two() {
            let left = |open: &Open| now.saturating_duration_since(open.last) > LEFT;
            let keys = self.open.iter().filter(|(_, open)| left(open));
            let keys: Vec<String> = keys.map(|(key, _)| key.clone()).collect();
            for key in keys {
                self.release(&key);
            }
        }
        let open = Open {
            repository: repository.clone(),
            quota: self.quota_of(repository),
            reserved: 0,
            session,
            last: now,
        };
        self.open.insert(key.to_owned(), open);
    }

    fn set(&mut self, key: &str, bytes: u64) {
        let Some(open) = self.open.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut open.reserved, bytes);
        if let Some(sum) = open.quota.and_then(|at| self.sums.get_mut(at)) {
            sum.reserved = sum.reserved.saturating_sub(before).saturating_add(bytes);
        }
    }

    fn quota_of(&self, repository: &RepositoryName) -> Option<usize> {
        let mut quotas = self.quotas.iter();
        quotas.position(|quota| quota.repositories.matches(repository))
    }

    fn sum_of(&mut self, repository: &str) -> Option<&mut Sum> {
        if self.quotas.is_empty() {
            return None;
        }
        let at = self.quota_of(&repository.parse().ok()?)?;
        self.sums.get_mut(at)
    }

    fn left(&self, at: usize) -> u64 {
        let size = self.quotas.get(at).map_or(u64::MAX, |quota| quota.size);
        size.saturating_sub(self.taken(at))
    }

    fn taken(&self, at: usize) -> u64 {
        let sum = self.sums.get(at).copied().unwrap_or_default();
        sum.used.saturating_add(sum.reserved)
    }

    fn exceeded(&self, at: usize, needs: u64) -> Error {
        Error::QuotaExceeded {
            quota: self
                .quotas
                .get(at)
                .map(|quota| quota.repositories.to_string())
                .unwrap_or_default(),
            size: self.quotas.get(at).map_or(0, |quota| quota.size),
            used: self.taken(at),
            needs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    fn ledger(size: u64, used: u64) -> Ledger {
        let quotas = [Quota {
            repositories: "team/**".parse().unwrap(),
            size,
        }];
        let mut ledger = Ledger::default();
        assert!(ledger.needs(&quotas));
        ledger.sum_up(&quotas, [("team/a".to_owned(), used)].into_iter());
        assert!(!ledger.needs(&quotas));
        ledger
    }

    #[test]
    fn what_is_reserved_is_not_left_for_others() {
        let mut ledger = ledger(100, 40);
        let (a, b) = (name("team/a"), name("team/b"));
        ledger.reserve("1", &a, true, 50).unwrap();
        ledger.reserve("1", &a, true, 50).unwrap();
        assert!(ledger.reserve("2", &b, true, 11).is_err());
        ledger.reserve("2", &b, true, 10).unwrap();
        assert!(ledger.check_left(&a).is_err());
        ledger.check_left(&name("other")).unwrap();
        ledger.release("1");
        ledger.changed("team/a", 20);
        ledger.check_left(&b).unwrap();
        assert!(ledger.reserve("3", &b, false, 31).is_err());
        assert_eq!(ledger.open(), (1, 10));
    }

    #[test]
    fn another_quota_holds_for_what_is_open_too() {
        let mut ledger = ledger(100, 40);
        ledger.reserve("1", &name("team/a"), true, 50).unwrap();
        let quotas = [Quota {
            repositories: "team/a".parse().unwrap(),
            size: 60,
        }];
        assert!(ledger.needs(&quotas));
        ledger.sum_up(&quotas, std::iter::empty());
        assert!(ledger.reserve("1", &name("team/a"), true, 61).is_err());
        ledger.reserve("1", &name("team/a"), true, 60).unwrap();
        ledger.reserve("2", &name("team/b"), true, 1 << 40).unwrap();
    }
}
