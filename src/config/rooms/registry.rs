//! What stands beside the driver in `storage`; `auth`, `validation`, `catalog` and `tags`.

use std::path::PathBuf;

use regex_lite::Regex;

use super::super::section::Section;
use super::super::values::{boolean, number, period, text, word};
use super::{limits, rules};
use crate::auth;
use crate::registry::{Children, IndexChildren, Platform, Purging, Settings, Validation};
use crate::storage;

/// What the registry itself can be told.
pub(super) fn registry(root: &Section<'_>, driver: &storage::Settings) -> Settings {
    let storage = root.section("storage");
    let maintenance = storage.section("maintenance");
    let delete = storage.section("delete");
    let defaults = Settings::default();
    let children = [("allow", Children::Allow), ("refuse", Children::Refuse)];
    Settings {
        delete: delete.read("enabled", boolean).unwrap_or(defaults.delete),
        delete_children: delete
            .read("children", |text| word(&children, text))
            .unwrap_or(defaults.delete_children),
        read_only: maintenance
            .section("readonly")
            .read("enabled", boolean)
            .unwrap_or(defaults.read_only),
        validation: validation(&root.section("validation")),
        purging: purging(&maintenance.section("uploadpurging"), defaults.purging),
        examined: match driver {
            storage::Settings::Files(_) => defaults.examined,
            // Reading there is a request that is waited and paid for.
            storage::Settings::Object(_) => 0,
        },
        catalog_page: page(
            &root.section("catalog"),
            "maxentries",
            defaults.catalog_page,
        ),
        tags_page: page(&root.section("tags"), "maxtags", defaults.tags_page),
        limits: limits::registry(&root.section("limits")),
        immutable: rules::immutable(root),
        gc: rules::gc(&root.section("gc")),
        retention: rules::retention(&root.section("retention")),
        quotas: rules::quotas(root),
    }
}

/// `auth`, and when logins wait.
pub(super) fn auth(section: &Section<'_>, bounds: &Section<'_>) -> auth::Settings {
    // Read in any case: a mistake is one without users, too.
    let (queue, backoff) = (limits::login_queue(bounds), limits::backoff(bounds));
    let types: Vec<&str> = section.names().collect();
    if types.len() > 1 {
        section.problem(format!("several types ({}); leave one", types.join(", ")));
    }
    if !types.contains(&"htpasswd") {
        return auth::Settings::default();
    }
    let htpasswd = section.section("htpasswd");
    let realm = htpasswd.require("realm", text);
    let path = htpasswd.require("path", text);
    auth::Settings {
        htpasswd: Some(auth::htpasswd::Settings {
            realm: realm.unwrap_or_default(),
            path: PathBuf::from(path.unwrap_or_default()),
            queue,
            backoff,
        }),
    }
}

/// A page's most entries; 0 is the default, as with registry:2.
fn page(section: &Section<'_>, name: &str, default: usize) -> usize {
    section
        .read(name, number)
        .filter(|most| *most > 0)
        .unwrap_or(default)
}

fn purging(section: &Section<'_>, defaults: Purging) -> Purging {
    Purging {
        enabled: section.read("enabled", boolean).unwrap_or(defaults.enabled),
        age: section.read("age", period).unwrap_or(defaults.age),
        interval: section
            .read("interval", period)
            .unwrap_or(defaults.interval),
        dry_run: section.read("dryrun", boolean).unwrap_or(defaults.dry_run),
    }
}

fn validation(section: &Section<'_>) -> Validation {
    let manifests = section.section("manifests");
    let urls = manifests.section("urls");
    Validation {
        disabled: section.read("disabled", boolean).unwrap_or(false),
        index_children: index_children(&manifests.section("indexes")),
        urls_allow: urls.list("allow", regex),
        urls_deny: urls.list("deny", regex),
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("`{text}` is no regular expression: {error}"))
}

fn index_children(section: &Section<'_>) -> IndexChildren {
    #[derive(Clone, Copy)]
    enum Which {
        All,
        None,
        List,
    }
    let words = [
        ("all", Which::All),
        ("none", Which::None),
        ("list", Which::List),
    ];
    let which = section.read("platforms", |text| word(&words, text));
    let listed: Vec<Platform> = section
        .sections("platformlist")
        .iter()
        .filter_map(|platform| {
            let architecture = platform.require("architecture", text);
            let os = platform.require("os", text);
            Some(Platform {
                architecture: architecture?,
                os: os?,
            })
        })
        .collect();
    match which {
        Some(Which::List) => IndexChildren::Platforms(listed),
        Some(Which::None) => IndexChildren::None,
        Some(Which::All) | None => {
            if !listed.is_empty() {
                section.note_of("platformlist", "has no effect without `platforms: list`");
            }
            IndexChildren::All
        }
    }
}
