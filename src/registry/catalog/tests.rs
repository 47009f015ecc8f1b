//! Lists of what is shown: the same as the whole list without what is hidden,
//! and without looking at that.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::oci::RepositoryPattern;
use crate::registry::Settings;
use crate::storage::faulty::Faulty;
use crate::storage::files::{self, Files};

/// Directories nest where names don't sort, and two names lie below one that is
/// no repository.
const NAMES: [&str; 20] = [
    "a", "a--b", "a-b", "a-b/c", "a-b/c-d", "a.b", "a.b/c", "a/0", "a/b", "a/b-c", "a/b/c", "a0",
    "a0/b", "a_b", "ab", "ab/c", "b", "c/a-b/c", "c/a/b", "c/ab",
];

/// What these patterns stand for.
struct Shown(Vec<RepositoryPattern>);

impl Sight for Shown {
    fn sees(&self, repository: &RepositoryName) -> bool {
        self.0.iter().any(|pattern| pattern.matches(repository))
    }

    fn spans(&self) -> Vec<Span> {
        Span::merged(self.0.iter().map(RepositoryPattern::span))
    }

    fn sees_below(&self, directory: &RepositoryName) -> bool {
        let mut spans = self.0.iter().map(RepositoryPattern::span);
        spans.any(|span| span.reaches_below(directory))
    }
}

fn shown(patterns: &[&str]) -> Shown {
    Shown(patterns.iter().map(|text| text.parse().unwrap()).collect())
}

fn registry(names: impl IntoIterator<Item = String>) -> (TempDir, Arc<Faulty>, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let settings = files::Settings {
        root: dir.path().to_owned(),
        max_threads: 25,
        sync: files::SyncMode::Full,
    };
    let store = Faulty::new(Arc::new(Files::open(&settings).unwrap()));
    for name in names {
        make(dir.path(), &name.parse().unwrap());
    }
    let registry = Registry::new(store.clone(), Settings::default());
    (dir, store, registry)
}

fn make(root: &Path, name: &RepositoryName) {
    fs::create_dir_all(root.join(layout::manifests(name).as_str())).unwrap();
}

/// All pages of `n`, one after the other.
async fn pages(registry: &Registry, sight: &dyn Sight, n: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = registry.catalog(after.as_deref(), n, sight).await.unwrap();
        assert!(page.items.len() <= n);
        all.extend(page.items.iter().map(ToString::to_string));
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    let component = prop_oneof![
        Just("a"),
        Just("a-b"),
        Just("ab"),
        Just("b"),
        Just("c"),
        Just("*"),
        Just("a*"),
        Just("*b"),
        Just("a-*"),
    ];
    let deep = (proptest::collection::vec(component, 0..3), any::<bool>());
    let pattern = deep.prop_map(|(mut components, below)| {
        if below || components.is_empty() {
            components.push("**");
        }
        components.join("/")
    });
    proptest::collection::vec(pattern, 1..4)
}

#[test]
fn what_is_shown_is_the_whole_list_without_what_is_hidden() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_dir, _store, registry) = registry(NAMES.map(str::to_owned));
    let mut names = NAMES.map(|name| name.parse::<RepositoryName>().unwrap());
    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    let config = ProptestConfig::with_cases(150);
    proptest!(config, |(patterns in patterns(), n in 1_usize..6, after in 0_usize..25)| {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let shown = shown(&patterns);
        let visible: Vec<String> = names.iter().filter(|name| shown.sees(name)).map(ToString::to_string).collect();
        prop_assert_eq!(&runtime.block_on(pages(&registry, &shown, n)), &visible);
        // From any name on, hidden or not.
        if let Some(after) = names.get(after) {
            let page = runtime.block_on(registry.catalog(Some(after.as_str()), 100, &shown)).unwrap();
            let behind: Vec<&str> = visible.iter().map(String::as_str).filter(|name| *name > after.as_str()).collect();
            let items: Vec<&str> = page.items.iter().map(RepositoryName::as_str).collect();
            prop_assert_eq!(items, behind);
        }
    });
}

#[tokio::test]
async fn what_is_hidden_is_not_looked_at() {
    let hidden = (0..1_500).map(|n| format!("hidden-{n:04}"));
    let deep = (0..1_500).map(|n| format!("team-x/p{n:04}/app"));
    let own = ["hidden-1200", "me/a", "me/b/c", "team/app", "zoo"].map(str::to_owned);
    let (_dir, store, registry) = registry(hidden.chain(deep).chain(own));
    let sight = shown(&["me/**", "team/*", "hidden-1200", "zoo", "none/**"]);
    store.calls();
    let names = pages(&registry, &sight, 100).await;
    assert_eq!(names, ["hidden-1200", "me/a", "me/b/c", "team/app", "zoo"]);
    let calls = store.calls();
    assert!(calls.len() < 20, "{} calls: {calls:?}", calls.len());
    let all = pages(&registry, &|_: &RepositoryName| true, 10_000).await;
    assert_eq!(all.len(), 3_004);
}

#[tokio::test]
async fn directories_below_which_nothing_is_shown_are_not_entered() {
    struct Hidden;
    impl Sight for Hidden {
        fn sees(&self, repository: &RepositoryName) -> bool {
            !repository.as_str().starts_with("hidden/")
        }
        fn sees_below(&self, directory: &RepositoryName) -> bool {
            directory.as_str() != "hidden"
        }
    }
    let hidden = (0..1_500).map(|n| format!("hidden/p{n:04}"));
    let own = ["a/b", "hidden", "z"].map(str::to_owned);
    let (_dir, store, registry) = registry(hidden.chain(own));
    store.calls();
    assert_eq!(pages(&registry, &Hidden, 2).await, ["a/b", "hidden", "z"]);
    let calls = store.calls();
    assert!(calls.len() < 20, "{} calls: {calls:?}", calls.len());
}
