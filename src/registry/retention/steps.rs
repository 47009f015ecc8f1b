//! The order of a removal: a tag before what it names, an index before its
//! children, a subject before its referrers. So whatever moment it ends at,
//! nothing is left that needs what is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::plan::Plan;
use crate::oci::{Digest, Tag};

/// One thing to remove.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Tag(Tag),
    Manifest(Digest),
}

/// The steps of a plan. Those of one level may be done at once, and before all
/// those of the next.
pub(super) fn levels(plan: &Plan, graph: &Graph) -> Vec<Vec<Step>> {
    let mut after = successors(plan, graph);
    let mut before: BTreeMap<Step, usize> = after.keys().map(|step| (step.clone(), 0)).collect();
    for step in after.values().flatten() {
        if let Some(count) = before.get_mut(step) {
            *count += 1;
        }
    }
    let mut levels = Vec::new();
    loop {
        let free = before.iter().filter(|(_, count)| **count == 0);
        let level: Vec<Step> = free.map(|(step, _)| step.clone()).collect();
        if level.is_empty() {
            break;
        }
        for step in &level {
            before.remove(step);
            for next in after.remove(step).into_iter().flatten() {
                if let Some(count) = before.get_mut(&next) {
                    *count = count.saturating_sub(1);
                }
            }
        }
        levels.push(level);
    }
    // A tag `sha256-<hex>` that somebody pointed at its own subject.
    if !before.is_empty() {
        levels.push(before.into_keys().collect());
    }
    levels
}

/// What must come after each step.
fn successors(plan: &Plan, graph: &Graph) -> BTreeMap<Step, BTreeSet<Step>> {
    let mut after: BTreeMap<Step, BTreeSet<Step>> = BTreeMap::new();
    for tag in plan.going() {
        after.insert(Step::Tag(tag.tag.clone()), BTreeSet::new());
    }
    for manifest in &plan.manifests {
        after.insert(Step::Manifest(manifest.digest.clone()), BTreeSet::new());
    }
    let mut edges = Vec::new();
    for tag in plan.going() {
        let named = Step::Manifest(tag.digest.clone());
        edges.push((Step::Tag(tag.tag.clone()), named));
    }
    for manifest in &plan.manifests {
        let from = || Step::Manifest(manifest.digest.clone());
        let bonds = graph.bonds(&manifest.digest).iter();
        edges.extend(bonds.map(|(_, other)| (from(), Step::Manifest(other.clone()))));
        let attached = graph.attached(&manifest.digest).iter();
        edges.extend(attached.map(|tag| (from(), Step::Tag(tag.clone()))));
    }
    for (from, to) in edges {
        if from != to
            && after.contains_key(&to)
            && let Some(successors) = after.get_mut(&from)
        {
            successors.insert(to);
        }
    }
    after
}
