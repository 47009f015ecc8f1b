//! What a plan says that is freed is what a collection then removes, and what
//! a collection measures is what repositories hold.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tempfile::TempDir;

use super::{Removed, Target};
use crate::oci::{Algorithm, Digest, Reference, RepositoryName};
use crate::registry::gc::{Collector, Options, Report};
use crate::registry::usage::RepositoryUsage;
use crate::registry::{Error, Registry, Settings};
use crate::storage::ByteStream;
use crate::storage::files::{self, Files, SyncMode};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Rig {
    registry: Registry,
    _dir: TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = files::Settings {
            root: dir.path().to_owned(),
            max_threads: 8,
            sync: SyncMode::None,
        };
        let settings = Settings {
            delete: true,
            ..Settings::default()
        };
        Self {
            registry: Registry::new(Arc::new(Files::open(&files).unwrap()), settings),
            _dir: dir,
        }
    }

    async fn blob(&self, name: &str, content: &str) -> Digest {
        let digest = Algorithm::Sha256.digest(content.as_bytes());
        let bytes = Bytes::from(content.to_owned());
        let bytes: ByteStream = Box::pin(stream::once(async { Ok(bytes) }));
        let repository = self.registry.repository(&name.parse().unwrap());
        repository.put_blob(&digest, bytes).await.unwrap();
        digest
    }

    async fn manifest(&self, name: &str, tag: &str, kind: &str, content: String) -> Digest {
        let digest = Algorithm::Sha256.digest(content.as_bytes());
        let reference = match tag {
            "" => Reference::Digest(digest.clone()),
            tag => Reference::Tag(tag.parse().unwrap()),
        };
        let repository = self.registry.repository(&name.parse().unwrap());
        let put = repository.put_manifest(&reference, Vec::new(), Some(kind), content.into());
        put.await.unwrap();
        digest
    }

    /// An image of these layers.
    async fn image(
        &self,
        name: &str,
        tag: &str,
        layers: &[&str],
        subject: Option<&Digest>,
    ) -> Digest {
        let config = self.blob(name, "{}").await;
        let mut parts = Vec::new();
        for layer in layers {
            let digest = self.blob(name, layer).await;
            let size = layer.len();
            parts.push(format!(
                r#"{{"mediaType":"a/b","digest":"{digest}","size":{size}}}"#
            ));
        }
        let layers = parts.join(",");
        let subject = subject.map_or(String::new(), |subject| {
            format!(r#","subject":{{"mediaType":"{IMAGE}","digest":"{subject}","size":2}}"#)
        });
        let content = format!(
            r#"{{"schemaVersion":2,"mediaType":"{IMAGE}","config":{{"mediaType":"a/b","digest":"{config}","size":2}},"layers":[{layers}]{subject}}}"#
        );
        self.manifest(name, tag, IMAGE, content).await
    }

    async fn collect(&self) -> Report {
        let options = Options {
            grace: Duration::ZERO,
            ..Options::default()
        };
        let collector = Collector::new(self.registry.clone(), options, Arc::new(()));
        collector.run().await.unwrap()
    }

    async fn size_of(&self, name: &str, digest: &Digest) -> u64 {
        let repository = self.registry.repository(&name.parse().unwrap());
        let reference = Reference::Digest(digest.clone());
        repository.manifest(&reference).await.unwrap().content.len() as u64
    }

    async fn usage(&self, name: &str) -> RepositoryUsage {
        self.registry
            .usage_of(&name.parse().unwrap())
            .await
            .unwrap()
    }

    /// What a repository holds, which may be gone.
    async fn size(&self, name: &str) -> u64 {
        let usage = self.registry.usage_of(&name.parse().unwrap()).await;
        usage.map_or(0, |usage| usage.size())
    }

    /// Removes something; returns what the plan said that is freed.
    async fn remove(&self, name: &str, target: Target) -> (u64, Removed) {
        let name: RepositoryName = name.parse().unwrap();
        let plan = self.registry.plan_removal(&name, target, &|_| {});
        let plan = plan.await.unwrap();
        assert_eq!(plan.unreadable, 0);
        (plan.freed, self.registry.remove(&plan).await.unwrap())
    }
}

#[tokio::test]
async fn a_collection_measures_what_repositories_hold() {
    let rig = Rig::new();
    let first = rig.image("a", "v1", &["common", "only of a"], None).await;
    rig.image("a", "v2", &["common"], None).await;
    let second = rig
        .image("b/c", "v1", &["common", "of b and c"], None)
        .await;
    rig.blob("b/c", "nobody needs this").await;
    let before = (rig.usage("a").await, rig.usage("b/c").await);
    rig.collect().await;
    let (a, b) = (rig.usage("a").await, rig.usage("b/c").await);
    assert_eq!(a.size(), before.0.size());
    assert_eq!(b.size(), before.1.size() - "nobody needs this".len() as u64);
    assert_eq!((a.manifests, a.tags, b.manifests, b.tags), (2, 2, 1, 1));
    let shared = ("common".len() + "{}".len()) as u64;
    assert_eq!((a.shared, b.shared), (shared, shared));
    let own = rig.size_of("b/c", &second).await;
    assert_eq!(b.unique, own + "of b and c".len() as u64);
    let summary = rig.registry.usage_summary().await.unwrap();
    assert_eq!(summary.used, a.unique + b.unique + shared);
    assert_eq!(summary.waiting, 0);

    // The next push is counted on top of it.
    rig.image("a", "v1", &["common", "only of a"], None).await;
    assert_eq!(rig.usage("a").await.size(), a.size());
    rig.blob("a", "one more").await;
    assert_eq!(rig.usage("a").await.size(), a.size() + 8);
    assert!(rig.size_of("a", &first).await > 0);
}

#[tokio::test]
async fn what_a_plan_frees_is_what_a_collection_removes() {
    let rig = Rig::new();
    let subject = rig
        .image("a", "v1", &["common", "only of the subject"], None)
        .await;
    rig.image("a", "", &["a signature"], Some(&subject)).await;
    let child = rig
        .image("a", "", &["of a child", "common too"], None)
        .await;
    let size = rig.size_of("a", &child).await;
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{IMAGE}","digest":"{child}","size":{size}}}]}}"#
    );
    let index = rig.manifest("a", "all", INDEX, index).await;
    rig.image("b", "v1", &["common", "common too"], None).await;
    rig.image("a/below", "v1", &["below"], None).await;
    assert_eq!(rig.collect().await.removed, 0);

    let (freed, removed) = rig.remove("a", Target::Tag("v1".parse().unwrap())).await;
    assert_eq!((freed, removed.tags), (0, 1));
    assert_eq!(rig.collect().await.removed_bytes, 0);

    // What it needs no more and others still do isn't freed.
    for (target, others) in [
        (Target::Manifest(subject), "common"),
        (Target::Manifest(index), ""),
        (Target::Manifest(child), "common too{}"),
    ] {
        let before = rig.size("a").await;
        let (freed, _) = rig.remove("a", target.clone()).await;
        assert!(freed > 0, "{target:?}");
        assert_eq!(rig.collect().await.removed_bytes, freed, "{target:?}");
        let less = freed + others.len() as u64;
        assert_eq!(before - rig.size("a").await, less, "{target:?}");
    }
    rig.image("a", "v2", &["common", "the last"], None).await;
    let (freed, removed) = rig.remove("a", Target::Repository).await;
    assert_eq!(
        (removed.tags, removed.manifests, removed.pushed_to),
        (1, 1, false)
    );
    let summary = rig.registry.usage_summary().await.unwrap();
    assert_eq!(summary.waiting, freed);
    assert_eq!(rig.collect().await.removed_bytes, freed);
    let names = rig
        .registry
        .catalog(None, 10, &|_: &RepositoryName| true)
        .await
        .unwrap()
        .items;
    let names: Vec<&str> = names.iter().map(RepositoryName::as_str).collect();
    assert_eq!(names, ["a/below", "b"]);
    let gone = rig.registry.usage_of(&"a".parse().unwrap()).await;
    assert!(matches!(gone, Err(Error::NameUnknown(_))));
}
