//! What happens between a plan and its removal, on real files: pushes, pulls and
//! manifests that can't be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::decide::Policy;
use super::plan::{Plan, plan};
use super::remove::{Removal, Removed};
use super::settings::{Keep, Rule};
use super::view::View;
use super::{Failure, Observer, Options};
use crate::oci::{Algorithm, Digest, Reference, RepositoryName, UploadId};
use crate::registry::gc::Intent;
use crate::registry::{Registry, Repository, Settings};
use crate::storage::faulty::Faulty;
use crate::storage::files::{self, Files};
use crate::storage::{Store as _, layout};

const DAY: Duration = Duration::from_secs(86_400);

struct Rig {
    dir: TempDir,
    store: Arc<Faulty>,
    registry: Registry,
    repository: Repository,
}

impl Rig {
    /// A registry that keeps the tags `keep*` of all repositories.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = files::Settings {
            root: dir.path().to_owned(),
            max_threads: 25,
            sync: files::SyncMode::None,
        };
        let store = Faulty::new(Arc::new(Files::open(&settings).unwrap()));
        let mut settings = Settings::default();
        settings.retention.rules.push(Rule {
            place: "config.yml:7".to_owned(),
            repositories: vec!["**".parse().unwrap()],
            keep: Keep {
                tags: vec!["keep*".parse().unwrap()],
                pulled_within: Some(DAY * 30),
                ..Keep::default()
            },
            untagged: None,
        });
        let registry = Registry::new(store.clone(), settings);
        let repository = registry.repository(&"team/app".parse().unwrap());
        let config = Algorithm::Sha256.digest(b"{}");
        let content = stream::iter([Ok(Bytes::from_static(b"{}"))]);
        let config = repository.put_blob(&config, Box::pin(content));
        config.await.unwrap();
        Self {
            dir,
            store,
            registry,
            repository,
        }
    }

    async fn put(&self, reference: &str, manifest: &serde_json::Value) -> Digest {
        let content = Bytes::from(manifest.to_string());
        let reference = match reference {
            "" => Reference::Digest(Algorithm::Sha256.digest(&content)),
            tag => Reference::Tag(tag.parse().unwrap()),
        };
        let put = self
            .repository
            .put_manifest(&reference, Vec::new(), None, content);
        put.await.unwrap().digest
    }

    /// Makes everything that was pushed so far look a hundred days old.
    fn age(&self) {
        for link in links(self.dir.path()) {
            let file = fs::File::options().write(true).open(link).unwrap();
            file.set_modified(SystemTime::now() - DAY * 100).unwrap();
        }
    }

    async fn planned(&self) -> (View, Plan) {
        let view = View::of(&self.repository).await.unwrap();
        let plan = plan(&view, &self.policy(), None);
        (view, plan)
    }

    async fn removed(&self, (view, planned): (View, Plan)) -> Removed {
        let policy = self.policy();
        let batch = Duration::from_secs(30);
        let removal = Removal::new(&self.repository, &policy, &planned, view, batch);
        let (removed, outcome) = removal.run(&CancellationToken::new()).await;
        outcome.unwrap();
        removed
    }

    fn policy(&self) -> Policy<'_> {
        let settings = self.registry.settings();
        Policy {
            repository: self.repository.name(),
            keep: Some(&settings.retention.rules[0].keep),
            untagged: None,
            immutable: &settings.immutable,
            now: SystemTime::now(),
        }
    }

    async fn is_there(&self, digest: &Digest) -> bool {
        let reference = Reference::Digest(digest.clone());
        self.repository.manifest(&reference).await.is_ok()
    }

    async fn tags(&self) -> Vec<String> {
        self.repository.tags(None, None).await.unwrap().items
    }
}

fn links(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            found.extend(links(&entry));
        } else if entry.ends_with("link") {
            found.push(entry);
        }
    }
    found
}

fn image(note: &str) -> serde_json::Value {
    let config = Algorithm::Sha256.digest(b"{}").to_string();
    json!({
        "schemaVersion": 2,
        "config": {"mediaType": "a/b", "digest": config, "size": 2},
        "layers": [],
        "annotations": {"note": note},
    })
}

fn signature(note: &str, subject: &Digest) -> serde_json::Value {
    let mut signature = image(note);
    signature["subject"] = json!({"mediaType": "a/b", "digest": subject, "size": 2});
    signature
}

fn index(children: &[serde_json::Value]) -> serde_json::Value {
    let children = children.iter().map(|child| {
        let text = child.to_string();
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Algorithm::Sha256.digest(text.as_bytes()),
            "size": text.len(),
        })
    });
    json!({"schemaVersion": 2, "manifests": children.collect::<Vec<_>>()})
}

#[tokio::test]
async fn what_a_plan_says_goes() {
    let rig = Rig::new().await;
    let kept = rig.put("keep", &image("kept")).await;
    let (one, other) = (image("one"), image("other"));
    let children = [rig.put("", &one).await, rig.put("", &other).await];
    let gone = rig.put("old", &index(&[one, other])).await;
    let signed = rig.put("", &signature("signed", &gone)).await;
    rig.age();
    let planned = rig.planned().await;
    assert_eq!(planned.1.manifests.len(), 4);
    let removed = rig.removed(planned).await;
    assert_eq!((removed.tags, removed.manifests, removed.spared), (1, 4, 0));
    assert_eq!(rig.tags().await, ["keep"]);
    assert!(rig.is_there(&kept).await);
    for digest in children.iter().chain([&gone, &signed]) {
        assert!(!rig.is_there(digest).await, "{digest}");
    }
    let records = rig
        .dir
        .path()
        .join("docker/registry/v2/repositories/team/app/_referrers");
    assert!(!records.exists());
    assert!(rig.planned().await.1.is_empty());
}

#[tokio::test]
async fn what_is_pushed_meanwhile_stays() {
    let rig = Rig::new().await;
    let image = image("pushed again");
    let digest = rig.put("old", &image).await;
    let signed = rig.put("", &signature("signed", &digest)).await;
    rig.age();
    // The same bytes by digest: no tag changes, and the manifest stays.
    let planned = rig.planned().await;
    rig.put("", &image).await;
    let removed = rig.removed(planned).await;
    assert_eq!((removed.tags, removed.manifests), (1, 0));
    assert!(rig.is_there(&digest).await && rig.is_there(&signed).await);

    // Under the same tag.
    rig.put("old", &image).await;
    rig.age();
    let planned = rig.planned().await;
    rig.put("old", &image).await;
    assert_eq!(rig.removed(planned).await.manifests, 0);
    assert_eq!(rig.tags().await, ["old"]);

    // Under another one.
    rig.age();
    let planned = rig.planned().await;
    rig.put("new", &image).await;
    assert_eq!(rig.removed(planned).await.manifests, 0);
    assert!(rig.is_there(&digest).await && rig.is_there(&signed).await);
    assert!(rig.tags().await.contains(&"new".to_owned()));

    // The tag moved away.
    rig.put("old", &image).await;
    rig.age();
    let planned = rig.planned().await;
    let other = rig.put("old", &self::image("another")).await;
    rig.removed(planned).await;
    assert!(rig.is_there(&other).await);
    assert!(rig.tags().await.contains(&"old".to_owned()));
}

#[tokio::test]
async fn what_a_new_index_needs_stays() {
    let rig = Rig::new().await;
    let (one, other) = (image("one"), image("other"));
    let children = [rig.put("", &one).await, rig.put("", &other).await];
    let old = rig.put("old", &index(&[one.clone(), other])).await;
    let signed = rig.put("", &signature("signed", &children[0])).await;
    rig.age();
    let planned = rig.planned().await;
    let new = rig.put("new", &index(&[one])).await;
    let removed = rig.removed(planned).await;
    assert_eq!((removed.tags, removed.manifests, removed.spared), (1, 2, 2));
    for digest in [&new, &children[0], &signed] {
        assert!(rig.is_there(digest).await, "{digest}");
    }
    assert!(!rig.is_there(&old).await && !rig.is_there(&children[1]).await);
}

#[tokio::test]
async fn what_is_pulled_meanwhile_stays() {
    let rig = Rig::new().await;
    let digest = rig.put("old", &image("pulled")).await;
    rig.put("other", &image("not pulled")).await;
    rig.age();
    let planned = rig.planned().await;
    let reference = Reference::Tag("old".parse().unwrap());
    rig.repository.note_pull(&reference, &digest, true);
    rig.registry.flush_pulls().await;
    let removed = rig.removed(planned).await;
    assert_eq!((removed.tags, removed.manifests, removed.spared), (1, 1, 2));
    assert_eq!(rig.tags().await, ["old"]);
    assert!(rig.is_there(&digest).await);
}

/// A push by another replica has looked for its parts, and writes nothing yet.
#[tokio::test]
async fn what_a_push_under_way_needs_stays() {
    for before_the_plan in [true, false] {
        let rig = Rig::new().await;
        let (one, other) = (image("one"), image("other"));
        let children = [rig.put("", &one).await, rig.put("", &other).await];
        rig.put("old", &index(&[one, other])).await;
        rig.age();
        let mut planned = None;
        if !before_the_plan {
            planned = Some(rig.planned().await);
        }
        let intent = Intent {
            repository: rig.repository.name().clone(),
            digest: Algorithm::Sha256.digest(b"the new index"),
            parts: vec![children[0].clone()],
            cells: Vec::new(),
            children: Vec::new(),
        };
        let intent = serde_json::to_vec(&intent).unwrap().into();
        let key = layout::intent(&UploadId::random());
        rig.store.post(&key, intent).await.unwrap();
        let planned = match planned {
            Some(planned) => planned,
            None => rig.planned().await,
        };
        let removed = rig.removed(planned).await;
        assert_eq!((removed.tags, removed.manifests), (1, 2));
        assert!(rig.is_there(&children[0]).await && !rig.is_there(&children[1]).await);
    }
}

/// Whatever the last write before a crash was: what is left is whole, and the
/// next run does the rest.
#[tokio::test]
async fn a_removal_that_stops_after_any_write_leaves_nothing_half() {
    for writes in 0.. {
        let rig = Rig::new().await;
        let [one, both, other] = ["one", "both", "other"].map(image);
        for child in [&one, &both, &other] {
            rig.put("", child).await;
        }
        let inner = index(&[one, both.clone()]);
        rig.put("", &inner).await;
        let outer = rig.put("old", &index(&[inner, other])).await;
        let kept = rig.put("keep", &index(&[both])).await;
        let signed = rig.put("", &signature("of it", &outer)).await;
        rig.put("", &signature("of that", &signed)).await;
        rig.put(&format!("sha256-{}.sig", outer.hex()), &image("a tag's"))
            .await;
        rig.put("", &signature("kept", &kept)).await;
        rig.age();
        let (before, _) = rig.planned().await;
        let (view, planned) = rig.planned().await;
        assert_eq!((planned.going().count(), planned.manifests.len()), (2, 7));
        rig.store.die_after(writes);
        let policy = rig.policy();
        let batch = Duration::from_secs(30);
        let removal = Removal::new(&rig.repository, &policy, &planned, view, batch);
        let (_, outcome) = removal.run(&CancellationToken::new()).await;
        rig.store.revive();
        let (view, _) = rig.planned().await;
        for tagged in view.tags.values() {
            assert!(rig.is_there(&tagged.digest).await, "after {writes} writes");
        }
        for digest in view.manifests.keys() {
            for (bond, other) in before.graph.bonds(digest) {
                let whole = view.manifests.contains_key(other);
                assert!(whole, "after {writes} writes: {bond:?} {other} of {digest}");
            }
        }
        // Whatever lost its tag only is without one now.
        let mut policy = rig.policy();
        policy.untagged = Some(DAY);
        let view = View::of(&rig.repository).await.unwrap();
        let rest = plan(&view, &policy, None);
        let removal = Removal::new(&rig.repository, &policy, &rest, view, batch);
        removal.run(&CancellationToken::new()).await.1.unwrap();
        let (view, rest) = rig.planned().await;
        assert!(rest.is_empty(), "after {writes} writes: {rest:?}");
        assert_eq!((view.tags.len(), view.manifests.len()), (1, 3));
        if outcome.is_ok() {
            assert!(writes > 20);
            return;
        }
        assert!(writes < 200, "a removal of so many writes");
    }
}

#[tokio::test]
async fn many_go_in_several_batches() {
    let rig = Rig::new().await;
    for n in 0..120 {
        rig.put(&format!("t{n}"), &image(&n.to_string())).await;
    }
    rig.age();
    let planned = rig.planned().await;
    let removed = rig.removed(planned).await;
    assert_eq!((removed.tags, removed.manifests), (120, 120));
    assert_eq!(rig.tags().await, [] as [String; 0]);
}

/// Keeps why repositories failed.
#[derive(Default)]
struct Failures(Mutex<Vec<(String, String)>>);

impl Observer for Failures {
    fn failed(&self, repository: &RepositoryName, why: &Failure) {
        let failure = (repository.to_string(), why.to_string());
        self.0.lock().unwrap().push(failure);
    }
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_stops_its_repository_before_anything_goes() {
    let rig = Rig::new().await;
    rig.put("old", &image("whole")).await;
    let damaged = rig.put("keep", &image("damaged")).await;
    rig.age();
    let hex = damaged.hex();
    let bytes = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    fs::write(rig.dir.path().join(bytes), "no manifest").unwrap();
    for round in 1..=2 {
        let failures = Failures::default();
        let options = Options::default();
        let report = match round {
            1 => rig.registry.retain(&options, &failures).await,
            _ => {
                let removal = rig.registry.remove_untagged(DAY, &options, &failures);
                removal.await
            }
        };
        assert_eq!(report.unwrap().failed, 1);
        let told = std::mem::take(&mut *failures.0.lock().unwrap());
        assert_eq!(told[0].0, "team/app");
        assert!(told[0].1.contains(&damaged.to_string()), "{told:?}");
        assert_eq!(rig.tags().await, ["keep", "old"]);
    }
}
