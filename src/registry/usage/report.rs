//! What people are told of usage: pages of repositories, and all in all.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::super::{Error, Page, Registry, Sight};
use super::changes::Change;
use super::{State, UPLOADS, now};
use crate::oci::{RepositoryName, Span, UploadId};
use crate::storage::{Pages, layout};

/// Names of one look into a listing.
const AT_ONCE: usize = 1000;

/// What one repository holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryUsage {
    /// Its name.
    pub name: String,
    /// Its manifests.
    pub manifests: u64,
    /// Its tags.
    pub tags: u64,
    /// The bytes of content that nobody else is known to need.
    pub unique: u64,
    /// The bytes of content that others need too.
    pub shared: u64,
}

/// What all repositories hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// When a collection has measured it, in microseconds since 1970; `None`
    /// before the first one: then only what was pushed since usage is counted
    /// is known.
    pub measured: Option<u64>,
    /// The bytes of all content that somebody needs.
    pub used: u64,
    /// The bytes that wait for a collection, as far as that is known.
    pub waiting: u64,
    /// The upload sessions that running servers know.
    pub sessions: Sessions,
}

/// Upload sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sessions {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Repositories in the order of their names.
pub type UsagePage = Page<RepositoryUsage>;

impl RepositoryUsage {
    /// The bytes of all content that it needs.
    pub fn size(&self) -> u64 {
        self.unique.saturating_add(self.shared)
    }

    fn is_empty(&self) -> bool {
        self.manifests == 0 && self.tags == 0 && self.size() == 0
    }
}

impl Summary {
    /// When a collection has measured it, in RFC 3339.
    pub fn measured_at(&self) -> Option<String> {
        let time = i64::try_from(self.measured?).ok()?;
        let time = jiff::Timestamp::from_microsecond(time).ok()?;
        Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }
}

impl Registry {
    /// What repositories hold whose names are greater than `after` and that
    /// `sight` shows, at most `limit` of them.
    ///
    /// # Errors
    /// Those of the store, if nothing is known yet.
    pub async fn usage_page(
        &self,
        after: Option<&str>,
        limit: usize,
        sight: &dyn Sight,
    ) -> Result<UsagePage, Error> {
        self.usage().ready(self).await?;
        let state = self.usage().lock();
        let mut items = Vec::new();
        let after = after.unwrap_or_default();
        for span in sight.spans() {
            // Those that have nothing any more are passed over.
            let mut from = match span.start() {
                start if start > after => Bound::Included(start.to_owned()),
                _ => Bound::Excluded(after.to_owned()),
            };
            while items.len() <= limit {
                let names = state.names(&span, from, limit.saturating_add(1));
                let Some(last) = names.last() else { break };
                from = Bound::Excluded(last.clone());
                let seen = names
                    .iter()
                    .filter(|name| name.parse().is_ok_and(|name| sight.sees(&name)));
                let usages = seen.map(|name| state.usage_of(name));
                items.extend(usages.filter(|usage| !usage.is_empty()));
            }
        }
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| last.name.clone());
        Ok(Page { items, next })
    }

    /// What one repository holds.
    ///
    /// # Errors
    /// [`Error::NameUnknown`] if nothing was ever pushed there; those of the
    /// store.
    pub async fn usage_of(&self, name: &RepositoryName) -> Result<RepositoryUsage, Error> {
        self.usage().ready(self).await?;
        let usage = self.usage().lock().usage_of(name.as_str());
        if usage.is_empty() && !self.repository(name).exists().await? {
            return Err(Error::NameUnknown(name.clone()));
        }
        Ok(usage)
    }

    /// What all repositories hold.
    ///
    /// # Errors
    /// Those of the store, if nothing is known yet.
    pub async fn usage_summary(&self) -> Result<Summary, Error> {
        self.usage().ready(self).await?;
        Ok(self.usage().lock().summary())
    }

    /// The same as far as this process knows it already.
    pub fn known_usage(&self) -> Option<Summary> {
        let state = self.usage().lock();
        state.read.map(|_| state.summary())
    }

    /// Walks over all repositories and counts the upload sessions that are
    /// there, whoever began them.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn count_sessions(&self) -> Result<Sessions, Error> {
        let mut sessions = Sessions::default();
        let mut from: Option<String> = None;
        loop {
            let names = self.directories(from.as_deref(), AT_ONCE).await?;
            let Some(last) = names.last() else {
                return Ok(sessions);
            };
            from = Some(last.to_string());
            for name in &names {
                let here = self.sessions_of(name).await?;
                sessions.count += here.count;
                sessions.bytes += here.bytes;
            }
        }
    }

    async fn sessions_of(&self, name: &RepositoryName) -> Result<Sessions, Error> {
        let mut sessions = Sessions::default();
        let mut pages = Pages::of(layout::uploads(name), AT_ONCE);
        while let Some(page) = pages.next(self.store()).await? {
            for child in page {
                let Ok(id) = child.name.parse::<UploadId>() else {
                    continue;
                };
                if let Some(size) = self.store().staged(&layout::upload(name, &id)).await? {
                    sessions.count += 1;
                    sessions.bytes += size;
                }
            }
        }
        Ok(sessions)
    }
}

impl State {
    /// At most `limit` names of a span, in order.
    fn names(&self, span: &Span, from: Bound<String>, limit: usize) -> Vec<String> {
        let behind = || (from.as_ref().map(String::as_str), Bound::Unbounded);
        let within = |name: &&String| match span {
            Span::Prefix(prefix) => name.starts_with(prefix),
            Span::One(one) => name.as_str() == one.as_str(),
        };
        let measured = self.measured.range::<str, _>(behind());
        let measured = measured.map(|(name, _)| name).take_while(within);
        let mut names: BTreeSet<&String> = measured.take(limit).collect();
        for changes in self.changes() {
            let changed = changes.repositories.range::<str, _>(behind());
            let changed = changed.map(|(name, _)| name).take_while(within);
            names.extend(changed.take(limit));
        }
        names.into_iter().take(limit).cloned().collect()
    }

    pub(super) fn usage_of(&self, name: &str) -> RepositoryUsage {
        let held = self.measured.get(name).copied().unwrap_or_default();
        let changed = self.changed(name);
        // What was taken away may have been shared, or the other way round.
        let size = (held.unique.saturating_add(held.shared)).saturating_add_signed(changed.bytes());
        let shared = held.shared.saturating_add_signed(changed.shared).min(size);
        RepositoryUsage {
            name: name.to_owned(),
            manifests: held.manifests.saturating_add_signed(changed.manifests),
            tags: held.tags.saturating_add_signed(changed.tags),
            unique: size - shared,
            shared,
        }
    }

    fn summary(&self) -> Summary {
        let began = self.began();
        let changed = self
            .changes()
            .map(|changes| changes.all_since(began))
            .fold(Change::default(), Change::plus);
        let (used, waiting) = self
            .totals
            .as_ref()
            .map_or((0, 0), |totals| (totals.used, totals.waiting));
        let (count, bytes) = self.ledger.open();
        let mut sessions = Sessions { count, bytes };
        for other in self.others.values() {
            if now().saturating_sub(other.written) < UPLOADS {
                sessions.count += other.uploads;
                sessions.bytes += other.upload_bytes;
            }
        }
        Summary {
            measured: self.totals.as_ref().map(|totals| totals.began),
            used: used.saturating_add_signed(changed.unique),
            waiting: waiting.saturating_add_signed(changed.waiting),
            sessions,
        }
    }
}

/// Bytes in a unit that people read.
pub fn readable(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match units.get(unit) {
        Some(name) if unit > 0 => format!("{value:.1} {name}"),
        _ => format!("{bytes} bytes"),
    }
}
