//! The catalog: all repositories, in byte order of their names.
//!
//! Directories nest as names do, and `a/b` sorts behind `a-b`, since `-` and
//! `.` come before `/`. So the walk holds each directory back until its
//! siblings that begin with its name and `-` or `.` are done.

use std::future::Future;
use std::pin::Pin;

use super::{Error, Page, Registry};
use crate::oci::RepositoryName;
use crate::storage::layout;

/// Names that one look into a directory fetches.
const AT_ONCE: usize = 1000;

/// What lies deeper is not looked for: a name has at most 128 components.
const MAX_DEPTH: usize = 128;

type Visit<'a> = &'a mut (dyn FnMut(RepositoryName) -> bool + Send);
type Walk<'a> = Pin<Box<dyn Future<Output = Result<bool, Error>> + Send + 'a>>;

impl Registry {
    /// The repositories greater than `after` that `sees` lets through, at most
    /// `limit`.
    pub async fn catalog(
        &self,
        after: Option<&str>,
        limit: usize,
        sees: &(dyn Fn(&RepositoryName) -> bool + Sync),
    ) -> Result<Page<RepositoryName>, Error> {
        if limit == 0 {
            return Ok(Page {
                items: Vec::new(),
                next: None,
            });
        }
        let mut items = Vec::new();
        let mut more = false;
        let mut visit = |name| {
            if !sees(&name) {
                return true;
            }
            more = items.len() == limit;
            if !more {
                items.push(name);
            }
            !more
        };
        self.walk(None, after.unwrap_or_default(), true, 0, &mut visit)
            .await?;
        let next = items.last().filter(|_| more).map(ToString::to_string);
        Ok(Page { items, next })
    }

    /// Calls `visit` with every directory that a repository's name leads to,
    /// whether or not it has manifests.
    pub(super) async fn each_directory(&self, visit: Visit<'_>) -> Result<(), Error> {
        self.walk(None, "", false, 0, visit).await.map(drop)
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
        self.walk(None, after.unwrap_or_default(), false, 0, &mut visit)
            .await?;
        Ok(names)
    }

    /// Visits what lies below `parent` and is greater than `after`; `false` if
    /// the visitor has enough.
    fn walk<'a>(
        &'a self,
        parent: Option<&'a RepositoryName>,
        after: &'a str,
        only_repositories: bool,
        depth: usize,
        visit: Visit<'a>,
    ) -> Walk<'a> {
        Box::pin(async move {
            let prefix = parent.map_or_else(layout::repositories, layout::below);
            // Within this directory: the part of `after` that names a child.
            let inner = match parent {
                Some(parent) => after
                    .strip_prefix(parent.as_str())
                    .and_then(|rest| rest.strip_prefix('/'))
                    .unwrap_or_default(),
                None => after,
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
                            if !self
                                .descend(&done, after, only_repositories, depth, visit)
                                .await?
                            {
                                return Ok(false);
                            }
                        }
                        if name.as_str() > after
                            && (!only_repositories
                                || self.store().exists(&layout::manifests(&name)).await?)
                            && !visit(name.clone())
                        {
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
                if !self
                    .descend(&done, after, only_repositories, depth, visit)
                    .await?
                {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    async fn descend(
        &self,
        name: &RepositoryName,
        after: &str,
        only_repositories: bool,
        depth: usize,
        visit: Visit<'_>,
    ) -> Result<bool, Error> {
        let below = format!("{name}/");
        // Everything below sorts before `after`.
        if below.as_str() < after && !after.starts_with(&below) || depth == MAX_DEPTH {
            return Ok(true);
        }
        self.walk(Some(name), after, only_repositories, depth + 1, visit)
            .await
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
