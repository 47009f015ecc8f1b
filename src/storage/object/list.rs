//! Listings: names directly below a prefix, and everything below it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::list::{PaginatedListOptions, PaginatedListResult};
use object_store::path::Path;

use super::Objects;
use super::fault::failed;
use crate::storage::{Child, Prefix, StorageError, layout};

/// The most that S3 lists at once.
const PAGE: usize = 1000;

/// Looks into possibly empty prefixes at once.
const AT_ONCE: usize = 16;

impl Objects {
    /// At most `limit` names directly below a prefix that are greater than
    /// `after`, in byte order.
    ///
    /// A store lists `a-b/` before `a/`, since it compares whole keys: `a` can
    /// come behind everything that begins with `a-` or `a.`. So once there are
    /// `limit` names, only beginnings of the greatest one can be missing, and
    /// those are asked for one by one.
    pub(super) async fn names_below(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        let mut names = Names {
            after: after.unwrap_or_default(),
            limit,
            found: BTreeMap::new(),
        };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let below = format!("{}/", self.path(prefix.as_str()));
        let mut token = None;
        loop {
            let options = PaginatedListOptions {
                offset: after.map(|after| format!("{below}{after}")),
                delimiter: Some("/".into()),
                max_keys: Some(PAGE.min(limit.saturating_add(8))),
                page_token: token.take(),
                ..PaginatedListOptions::default()
            };
            let page = self.page(&below, options).await?;
            for name in self.real(&below, &page.result.common_prefixes).await? {
                names.add(name, true);
            }
            for object in &page.result.objects {
                // SeaweedFS lists a directory that is empty now as an object
                // of its own name in itself.
                if let Some(name) = object.location.as_ref().strip_prefix(&below) {
                    names.add(name.to_owned(), false);
                }
            }
            token = page.page_token;
            if token.is_none() {
                return Ok(names.into_children());
            }
            if names.is_full() {
                break;
            }
        }
        let mut asked = BTreeSet::new();
        while let Some(name) = names
            .possibly_missing()
            .into_iter()
            .find(|name| !asked.contains(name))
        {
            if self.any(&format!("{below}{name}/")).await? {
                names.add(name.clone(), true);
            }
            asked.insert(name);
        }
        Ok(names.into_children())
    }

    /// The names under which a blob lies in pieces: children of
    /// [`layout::pieces`] that begin so.
    pub(super) async fn in_pieces(
        &self,
        beginning: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Child>, StorageError> {
        let after = format!("{beginning}{}", after.unwrap_or_default());
        let records = layout::pieces();
        let records = self.names_below(&records, Some(&after), limit).await?;
        let names = records.into_iter().map_while(|record| {
            let name = record.name.strip_prefix(beginning)?.to_owned();
            Some(Child { name, ..record })
        });
        Ok(names.collect())
    }

    /// Whether there is any object whose key begins with `beginning`.
    pub(super) async fn any(&self, beginning: &str) -> Result<bool, StorageError> {
        let options = PaginatedListOptions {
            max_keys: Some(1),
            ..PaginatedListOptions::default()
        };
        let page = self.page(beginning, options).await?;
        Ok(!page.result.objects.is_empty())
    }

    /// Whether the store lists a prefix that has no objects any more.
    pub(super) async fn shows_empty(&self, prefix: &Prefix) -> Result<bool, StorageError> {
        let options = PaginatedListOptions {
            delimiter: Some("/".into()),
            ..PaginatedListOptions::default()
        };
        let below = format!("{}/", self.path(prefix.as_str()));
        let page = self.page(&below, options).await?;
        Ok(!page.result.common_prefixes.is_empty())
    }

    /// The objects below a prefix, a page at a time: those behind `token`, and
    /// where the next page begins.
    pub(super) async fn all_below(
        &self,
        prefix: &Prefix,
        token: Option<String>,
    ) -> Result<(Vec<Path>, Option<String>), StorageError> {
        let options = PaginatedListOptions {
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let below = format!("{}/", self.path(prefix.as_str()));
        let page = self.page(&below, options).await?;
        let paths = page.result.objects.into_iter();
        Ok((
            paths.map(|object| object.location).collect(),
            page.page_token,
        ))
    }

    async fn page(
        &self,
        beginning: &str,
        options: PaginatedListOptions,
    ) -> Result<PaginatedListResult, StorageError> {
        let listed = self.client.lists.list_paginated(Some(beginning), options);
        listed
            .await
            .map_err(|error| failed("list", beginning, error))
    }

    /// The names of prefixes below which there is anything. Some stores
    /// (SeaweedFS) go on listing a directory for a while after its last object
    /// was deleted.
    async fn real(&self, below: &str, prefixes: &[Path]) -> Result<Vec<String>, StorageError> {
        let names: Vec<String> = prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        if !self.lists_empty_prefixes() {
            return Ok(names);
        }
        stream::iter(names)
            .map(|name| async move {
                let real = self.any(&format!("{below}{name}/")).await?;
                Ok(real.then_some(name))
            })
            .buffered(AT_ONCE)
            .try_filter_map(|name| async { Ok(name) })
            .try_collect()
            .await
    }
}

/// The smallest names so far.
struct Names<'a> {
    after: &'a str,
    limit: usize,
    found: BTreeMap<String, bool>,
}

impl Names<'_> {
    fn add(&mut self, name: String, is_prefix: bool) {
        if name.as_str() <= self.after {
            return;
        }
        *self.found.entry(name).or_default() |= is_prefix;
        if self.found.len() > self.limit {
            self.found.pop_last();
        }
    }

    fn is_full(&self) -> bool {
        self.found.len() == self.limit
    }

    /// Beginnings of the greatest name that the store lists behind it: those
    /// that a character before `/` follows.
    fn possibly_missing(&self) -> Vec<String> {
        let Some((greatest, _)) = self.found.last_key_value() else {
            return Vec::new();
        };
        greatest
            .char_indices()
            .filter(|(at, next)| *at > 0 && *next < '/')
            .filter_map(|(at, _)| greatest.get(..at))
            .filter(|name| *name > self.after && !self.found.contains_key(*name))
            .map(str::to_owned)
            .collect()
    }

    fn into_children(self) -> Vec<Child> {
        self.found
            .into_iter()
            .map(|(name, is_prefix)| Child { name, is_prefix })
            .collect()
    }
}
