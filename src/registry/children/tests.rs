//! Deletes of children and pushes of their index on two replicas, which share
//! no lock: one of the two is refused, whichever was slower.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::super::{Children, Error, Registry, Repository, Settings};
use crate::oci::{Algorithm, Digest, Reference};
use crate::storage::faulty::{Fault, Faulty, Verb};
use crate::storage::files::{self, Files};
use crate::storage::layout;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Rig {
    _dir: TempDir,
    store: Arc<Faulty>,
    replicas: [Repository; 2],
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Files::open(&files::Settings {
            root: dir.path().to_owned(),
            max_threads: 25,
            sync: files::SyncMode::Full,
        });
        let store = Faulty::new(Arc::new(store.unwrap()));
        let settings = Settings {
            delete: true,
            delete_children: Children::Refuse,
            ..Settings::default()
        };
        let one = || {
            let registry = Registry::new(store.clone(), settings.clone());
            registry.repository(&"app".parse().unwrap())
        };
        Self {
            replicas: [one(), one()],
            store,
            _dir: dir,
        }
    }

    /// Deletes the child on the first replica; the call of `verb` to `part` takes
    /// a second, and has begun when this returns.
    async fn delete_slowly(
        &self,
        child: &Digest,
        verb: Verb,
        part: &str,
    ) -> tokio::task::JoinHandle<Result<(), Error>> {
        let delay = Fault::Delay(Duration::from_secs(1));
        self.store.on(verb, part, 1, delay);
        self.store.calls();
        let (replica, child) = (self.replicas[0].clone(), child.clone());
        let delete = tokio::spawn(async move { replica.delete_manifest(&child).await });
        self.store.reached(verb, part).await;
        delete
    }
}

/// An index of nothing: a manifest that needs no blobs.
fn child() -> Bytes {
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#
    ))
}

fn parent() -> Bytes {
    let child = child();
    let (digest, size) = (Algorithm::Sha256.digest(&child), child.len());
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{{"mediaType":"{INDEX}","digest":"{digest}","size":{size}}}]}}"#
    ))
}

async fn push(repository: &Repository, content: Bytes) -> Result<Digest, Error> {
    let digest = Algorithm::Sha256.digest(&content);
    let reference = Reference::Digest(digest.clone());
    let put = repository.put_manifest(&reference, Vec::new(), None, content);
    put.await.map(|_| digest)
}

#[tokio::test]
async fn an_index_that_came_after_the_first_look_is_found_by_the_second() {
    let rig = Rig::new();
    let digest = push(&rig.replicas[1], child()).await.unwrap();
    // The announcement is written after the first look.
    let delete = rig.delete_slowly(&digest, Verb::Post, "/_deletes/").await;
    let index = push(&rig.replicas[1], parent()).await.unwrap();
    let refused = delete.await.unwrap();
    assert!(
        matches!(&refused, Err(Error::ChildOfIndex { index: by, .. }) if *by == index),
        "{refused:?}"
    );
    assert!(
        rig.replicas[0]
            .held_manifest(&digest)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn an_index_that_comes_after_the_second_look_is_refused() {
    let rig = Rig::new();
    let digest = push(&rig.replicas[1], child()).await.unwrap();
    let link = layout::revision_link(rig.replicas[0].name(), &digest);
    let delete = rig
        .delete_slowly(&digest, Verb::Delete, link.as_str())
        .await;
    let refused = push(&rig.replicas[1], parent()).await;
    assert!(
        matches!(&refused, Err(Error::PartsUnknown(parts)) if *parts == [digest]),
        "{refused:?}"
    );
    delete.await.unwrap().unwrap();
}
