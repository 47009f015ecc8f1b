//! The catalog: all repositories, in byte order of their names.
//!
//! Directories nest as names do, and `a/b` sorts behind `a-b`, since `-` and
//! `.` come before `/`. So the walk holds each directory back until its
//! siblings that begin with its name and `-` or `.` are done.
//!
//! Who may see little doesn't wait for all that is hidden from them: the walk
//! goes from one span of names that may be shown to the next, and not into
//! directories below which nothing is.

use std::future::Future;
use std::pin::Pin;

use super::{Error, Page, Registry, Sight};
use crate::oci::{RepositoryName, Span};
use crate::storage::layout;

/// Names that one look into a directory fetches.
const AT_ONCE: usize = 1000;

/// What lies deeper is not looked for: a name has at most 128 components.
const MAX_DEPTH: usize = 128;

type Visit<'a> = &'a mut (dyn FnMut(RepositoryName) -> bool + Send);
type Walk<'a> = Pin<Box<dyn Future<Output = Result<bool, Error>> + Send + 'a>>;

/// What a walk looks for.
struct Tour<'a> {
    /// Names up to this one, and it, are passed over.
    after: &'a str,
    /// Names that don't begin so are passed over.
    within: &'a str,
    /// Directories without manifests are, too.
    only_repositories: bool,
    /// And what this doesn't show.
    sight: &'a dyn Sight,
}

impl Registry {
    /// The repositories greater than `after` that `sight` shows, at most
    /// `limit`.
    pub async fn catalog(
        &self,
        after: Option<&str>,
        limit: usize,
        sight: &dyn Sight,
    ) -> Result<Page<RepositoryName>, Error> {
        let mut items = Vec::new();
        let mut more = false;
        if limit == 0 {
            return Ok(Page { items, next: None });
        }
        let mut visit = |name| {
            more = items.len() == limit;
            if !more {
                items.push(name);
            }
            !more
        };
        for span in sight.spans() {
            let after = after.unwrap_or_default();
            if !self.within(&span, after, sight, &mut visit).await? {
                break;
            }
        }
        let next = items.last().filter(|_| more).map(ToString::to_string);
        Ok(Page { items, next })
    }

    /// Calls `visit` with every directory that a repository's name leads to,
    /// whether or not it has manifests.
    pub(super) async fn each_directory(&self, visit: Visit<'_>) -> Result<(), Error> {
        self.walk(None, &Tour::everywhere(""), 0, visit)
            .await
            .map(drop)
    }

    /// The directories that a repository's name leads to, greater than `after`,
    /// at most `limit`, whether or not they have manifests.
    pub(super) async fn directories(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, Error> {
        let mut names = Vec::new();
        let mut visit = |name| {
            names.push(name);
            names.len() < limit
        };
        let tour = Tour::everywhere(after.unwrap_or_default());
        self.walk(None, &tour, 0, &mut visit).await?;
        Ok(names)
    }

    /// Visits the repositories of a span that are greater than `after` and
    /// shown; `false` if the visitor has enough.
    async fn within(
        &self,
        span: &Span,
        after: &str,
        sight: &dyn Sight,
        visit: Visit<'_>,
    ) -> Result<bool, Error> {
        let start = span.start();
        // What a prefix begins with may be a name itself.
        let first = start.parse().ok().filter(|_| start > after);
        if let Some(first) = first
            && sight.sees(&first)
            && self.store().exists(&layout::manifests(&first)).await?
            && !visit(first)
        {
            return Ok(false);
        }
        let Span::Prefix(prefix) = span else {
            return Ok(true);
        };
        if after > prefix.as_str() && !after.starts_with(prefix.as_str()) {
            return Ok(true);
        }
        let tour = Tour {
            after: after.max(prefix),
            within: prefix,
            only_repositories: true,
            sight,
        };
        // All of them lie below the last whole component.
        let parent = prefix.rsplit_once('/').map(|(parent, _)| parent);
        match parent.map(str::parse) {
            None => self.walk(None, &tour, 0, visit).await,
            Some(Ok(parent)) => {
                let depth = prefix.split('/').count() - 1;
                self.walk(Some(&parent), &tour, depth, visit).await
            }
            // Nothing is called so.
            Some(Err(_)) => Ok(true),
        }
    }

    /// Visits what lies below `parent` and is looked for; `false` if the
    /// visitor has enough.
    fn walk<'a>(
        &'a self,
        parent: Option<&'a RepositoryName>,
        tour: &'a Tour<'a>,
        depth: usize,
        visit: Visit<'a>,
    ) -> Walk<'a> {
        Box::pin(async move {
            let prefix = parent.map_or_else(layout::repositories, layout::below);
            // Within this directory: the part of `after` that names a child.
            let inner = match parent {
                Some(parent) => tour
                    .after
                    .strip_prefix(parent.as_str())
                    .and_then(|rest| rest.strip_prefix('/'))
                    .unwrap_or_default(),
                None => tour.after,
            };
            let (child_after, _) = inner.split_once('/').unwrap_or((inner, ""));
            let mut held = self.held_back(parent, child_after).await?;
            let mut from = before(child_after);
            loop {
                let children = self
                    .store()
                    .children(&prefix, from.as_deref(), AT_ONCE)
                    .await?;
                let full = children.len() == AT_ONCE;
                for child in children {
                    if child.is_prefix
                        && let Some(name) = joined(parent, &child.name)
                    {
                        while held
                            .last()
                            .is_some_and(|one| !begins_before_slash(&name, one))
                        {
                            let Some(done) = held.pop() else { break };
                            if !self.descend(&done, tour, depth, visit).await? {
                                return Ok(false);
                            }
                        }
                        // What is held still stands behind this.
                        if tour.is_past(name.as_str()) {
                            return Ok(true);
                        }
                        if self.is_looked_for(&name, tour).await? && !visit(name.clone()) {
                            return Ok(false);
                        }
                        held.push(name);
                    }
                    from = Some(child.name);
                }
                if !full {
                    break;
                }
            }
            while let Some(done) = held.pop() {
                if !self.descend(&done, tour, depth, visit).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    async fn is_looked_for(&self, name: &RepositoryName, tour: &Tour<'_>) -> Result<bool, Error> {
        if name.as_str() <= tour.after
            || !name.as_str().starts_with(tour.within)
            || !tour.sight.sees(name)
        {
            return Ok(false);
        }
        Ok(!tour.only_repositories || self.store().exists(&layout::manifests(name)).await?)
    }

    async fn descend(
        &self,
        name: &RepositoryName,
        tour: &Tour<'_>,
        depth: usize,
        visit: Visit<'_>,
    ) -> Result<bool, Error> {
        let below = format!("{name}/");
        // Everything below sorts before `after`, or behind what is looked for.
        let passed = below.as_str() < tour.after && !tour.after.starts_with(&below);
        if passed || tour.is_past(&below) || depth == MAX_DEPTH || !tour.sight.sees_below(name) {
            return Ok(true);
        }
        self.walk(Some(name), tour, depth + 1, visit).await
    }

    /// The directories before `child_after` whose repositories may sort behind
    /// it: `a` if the walk goes on after `a-b`.
    async fn held_back(
        &self,
        parent: Option<&RepositoryName>,
        child_after: &str,
    ) -> Result<Vec<RepositoryName>, Error> {
        let mut held = Vec::new();
        let ends = child_after.match_indices(['-', '.']).map(|(at, _)| at);
        for at in ends.take_while(|at| *at <= RepositoryName::MAX_LENGTH) {
            if let Some(name) = child_after.get(..at).and_then(|text| joined(parent, text))
                && self.store().exists(&layout::below(&name)).await?
            {
                held.push(name);
            }
        }
        Ok(held)
    }
}

impl<'a> Tour<'a> {
    /// All directories behind `after`.
    fn everywhere(after: &'a str) -> Self {
        Self {
            after,
            within: "",
            only_repositories: false,
            sight: &all,
        }
    }

    /// Whether nothing from `text` on is looked for.
    fn is_past(&self, text: &str) -> bool {
        text > self.within && !text.starts_with(self.within)
    }
}

fn all(_: &RepositoryName) -> bool {
    true
}

/// The greatest string smaller than `name` that matters: a listing after it
/// begins with `name` itself.
fn before(name: &str) -> Option<String> {
    let mut text = name.to_owned();
    let last = text.pop()?;
    // Surrogates are no characters, and nothing is smaller than the first.
    let Some(smaller) = (0..u32::from(last)).rev().find_map(char::from_u32) else {
        return Some(text);
    };
    text.push(smaller);
    text.push('\u{10FFFF}');
    Some(text)
}

/// Whether `name` is `held` with `-` or `.` behind it, so that it sorts before
/// what lies below `held`.
fn begins_before_slash(name: &RepositoryName, held: &RepositoryName) -> bool {
    name.as_str()
        .strip_prefix(held.as_str())
        .is_some_and(|rest| rest.starts_with(['-', '.']))
}

fn joined(parent: Option<&RepositoryName>, child: &str) -> Option<RepositoryName> {
    // A name alone is checked too: `_layers` is no component.
    if !RepositoryName::is_component(child) {
        return None;
    }
    match parent {
        Some(parent) => format!("{parent}/{child}").parse().ok(),
        None => child.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
