//! Immutable tags over real files: what two registries that share no lock do to
//! one of them, what a crash leaves, what registry:2 left.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::super::{Children, Error, Registry, Repository, Settings};
use super::{Immutable, ImmutableTags};
use crate::oci::{Algorithm, Digest, Reference, RepositoryName, Tag};
use crate::storage::faulty::{Fault, Faulty, Verb};
use crate::storage::files::{self, Files};
use crate::storage::{Store as _, layout};

fn settings() -> Settings {
    let rule = |repositories: &str, tags: &[&str]| ImmutableTags {
        repositories: vec![repositories.parse().unwrap()],
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
    };
    Settings {
        delete: true,
        delete_children: Children::Allow,
        immutable: Immutable {
            rules: vec![rule("open/**", &[]), rule("**", &["x*", "v*"])],
        },
        ..Settings::default()
    }
}

/// A store, and registries over it as several processes have them.
struct Rig {
    _dir: TempDir,
    store: Arc<Faulty>,
    replicas: Vec<Repository>,
}

impl Rig {
    fn new(replicas: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Files::open(&files::Settings {
            root: dir.path().to_owned(),
            max_threads: 25,
            sync: files::SyncMode::Full,
        });
        let store = Faulty::new(Arc::new(store.unwrap()));
        let one = |_| Registry::new(store.clone(), settings()).repository(&name());
        Self {
            replicas: (0..replicas).map(one).collect(),
            store,
            _dir: dir,
        }
    }

    /// The digests in the tag's history.
    async fn history(&self, tag: &Tag) -> Vec<Digest> {
        let prefix = layout::tag_history_by(&name(), tag, Algorithm::Sha256);
        let mut digests = Vec::new();
        for child in self.store.children(&prefix, None, 1000).await.unwrap() {
            let digest = format!("sha256:{}", child.name).parse().unwrap();
            let record = layout::tag_history(&name(), tag, &digest);
            digests.extend(self.store.get(&record).await.unwrap().map(|_| digest));
        }
        digests
    }
}

fn name() -> RepositoryName {
    "app".parse().unwrap()
}

fn v1() -> Tag {
    "v1".parse().unwrap()
}

/// An index of nothing, which needs no blobs.
fn manifest(note: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"note":"{note}"}}}}"#
    ))
}

async fn push(repository: &Repository, note: &str) -> Result<Digest, Error> {
    let reference = Reference::Tag(v1());
    let put = repository.put_manifest(&reference, Vec::new(), None, manifest(note));
    Ok(put.await?.digest)
}

#[test]
fn the_first_rule_of_a_repository_decides_and_is_named() {
    let immutable = settings().immutable;
    let rule = |repository: &str, tag: &str| {
        let rule = immutable.rule(&repository.parse().unwrap(), &tag.parse().unwrap());
        rule.map(|rule| rule.to_string())
    };
    assert_eq!(
        rule("app", "v1").as_deref(),
        Some("`v*` in rule 2 of `immutable`")
    );
    assert_eq!(rule("app", "latest"), None);
    assert_eq!(rule("open/app", "v1"), None);
    assert!(immutable.spares(&"open/app".parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_pushes_of_a_new_tag_on_several_replicas_exactly_one_wins() {
    for round in 0..20 {
        let rig = Rig::new(4);
        let pushes = rig.replicas.iter().enumerate().map(|(number, replica)| {
            let (replica, note) = (replica.clone(), format!("{round} {number}"));
            tokio::spawn(async move { push(&replica, &note).await })
        });
        let mut won = Vec::new();
        for push in pushes.collect::<Vec<_>>() {
            match push.await.unwrap() {
                Ok(digest) => won.push(digest),
                Err(Error::TagImmutable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let [winner] = won.as_slice() else {
            panic!("round {round}: {won:?} won")
        };
        let named = rig.replicas[0].tagged(&v1()).await.unwrap();
        assert_eq!(named.as_ref(), Some(winner));
        assert_eq!(rig.history(&v1()).await, std::slice::from_ref(winner));
    }
}

/// The faster push comes in between the other's look and its write.
#[tokio::test]
async fn who_writes_second_is_refused_and_leaves_no_trace_in_the_tag() {
    let rig = Rig::new(2);
    let link = layout::tag_current(&name(), &v1());
    let delay = Fault::Delay(Duration::from_secs(1));
    rig.store.on(Verb::Create, link.as_str(), 1, delay);
    let slow = tokio::spawn({
        let replica = rig.replicas[0].clone();
        async move { push(&replica, "slow").await }
    });
    rig.store.reached(Verb::Create, link.as_str()).await;
    let digest = push(&rig.replicas[1], "fast").await.unwrap();
    let refused = slow.await.unwrap().unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "tag v1 of app is immutable (`v*` in rule 2 of `immutable`) and names {digest}, so it can be neither moved nor removed: use another tag, or ask the registry's administrator to change the rule"
        )
    );
    assert_eq!(
        rig.replicas[0].tagged(&v1()).await.unwrap().as_ref(),
        Some(&digest)
    );
    assert_eq!(rig.history(&v1()).await, [digest]);
}

/// A delete of nothing, on another replica, that looked before the push wrote.
#[tokio::test]
async fn a_delete_that_is_overtaken_by_a_push_takes_nothing_of_it() {
    let rig = Rig::new(2);
    let remains = layout::tag(&name(), &v1());
    let current = layout::tag_current(&name(), &v1());
    let delay = Fault::Delay(Duration::from_secs(1));
    rig.store.on(Verb::Delete, current.as_str(), 1, delay);
    let delete = tokio::spawn({
        let replica = rig.replicas[0].clone();
        async move { replica.delete_tag(&v1()).await }
    });
    rig.store.reached(Verb::Delete, current.as_str()).await;
    let digest = push(&rig.replicas[1], "one").await.unwrap();
    assert!(delete.await.unwrap().is_err());
    assert_eq!(rig.replicas[1].tagged(&v1()).await.unwrap(), Some(digest));
    assert!(rig.store.exists(&remains).await.unwrap());
}

#[tokio::test]
async fn a_push_that_stops_after_any_write_can_be_made_again() {
    for writes in 0.. {
        let rig = Rig::new(1);
        let repository = &rig.replicas[0];
        rig.store.die_after(writes);
        let acknowledged = push(repository, "one").await.is_ok();
        rig.store.revive();
        let digest = push(repository, "one").await.unwrap();
        assert_eq!(repository.tagged(&v1()).await.unwrap(), Some(digest));
        let other = push(repository, "other").await;
        assert!(
            matches!(other, Err(Error::TagImmutable { .. })),
            "{other:?}"
        );
        if acknowledged {
            assert!(writes > 3, "{writes} writes are too few");
            return;
        }
    }
}

#[tokio::test]
async fn a_link_that_registry_2_left_empty_or_torn_is_written_over() {
    for torn in ["", "sha256:", "sha256:12345"] {
        let rig = Rig::new(1);
        let repository = &rig.replicas[0];
        let link = layout::tag_current(&name(), &v1());
        rig.store.put(&link, Bytes::from(torn)).await.unwrap();
        let digest = push(repository, "one").await.unwrap();
        assert_eq!(repository.tagged(&v1()).await.unwrap(), Some(digest));
        assert!(push(repository, "other").await.is_err());
    }
}
