//! The registry over real files that fail, stop and are raced for.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use tempfile::TempDir;

use super::{ChunkRange, Error, Registry, Repository, Settings};
use crate::oci::{Algorithm, Digest, Reference, Tag};
use crate::storage::faulty::{Fault, Faulty, Verb};
use crate::storage::files::{self, Files};
use crate::storage::{ByteStream, StorageError, Store as _, layout};

struct Rig {
    dir: TempDir,
    store: Arc<Faulty>,
    repository: Repository,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = files::Settings {
            root: dir.path().to_owned(),
            max_threads: 25,
            sync: files::SyncMode::Full,
        };
        let store = Faulty::new(Arc::new(Files::open(&settings).unwrap()));
        let settings = Settings {
            delete: true,
            ..Settings::default()
        };
        let registry = Registry::new(store.clone(), settings);
        let repository = registry.repository(&"app".parse().unwrap());
        Self {
            dir,
            store,
            repository,
        }
    }

    /// An image whose configuration is `{}`, told apart by an annotation.
    fn image(note: &str) -> Bytes {
        let config = Algorithm::Sha256.digest(b"{}");
        Bytes::from(format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{config}","size":2}},"layers":[],"annotations":{{"note":"{note}"}}}}"#
        ))
    }

    async fn push_config(&self) -> Result<(), Error> {
        let digest = Algorithm::Sha256.digest(b"{}");
        self.repository.put_blob(&digest, whole(b"{}")).await
    }

    async fn push(&self, tag: &str, manifest: Bytes) -> Result<Digest, Error> {
        let reference = Reference::Tag(tag.parse().unwrap());
        let put = self
            .repository
            .put_manifest(&reference, Vec::new(), None, manifest);
        Ok(put.await?.digest)
    }

    async fn pull(&self, tag: &str) -> Result<Digest, Error> {
        let reference = Reference::Tag(tag.parse().unwrap());
        Ok(self.repository.manifest(&reference).await?.digest)
    }
}

fn whole(bytes: &'static [u8]) -> ByteStream {
    Box::pin(stream::iter([Ok(Bytes::from_static(bytes))]))
}

#[tokio::test]
async fn a_full_disk_is_not_told_as_a_wrong_length() {
    let rig = Rig::new();
    let id = rig.repository.start_upload(None).await.unwrap();
    let full = Fault::Fail(ErrorKind::StorageFull);
    rig.store.on(Verb::Append, "", 1, full);
    let range = Some(ChunkRange {
        start: 0,
        length: 5,
    });
    let refused = rig.repository.append(&id, range, whole(b"bytes")).await;
    assert!(
        matches!(refused, Err(Error::Storage(StorageError::Full(_)))),
        "{refused:?}"
    );
    // Nothing was kept, and what comes next is hashed from the beginning.
    assert_eq!(rig.repository.upload_size(&id).await.unwrap(), 0);
    let digest = Algorithm::Sha256.digest(b"other");
    let finished = rig.repository.finish(&id, &digest, range, whole(b"other"));
    finished.await.unwrap();
    assert_eq!(rig.repository.blob_size(&digest).await.unwrap(), 5);
}

/// Whatever the last write before a crash was: a tag that is there can be
/// pulled, and pushing again makes everything whole.
#[tokio::test]
async fn a_push_that_stops_after_any_write_leaves_nothing_half() {
    let mut acknowledged = false;
    for writes in 0.. {
        let rig = Rig::new();
        rig.store.die_after(writes);
        let pushed = async {
            rig.push_config().await?;
            rig.push("v1", Rig::image("one")).await
        };
        acknowledged = pushed.await.is_ok();
        rig.store.revive();
        match rig.pull("v1").await {
            Ok(_) => {}
            Err(Error::ManifestUnknown(_)) => assert!(!acknowledged, "after {writes} writes"),
            Err(error) => panic!("after {writes} writes: {error}"),
        }
        rig.push_config().await.unwrap();
        let digest = rig.push("v1", Rig::image("one")).await.unwrap();
        assert_eq!(rig.pull("v1").await.unwrap(), digest);
        if acknowledged {
            break;
        }
        assert!(writes < 50, "a push of so many writes");
    }
    assert!(acknowledged);
}

#[tokio::test]
async fn a_delete_never_takes_a_tag_that_a_push_has_moved_meanwhile() {
    let rig = Rig::new();
    move_a_tag_while_its_manifest_is_deleted(&rig, rig.repository.clone()).await;
}

/// Another replica shares nothing with us but the store.
#[tokio::test]
async fn a_delete_never_takes_a_tag_that_another_replica_has_moved_meanwhile() {
    let rig = Rig::new();
    let store = Arc::clone(&rig.repository.registry.inner.store);
    let other = Registry::new(store, rig.repository.settings().clone());
    move_a_tag_while_its_manifest_is_deleted(&rig, other.repository(rig.repository.name())).await;
}

async fn move_a_tag_while_its_manifest_is_deleted(rig: &Rig, deleter: Repository) {
    rig.push_config().await.unwrap();
    let old = rig.push("v1", Rig::image("old")).await.unwrap();
    // The delete has looked at the tag and is about to remove it.
    let slowly = Fault::Delay(Duration::from_millis(300));
    rig.store.on(Verb::Delete, "tags/v1/current", 1, slowly);
    let deleting = tokio::spawn(async move { deleter.delete_manifest(&old).await });
    while !rig
        .store
        .calls()
        .iter()
        .any(|call| call.verb == Verb::Delete)
    {
        tokio::task::yield_now().await;
    }
    let new = rig.push("v1", Rig::image("new")).await.unwrap();
    deleting.await.unwrap().unwrap();
    assert_eq!(rig.pull("v1").await.unwrap(), new);
}

#[tokio::test]
async fn a_delete_that_died_delays_pushes_for_a_minute_at_most() {
    let rig = Rig::new();
    rig.push_config().await.unwrap();
    let key = layout::deleting(rig.repository.name(), "dead");
    rig.store.put(&key, Bytes::new()).await.unwrap();
    let path = rig.dir.path().join(key.as_str());
    let file = std::fs::File::open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(61))
        .unwrap();
    rig.push("v1", Rig::image("one")).await.unwrap();
    assert!(rig.store.get(&key).await.unwrap().is_none());
}

/// Clocks jump: a file may seem to be of next year, and it is still left.
#[tokio::test]
async fn a_delete_that_died_on_a_volume_delays_pushes_for_seconds_whatever_the_clock_says() {
    let rig = Rig::new();
    rig.repository.registry.alone();
    let repository = &rig.repository;
    rig.push_config().await.unwrap();
    let key = layout::deleting(repository.name(), "dead");
    rig.store.put(&key, Bytes::new()).await.unwrap();
    let file = std::fs::File::open(rig.dir.path().join(key.as_str())).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(365 * 86_400))
        .unwrap();
    assert!(repository.deletes_ended().await.is_ok());
    assert!(rig.store.get(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_left_of_an_ended_upload_is_purged() {
    let rig = Rig::new();
    let id = rig.repository.start_upload(None).await.unwrap();
    let stage = layout::upload(rig.repository.name(), &id);
    rig.store.delete(&stage.started_at()).await.unwrap();
    let registry = &rig.repository.registry;
    let purged = registry.purge_uploads(Duration::ZERO, false).await.unwrap();
    assert_eq!((purged.removed, purged.kept), (1, 0));
    let uploads = layout::uploads(rig.repository.name());
    let left = rig.store.children(&uploads, None, 9).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn a_tag_that_a_crash_left_half_removed_can_be_cleared_away() {
    let rig = Rig::new();
    rig.push_config().await.unwrap();
    rig.push("v1", Rig::image("one")).await.unwrap();
    let tag: Tag = "v1".parse().unwrap();
    rig.store.die_after(1);
    rig.repository.delete_tag(&tag).await.unwrap_err();
    rig.store.revive();
    assert_eq!(rig.repository.tags(None, None).await.unwrap().items, ["v1"]);
    let gone = rig.repository.delete_tag(&tag).await;
    assert!(matches!(gone, Err(Error::ManifestUnknown(_))), "{gone:?}");
    assert!(
        rig.repository
            .tags(None, None)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_blob_in_one_request_that_breaks_off_leaves_no_upload() {
    let rig = Rig::new();
    let digest = Algorithm::Sha256.digest(b"whole");
    let broken: ByteStream = Box::pin(stream::iter([
        Ok(Bytes::from_static(b"who")),
        Err(std::io::Error::from(ErrorKind::ConnectionReset)),
    ]));
    let refused = rig.repository.put_blob(&digest, broken).await;
    assert!(
        matches!(refused, Err(Error::Interrupted { size: 3, .. })),
        "{refused:?}"
    );
    let uploads = layout::uploads(rig.repository.name());
    let left = rig
        .repository
        .store()
        .children(&uploads, None, 10)
        .await
        .unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn abandoned_uploads_go_even_if_a_power_cut_emptied_their_start() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let rig = Rig::new();
    let old = rig.repository.start_upload(None).await.unwrap();
    let young = rig.repository.start_upload(None).await.unwrap();
    for (id, age) in [(&old, 8 * DAY), (&young, DAY)] {
        let stage = layout::upload(rig.repository.name(), id);
        let path = rig.dir.path().join(stage.started_at().as_str());
        let file = std::fs::File::create(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    // A client is at both, whatever the wall clock says.
    let here = &rig.repository.registry;
    let purged = here.purge_uploads(7 * DAY, false).await.unwrap();
    assert_eq!((purged.removed, purged.kept), (0, 2));
    let later = Registry::new(rig.store.clone(), Settings::default());
    let purged = later.purge_uploads(7 * DAY, false).await.unwrap();
    assert_eq!((purged.removed, purged.kept), (1, 1));
    assert!(rig.repository.upload_size(&old).await.is_err());
    assert_eq!(rig.repository.upload_size(&young).await.unwrap(), 0);
}
