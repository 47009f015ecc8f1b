//! What stays with what: an index's children, a subject's referrers, and the
//! tags `sha256-<hex>` that clients keep signatures and lists of referrers
//! under.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::view::{Relations, Tagged};
use crate::oci::{Algorithm, Digest, Tag};

/// The hex digits of a digest that such a tag has at most (distribution-spec,
/// "Referrers Tag Schema").
const HEX: usize = 64;

/// Why a manifest stays while another does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bond {
    /// The other is an index that names it.
    Child,
    /// The other is its subject.
    Referrer,
    /// It is what a tag `sha256-<hex>` of the other names.
    Attached,
}

/// The manifests of a repository and their bonds.
#[derive(Default)]
pub(super) struct Graph {
    bonds: HashMap<Digest, Vec<(Bond, Digest)>>,
    /// The tags `sha256-<hex>` whose subject is there, by that.
    attached: HashMap<Digest, Vec<Tag>>,
    /// The same the other way round.
    subjects: HashMap<Tag, Digest>,
}

impl Graph {
    /// Another manifest.
    pub(super) fn add(&mut self, digest: &Digest, relations: Relations) {
        if let Some(subject) = relations.subject {
            let bonds = self.bonds.entry(subject).or_default();
            bonds.push((Bond::Referrer, digest.clone()));
        }
        let children = relations.children.into_iter();
        let children = children.map(|child| (Bond::Child, child));
        self.bonds
            .entry(digest.clone())
            .or_default()
            .extend(children);
    }

    /// The tags, once the manifests are there.
    pub(super) fn name<'a>(
        &mut self,
        tags: &BTreeMap<Tag, Tagged>,
        held: impl Iterator<Item = &'a Digest>,
    ) {
        let mut named: BTreeMap<(Algorithm, &str), Vec<&Tag>> = BTreeMap::new();
        for tag in tags.keys() {
            if let Some(subject) = fallback(tag) {
                named.entry(subject).or_default().push(tag);
            }
        }
        for subject in held {
            let hex = subject.hex();
            let key = (subject.algorithm(), hex.get(..HEX).unwrap_or(hex));
            for tag in named.get(&key).into_iter().flatten() {
                if let Some(tagged) = tags.get(tag) {
                    let bonds = self.bonds.entry(subject.clone()).or_default();
                    bonds.push((Bond::Attached, tagged.digest.clone()));
                }
                let attached = self.attached.entry(subject.clone()).or_default();
                attached.push((*tag).clone());
                self.subjects.insert((*tag).clone(), subject.clone());
            }
        }
    }

    /// The manifest that a tag `sha256-<hex>` belongs to, if that is there.
    pub(super) fn subject_of(&self, tag: &Tag) -> Option<&Digest> {
        self.subjects.get(tag)
    }

    /// The tags `sha256-<hex>` of a manifest.
    pub(super) fn attached(&self, subject: &Digest) -> &[Tag] {
        self.attached
            .get(subject)
            .map_or(&[] as &[Tag], Vec::as_slice)
    }

    /// What stays while a manifest does.
    pub(super) fn bonds(&self, digest: &Digest) -> &[(Bond, Digest)] {
        self.bonds
            .get(digest)
            .map_or(&[] as &[(Bond, Digest)], Vec::as_slice)
    }

    /// Adds to `reached` these and everything that stays while they do.
    pub(super) fn reach(
        &self,
        roots: impl IntoIterator<Item = Digest>,
        reached: &mut HashSet<Digest>,
    ) {
        let mut next: Vec<Digest> = roots.into_iter().collect();
        while let Some(digest) = next.pop() {
            if reached.contains(&digest) {
                continue;
            }
            let bonds = self.bonds(&digest).iter();
            next.extend(bonds.map(|(_, other)| other.clone()));
            reached.insert(digest);
        }
    }
}

/// Whether a tag is one that belongs to a digest: `sha256-<hex>` by the
/// specification, `sha256-<hex>.sig` and the like by cosign.
pub(super) fn is_fallback(tag: &Tag) -> bool {
    fallback(tag).is_some()
}

/// Which digest it belongs to.
fn fallback(tag: &Tag) -> Option<(Algorithm, &str)> {
    let (algorithm, rest) = tag.as_str().split_once('-')?;
    let algorithm = algorithm.parse().ok()?;
    let (hex, ending) = rest.split_at_checked(HEX)?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let ends = ending.is_empty() || ending.starts_with('.');
    (ends && hex.bytes().all(is_hex)).then_some((algorithm, hex))
}
