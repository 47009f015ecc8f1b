//! Which tags stay, and why: a rule's reasons, one of which is enough.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime};

use super::graph::is_fallback;
use super::settings::{Keep, Newest, Order};
use super::version::Version;
use super::view::Tagged;
use crate::oci::{RepositoryName, Tag};
use crate::registry::{Immutable, pulls};

/// What was pushed within this time stays in any case: two versions of a link
/// that are as old as each other by the store's clock may be taken for one.
const MOMENT: Duration = Duration::from_secs(2);

/// A pull that lies further ahead was noted by a clock that was wrong.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// What decides about one repository.
pub(super) struct Policy<'a> {
    pub(super) repository: &'a RepositoryName,
    /// Why tags stay; all of them do without it.
    pub(super) keep: Option<&'a Keep>,
    /// From which age on manifests without a tag go.
    pub(super) untagged: Option<Duration>,
    pub(super) immutable: &'a Immutable,
    /// By the store's clock.
    pub(super) now: SystemTime,
}

/// What becomes of a tag or manifest, and why, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Stays(String),
    /// It would be removed.
    Goes(String),
}

impl Verdict {
    /// Whether it would be removed.
    pub fn goes(&self) -> bool {
        matches!(self, Self::Goes(_))
    }

    /// Why it stays or goes.
    pub fn why(&self) -> &str {
        match self {
            Self::Stays(why) | Self::Goes(why) => why,
        }
    }
}

impl Policy<'_> {
    /// What becomes of the tags; nothing is said of a tag `sha256-<hex>` that
    /// goes and stays with its subject. `pulled` tells when a tag was pulled.
    pub(super) fn decide(
        &self,
        tags: &BTreeMap<Tag, Tagged>,
        pulled: impl Fn(&Tag, &Tagged) -> Option<SystemTime>,
    ) -> HashMap<Tag, Verdict> {
        let Some(keep) = self.keep else {
            let all = tags.keys().filter(|tag| !is_fallback(tag));
            let stays = |tag: &Tag| (tag.clone(), Verdict::Stays("every tag stays".to_owned()));
            return all.map(stays).collect();
        };
        let newest = keep.newest.map(|newest| newest_of(tags, newest));
        let mut verdicts = HashMap::new();
        for (tag, tagged) in tags {
            let is_newest = newest.as_ref().is_some_and(|newest| newest.contains(tag));
            let verdict = if let Some(why) = self.always(keep, tag, tagged) {
                Verdict::Stays(why)
            } else if is_fallback(tag) {
                continue;
            } else if is_newest && let Some(newest) = keep.newest {
                Verdict::Stays(one_of(newest))
            } else if let Some(why) = self.recent(keep, tagged, pulled(tag, tagged)) {
                Verdict::Stays(why)
            } else {
                Verdict::Goes(without_reason(keep))
            };
            verdicts.insert(tag.clone(), verdict);
        }
        verdicts
    }

    /// Why a tag stays whatever others there are and however old it is.
    fn always(&self, keep: &Keep, tag: &Tag, tagged: &Tagged) -> Option<String> {
        if let Some(rule) = self.immutable.rule(self.repository, tag) {
            return Some(format!("immutable: {rule}"));
        }
        if let Some(pattern) = keep.tags.iter().find(|pattern| pattern.matches(tag)) {
            return Some(format!("matches `{pattern}`"));
        }
        let is_new = self.is_within(tagged.written.at, MOMENT);
        is_new.then(|| "pushed a moment ago".to_owned())
    }

    fn recent(&self, keep: &Keep, tagged: &Tagged, pulled: Option<SystemTime>) -> Option<String> {
        let pushed = tagged.written.at;
        if let Some(time) = keep.pushed_within
            && self.is_within(pushed, time)
        {
            return Some(format!("pushed within {}", days(time)));
        }
        let time = keep.pulled_within?;
        if pulled.is_some_and(|pulled| self.was_pulled_within(pulled, time)) {
            return Some(format!("pulled within {}", days(time)));
        }
        // What nobody could pull yet counts by its push.
        self.is_within(pushed, time)
            .then(|| format!("pushed within {}, the time for pulls", days(time)))
    }

    /// Whether a manifest without a tag stays by its age.
    pub(super) fn is_young(&self, pushed: SystemTime, pulled: Option<SystemTime>) -> bool {
        let Some(age) = self.untagged else {
            return true;
        };
        self.is_within(pushed, age.max(MOMENT))
            || pulled.is_some_and(|pulled| self.was_pulled_within(pulled, age))
    }

    /// Whether a pull alone lets a tag stay.
    pub(super) fn stays_by_pull(&self, pulled: Option<SystemTime>) -> bool {
        let time = self.keep.and_then(|keep| keep.pulled_within);
        match (pulled, time) {
            (Some(pulled), Some(time)) => self.was_pulled_within(pulled, time),
            _ => false,
        }
    }

    /// Whether it alone lets a manifest without a tag stay.
    pub(super) fn untagged_stays_by_pull(&self, pulled: Option<SystemTime>) -> bool {
        match (pulled, self.untagged) {
            (Some(pulled), Some(age)) => self.was_pulled_within(pulled, age),
            _ => false,
        }
    }

    /// Whether what was pushed then may be an older version of itself.
    pub(super) fn is_of_this_moment(&self, pushed: SystemTime) -> bool {
        self.is_within(pushed, MOMENT)
    }

    /// A time that is noted may be earlier than the last pull.
    fn was_pulled_within(&self, pulled: SystemTime, time: Duration) -> bool {
        let is_ahead = pulled.duration_since(self.now).is_ok_and(|by| by > AHEAD);
        !is_ahead && self.is_within(pulled, time.saturating_add(pulls::GRANULARITY))
    }

    /// What is younger than nothing (a clock was set back) is within any time.
    fn is_within(&self, then: SystemTime, time: Duration) -> bool {
        self.now.duration_since(then).is_ok_and(|age| age <= time) || then > self.now
    }
}

/// The newest tags; those that belong to a digest aren't counted.
fn newest_of(tags: &BTreeMap<Tag, Tagged>, newest: Newest) -> HashSet<&Tag> {
    let mut ordered: Vec<_> = tags
        .iter()
        .filter(|(tag, _)| !is_fallback(tag))
        .map(|(tag, tagged)| {
            let version = match newest.order {
                Order::Pushed => None,
                Order::Version => Version::of(tag),
            };
            (version, tagged.written.at, tag)
        })
        .collect();
    // A tag that is no version comes behind all that are.
    ordered.sort_by(|one, other| Reverse(one).cmp(&Reverse(other)));
    let newest = ordered.into_iter().take(newest.count);
    newest.map(|(_, _, tag)| tag).collect()
}

fn one_of(newest: Newest) -> String {
    format!("one of the newest {} by {}", newest.count, by(newest.order))
}

fn by(order: Order) -> &'static str {
    match order {
        Order::Pushed => "time of push",
        Order::Version => "version",
    }
}

/// Why a tag goes: no reason to stay is its.
fn without_reason(keep: &Keep) -> String {
    let mut reasons = Vec::new();
    if let Some(newest) = keep.newest {
        reasons.push(format!("not {}", one_of(newest)));
    }
    if let Some(time) = keep.pushed_within {
        reasons.push(format!("not pushed within {}", days(time)));
    }
    if let Some(time) = keep.pulled_within {
        reasons.push(format!("not pulled within {}", days(time)));
    }
    if !keep.tags.is_empty() {
        let patterns: Vec<_> = keep.tags.iter().map(|tag| format!("`{tag}`")).collect();
        reasons.push(format!("matches none of {}", patterns.join(", ")));
    }
    reasons.join("; ")
}

/// A time as it is written in the configuration.
pub(super) fn days(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}
