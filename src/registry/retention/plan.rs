//! What retention would remove of one repository, and which rule says so.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use super::decide::{Policy, Verdict, days};
use super::graph::Bond;
use super::view::{Tagged, View};
use crate::oci::{Digest, RepositoryName, Tag};
use crate::registry::PullTimes;

/// What would go and what would stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Of which repository.
    pub repository: RepositoryName,
    /// Where the rule was written that decides, if one does.
    pub rule: Option<String>,
    /// All its tags, in the order of their names.
    pub tags: Vec<PlannedTag>,
    /// The manifests that would go, in the order of their digests.
    pub manifests: Vec<PlannedManifest>,
}

/// What becomes of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTag {
    /// Its name.
    pub tag: Tag,
    /// The manifest that it names.
    pub digest: Digest,
    /// When it was last pushed, by the store's clock.
    pub pushed: SystemTime,
    /// When it was last pulled, or its manifest or one of that's children, to an
    /// hour; never without it.
    pub pulled: Option<SystemTime>,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// A manifest that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedManifest {
    /// Its digest.
    pub digest: Digest,
    /// When it was last pushed, by the store's clock.
    pub pushed: SystemTime,
    /// When it was last pulled, to an hour; never without it.
    pub pulled: Option<SystemTime>,
    /// Why it goes.
    pub why: String,
}

impl Plan {
    /// Whether nothing would go.
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty() && self.going().next().is_none()
    }

    /// The tags that would go.
    pub fn going(&self) -> impl Iterator<Item = &PlannedTag> {
        self.tags.iter().filter(|tag| tag.verdict.goes())
    }
}

/// Decides about a repository.
pub(super) fn plan(view: &View, policy: &Policy<'_>, rule: Option<String>) -> Plan {
    let decided = policy.decide(&view.tags, |tag, tagged| view.pulled(tag, tagged));
    let going = Going::of(view, policy, &decided);
    let tags = view.tags.iter().map(|(tag, tagged)| PlannedTag {
        tag: tag.clone(),
        digest: tagged.digest.clone(),
        pushed: tagged.written.at,
        pulled: view.pulled(tag, tagged),
        verdict: match decided.get(tag) {
            Some(verdict) => verdict.clone(),
            None => going.verdict(view, tag),
        },
    });
    Plan {
        repository: policy.repository.clone(),
        rule,
        tags: tags.collect(),
        manifests: going.planned(view, policy, &decided),
    }
}

/// The manifests that go.
struct Going {
    manifests: BTreeSet<Digest>,
    /// The tags `sha256-<hex>` that go though their subject isn't there.
    orphans: HashSet<Tag>,
}

impl Going {
    fn of(view: &View, policy: &Policy<'_>, decided: &HashMap<Tag, Verdict>) -> Self {
        let orphans = orphans(view, policy, decided);
        // What may go: all that went with a tag, or everything.
        let mut candidates = HashSet::new();
        if policy.untagged.is_some() {
            candidates.extend(view.manifests.keys().cloned());
        } else {
            let going = view.tags.iter().filter(|(tag, _)| goes(decided, tag));
            let digests = going.map(|(_, tagged)| tagged.digest.clone());
            view.graph.reach(digests, &mut candidates);
        }
        let mut stays = HashSet::new();
        view.graph.reach(roots(view, decided, &orphans), &mut stays);
        let named: HashSet<&Digest> = view.tags.values().map(|tagged| &tagged.digest).collect();
        let kept = view.manifests.iter().filter(|(digest, written)| {
            let by_itself = if policy.untagged.is_some() {
                let pulled = view.pulls.manifest(digest);
                !named.contains(digest) && policy.is_young(written.at, pulled)
            } else {
                !candidates.contains(*digest)
            };
            by_itself || policy.is_of_this_moment(written.at)
        });
        view.graph
            .reach(kept.map(|(digest, _)| digest.clone()), &mut stays);
        view.graph.reach(view.pushing.iter().cloned(), &mut stays);
        let manifests = view.manifests.keys();
        let manifests =
            manifests.filter(|digest| candidates.contains(*digest) && !stays.contains(*digest));
        Self {
            manifests: manifests.cloned().collect(),
            orphans,
        }
    }

    /// What becomes of a tag `sha256-<hex>`.
    fn verdict(&self, view: &View, tag: &Tag) -> Verdict {
        match view.graph.subject_of(tag) {
            Some(subject) if self.manifests.contains(subject) => {
                Verdict::Goes(format!("belongs to {subject}, which goes"))
            }
            Some(subject) => Verdict::Stays(format!("belongs to {subject}, which stays")),
            None if self.orphans.contains(tag) => {
                Verdict::Goes("belongs to a manifest that isn't there".to_owned())
            }
            None => Verdict::Stays("belongs to the manifest that its name tells".to_owned()),
        }
    }

    fn planned(
        &self,
        view: &View,
        policy: &Policy<'_>,
        decided: &HashMap<Tag, Verdict>,
    ) -> Vec<PlannedManifest> {
        let mut why: BTreeMap<&Digest, String> = BTreeMap::new();
        for (tag, tagged) in &view.tags {
            if goes(decided, tag) && self.manifests.contains(&tagged.digest) {
                why.entry(&tagged.digest)
                    .or_insert_with(|| format!("its last tag goes: {tag}"));
            }
        }
        for digest in &self.manifests {
            for (bond, other) in view.graph.bonds(digest) {
                let what = match bond {
                    Bond::Child => "child",
                    Bond::Referrer | Bond::Attached => "referrer",
                };
                why.entry(other)
                    .or_insert_with(|| format!("{what} of {digest}, which goes"));
            }
        }
        let untagged = || match policy.untagged {
            Some(age) => format!("no tag, neither pushed nor pulled within {}", days(age)),
            None => "no tag".to_owned(),
        };
        let manifests = self.manifests.iter();
        let planned = manifests.filter_map(|digest| {
            Some(PlannedManifest {
                digest: digest.clone(),
                pushed: view.manifests.get(digest)?.at,
                pulled: view.pulls.manifest(digest),
                why: why.remove(digest).unwrap_or_else(untagged),
            })
        });
        planned.collect()
    }
}

fn goes(decided: &HashMap<Tag, Verdict>, tag: &Tag) -> bool {
    decided.get(tag).is_some_and(Verdict::goes)
}

/// The tags `sha256-<hex>` whose subject isn't there and that go for it: those
/// that are as old as a manifest without a tag must be, where a rule is.
fn orphans(view: &View, policy: &Policy<'_>, decided: &HashMap<Tag, Verdict>) -> HashSet<Tag> {
    if policy.keep.is_none() {
        return HashSet::new();
    }
    let orphans = view.tags.iter().filter(|(tag, tagged)| {
        !decided.contains_key(tag)
            && view.graph.subject_of(tag).is_none()
            && !policy.is_young(tagged.written.at, view.pulled(tag, tagged))
    });
    orphans.map(|(tag, _)| tag.clone()).collect()
}

/// What stays because a tag names it. What a tag `sha256-<hex>` names stays
/// with its subject.
fn roots<'a>(
    view: &'a View,
    decided: &'a HashMap<Tag, Verdict>,
    orphans: &'a HashSet<Tag>,
) -> impl Iterator<Item = Digest> + 'a {
    let stays = |tag: &Tag| match decided.get(tag) {
        Some(verdict) => !verdict.goes(),
        None => view.graph.subject_of(tag).is_none() && !orphans.contains(tag),
    };
    let tags = view.tags.iter().filter(move |(tag, _)| stays(tag));
    tags.map(|(_, tagged)| tagged.digest.clone())
}

impl View {
    /// When a tag was last pulled, its manifest, or one of an index's children:
    /// clients fetch those by their digests.
    pub(super) fn pulled(&self, tag: &Tag, tagged: &Tagged) -> Option<SystemTime> {
        self.pulled_by(&self.pulls, tag, tagged)
    }

    /// The same by other pulls than those of the view.
    pub(super) fn pulled_by(
        &self,
        pulls: &PullTimes,
        tag: &Tag,
        tagged: &Tagged,
    ) -> Option<SystemTime> {
        let mut last = pulls.tag(tag);
        let mut seen = HashSet::new();
        let mut next = vec![&tagged.digest];
        while let Some(digest) = next.pop() {
            if !seen.insert(digest) {
                continue;
            }
            last = last.max(pulls.manifest(digest));
            let bonds = self.graph.bonds(digest).iter();
            let children = bonds.filter(|(bond, _)| *bond == Bond::Child);
            next.extend(children.map(|(_, child)| child));
        }
        last
    }
}
