//! What a registry can be told.

use std::time::Duration;

use regex_lite::Regex;

use super::{Immutable, gc, retention, usage};
use crate::oci;
use crate::storage::Floor;

/// How the registry behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether manifests, tags and blobs may be deleted (`storage.delete.enabled`).
    pub delete: bool,
    /// Whether a manifest may be deleted that an index names
    /// (`storage.delete.children`).
    pub delete_children: Children,
    /// Whether every write is refused (`storage.maintenance.readonly.enabled`).
    pub read_only: bool,
    /// Which parts of a manifest must be there before it is accepted.
    pub validation: Validation,
    /// What happens to abandoned uploads (`storage.maintenance.uploadpurging`).
    pub purging: Purging,
    /// The largest content in bytes that is hashed before anybody relies on it,
    /// if nobody has since it was written; larger content is hashed only while
    /// all of it is read. 0 where reading costs more than time.
    pub examined: u64,
    /// The most repositories in one answer (`catalog.maxentries`).
    pub catalog_page: usize,
    /// The most tags in one answer to a request with `n` (`tags.maxtags`).
    pub tags_page: usize,
    /// What one client may ask for (`limits`).
    pub limits: Limits,
    /// Which tags can't be moved or removed (`immutable`).
    pub immutable: Immutable,
    /// How content that nothing names is removed (`gc`).
    pub gc: gc::Settings,
    /// Which tags stay (`retention`).
    pub retention: retention::Settings,
    /// How much some repositories may hold; the first that matches a repository
    /// is its own (`quotas`).
    pub quotas: Vec<usage::Quota>,
}

/// The registry's part of `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `manifestsize`, `manifestdepth`, `descriptors`
    pub manifest: oci::Bounds,
    /// `taglist`: the most tags in one answer to a request without `n`.
    pub tags: usize,
    /// `referrers`: the most descriptors in one page of them.
    pub referrers: usize,
    /// `mountsearch`: the most repositories that a mount without `from` asks
    /// for the blob.
    pub mount_search: usize,
    /// `uploadwait`: how long a request waits for another writer of its upload.
    pub upload_wait: Duration,
    /// `uploadsperuser`: the most uploads that one user has open in this
    /// process; 0 is as many as they like.
    pub uploads_per_user: usize,
    /// `freespace`: below it nothing new is begun.
    pub free_space: Floor,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: oci::Bounds::default(),
            tags: 100_000,
            referrers: 1_000,
            mount_search: 10_000,
            upload_wait: Duration::from_secs(5),
            uploads_per_user: 256,
            free_space: Floor::Auto,
        }
    }
}

/// `validation` of the configuration.
#[derive(Debug, Clone)]
pub struct Validation {
    /// `validation.disabled`: accept manifests whose parts are missing.
    pub disabled: bool,
    /// `validation.manifests.indexes`: which children of an index must exist.
    pub index_children: IndexChildren,
    /// `validation.manifests.urls.allow`: if any, the URLs of foreign layers
    /// must match one of them.
    pub urls_allow: Vec<Regex>,
    /// `validation.manifests.urls.deny`: URLs that match are refused.
    pub urls_deny: Vec<Regex>,
}

/// The same if they were written the same.
impl PartialEq for Validation {
    fn eq(&self, other: &Self) -> bool {
        let written = |urls: &[Regex]| -> Vec<String> {
            urls.iter().map(|url| url.as_str().to_owned()).collect()
        };
        self.disabled == other.disabled
            && self.index_children == other.index_children
            && written(&self.urls_allow) == written(&other.urls_allow)
            && written(&self.urls_deny) == written(&other.urls_deny)
    }
}

/// `validation.manifests.indexes.platforms`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexChildren {
    /// All of them.
    All,
    /// None of them.
    None,
    /// Those for one of these platforms.
    Platforms(Vec<Platform>),
}

/// `validation.manifests.indexes.platformlist[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `linux`, `windows`, …
    pub os: String,
}

/// `storage.delete.children`: what happens to the delete of a manifest that an
/// index of its repository names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Children {
    /// It is deleted, and the index lacks it, as with registry:2.
    #[default]
    Allow,
    /// It is refused.
    Refuse,
}

/// `storage.maintenance.uploadpurging`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purging {
    /// Whether abandoned uploads are removed at all.
    pub enabled: bool,
    /// How old an upload must be.
    pub age: Duration,
    /// The time between two runs.
    pub interval: Duration,
    /// Only log what would be removed.
    pub dry_run: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delete: false,
            delete_children: Children::default(),
            read_only: false,
            validation: Validation {
                disabled: false,
                index_children: IndexChildren::All,
                urls_allow: Vec::new(),
                urls_deny: Vec::new(),
            },
            purging: Purging {
                enabled: true,
                age: Duration::from_secs(7 * 24 * 3600),
                interval: Duration::from_secs(24 * 3600),
                dry_run: false,
            },
            examined: 16 * 1024 * 1024,
            catalog_page: 1000,
            tags_page: 1000,
            limits: Limits::default(),
            immutable: Immutable::default(),
            gc: gc::Settings::default(),
            retention: retention::Settings::default(),
            quotas: Vec::new(),
        }
    }
}
