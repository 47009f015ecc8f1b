//! What is special about files: registry:2's tree, its leftovers, and bytes
//! that change under us.

use std::fs;
use std::io::ErrorKind;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};

use super::*;
use crate::oci::{Algorithm, RepositoryName};
use crate::storage::contract::{Bench, stamp_contract};
use crate::storage::{ByteStream, layout};

fn opened(root: &Path) -> Files {
    Files::open(&Settings {
        root: root.to_owned(),
        max_threads: 4,
        sync: SyncMode::Full,
    })
    .unwrap()
}

async fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    Bench {
        one: Arc::new(opened(dir.path())),
        other: Arc::new(opened(dir.path())),
        _guard: Box::new(dir),
    }
}
stamp_contract!(bench);

/// The same with everything read by workers, as on a network file system.
mod uncached {
    use super::*;

    async fn bench() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let disk = Arc::new(Patient(Posix::uncached()));
            let root = dir.path().to_owned();
            Arc::new(Files::over(disk, root, Workers::new(4)))
        };
        Bench {
            one: open(),
            other: open(),
            _guard: Box::new(dir),
        }
    }
    stamp_contract!(bench);
}

fn repository() -> RepositoryName {
    "app".parse().unwrap()
}

fn blob() -> Key {
    layout::blob_data(&Algorithm::Sha256.digest(b"x"))
}

/// Writes a file as somebody else would.
fn write(files: &Files, key: &str, content: &[u8]) -> PathBuf {
    let path = files.path(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn an_upload_that_registry2_began_is_continued() {
    let dir = tempfile::tempdir().unwrap();
    let files = opened(dir.path());
    let stage = layout::upload(&repository(), &UploadId::random());
    let below = |name: &str| format!("{}/{name}", stage.as_str());
    write(&files, &below("startedat"), b"2026-08-18T11:55:22Z");
    write(&files, &below("hashstates/sha256/0"), b"sha\x03");
    // Without any bytes yet `data` may be missing.
    assert_eq!(files.staged(&stage).await.unwrap(), Some(0));
    let mut upload = files.resume(&stage).await.unwrap().unwrap();
    let stream = upload.reread(0).await.unwrap();
    assert!(
        stream
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
            .concat()
            .is_empty()
    );

    let content: ByteStream = Box::pin(stream::iter([Ok(Bytes::from_static(b"bytes"))]));
    upload.append(content).await.unwrap();
    upload.publish(&blob()).await.unwrap();
    assert_eq!(files.get(&blob()).await.unwrap().unwrap(), "bytes");
    files.discard(&stage).await.unwrap();
    assert!(!files.path(stage.as_str()).exists());

    // The same for an upload of no bytes.
    write(&files, &below("startedat"), b"2026-08-18T11:55:22Z");
    let upload = files.resume(&stage).await.unwrap().unwrap();
    upload.publish(&blob()).await.unwrap();
    assert_eq!(files.get(&blob()).await.unwrap().unwrap(), "");
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let files = opened(dir.path());
    let path = files.path(blob().as_str());
    let absent = async || {
        files.head(&blob()).await.unwrap().is_none()
            && files.get(&blob()).await.unwrap().is_none()
            && files.open(&blob(), Reading::Whole).await.unwrap().is_none()
    };
    fs::create_dir_all(&path).unwrap();
    assert!(absent().await, "a directory");
    files.delete(&blob()).await.unwrap();
    files.create(&blob(), Bytes::new()).await.unwrap_err();
    fs::remove_dir(&path).unwrap();
    fs::write(dir.path().join("secret"), b"secret").unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret"), &path).unwrap();
    assert!(absent().await, "a symlink");
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path.parent().unwrap(), b"").unwrap();
    assert!(absent().await, "a file in place of its directory");
    files.delete(&blob()).await.unwrap();
}

#[tokio::test]
async fn a_linked_directory_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, elsewhere) = (dir.path().join("root"), dir.path().join("elsewhere"));
    fs::create_dir_all(root.join("docker/registry")).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.join("docker/registry/v2")).unwrap();
    let files = opened(&root);
    files.put(&blob(), Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(files.get(&blob()).await.unwrap().unwrap(), "x");
    assert!(elsewhere.join("blobs").is_dir());
}

#[tokio::test]
async fn a_file_that_shrinks_is_an_error_and_never_silence() {
    let dir = tempfile::tempdir().unwrap();
    let files = opened(dir.path());
    let path = write(&files, blob().as_str(), &vec![7; 1_000_000]);
    let object = files.open(&blob(), Reading::Whole).await.unwrap().unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(600_000)
        .unwrap();
    let mut stream = object.content.read(0..object.meta.size);
    let mut size = 0;
    let error = loop {
        match stream.try_next().await {
            Ok(part) => size += part.expect("an error comes before the end").len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(size <= 600_000);
}

#[tokio::test]
async fn two_uploads_at_once_to_one_session_exclude_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let files = opened(dir.path());
    let stage = layout::upload(&repository(), &UploadId::random());
    files.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
    let content = |byte: u8| -> ByteStream {
        Box::pin(stream::iter(
            std::iter::repeat_with(move || Ok(Bytes::from(vec![byte; 100_000]))).take(20),
        ))
    };
    let write = |byte: u8| {
        let (files, stage, content) = (&files, &stage, content(byte));
        async move {
            let mut upload = files.resume(stage).await.unwrap().unwrap();
            let begin = upload.size();
            upload.append(content).await.unwrap();
            begin
        }
    };
    let (first, second) = tokio::join!(write(1), write(2));
    assert_eq!(first.min(second), 0);
    assert_eq!(first.max(second), 2_000_000);
    let upload = files.resume(&stage).await.unwrap().unwrap();
    upload.publish(&blob()).await.unwrap();
    let kept = files.get(&blob()).await.unwrap().unwrap();
    assert_eq!(kept.len(), 4_000_000);
    assert!(kept[..2_000_000].iter().all(|byte| *byte == kept[0]));
}

#[tokio::test]
async fn the_probe_says_when_the_root_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let files = opened(&dir.path().join("root"));
    files.probe().await.unwrap();
    assert_eq!(
        fs::read_dir(files.path("docker/registry/v2"))
            .unwrap()
            .count(),
        0
    );
    fs::remove_dir_all(dir.path().join("root")).unwrap();
    fs::write(dir.path().join("root"), b"").unwrap();
    let error = files.probe().await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_note_of_another_boot_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let files = opened(dir.path());
    let stage = layout::upload(&repository(), &UploadId::random());
    files.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
    let resume = async || files.resume(&stage).await.unwrap().unwrap();
    let kept = Bytes::from_static(b"note");
    resume().await.keep(kept.clone()).await.unwrap();
    assert_eq!(resume().await.note(), Some(&kept));
    let note = files.path(&format!("{}/wharf-note", stage.as_str()));
    let mut bytes = std::fs::read(&note).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&note, bytes).unwrap();
    assert_eq!(resume().await.note(), None);
}

/// `/proc/self` can be written by nobody, not even by root.
#[tokio::test]
async fn a_volume_that_is_only_read_need_not_be_writable() {
    let settings = Settings {
        root: "/proc/self".into(),
        max_threads: 25,
        sync: SyncMode::Full,
    };
    assert!(Files::open(&settings).is_err());
    let files = Files::open_read_only(&settings).unwrap();
    files.probe().await.unwrap();
    assert!(files.get(&blob()).await.unwrap().is_none());
    let missing = Settings {
        root: "/proc/self/nothing".into(),
        ..settings
    };
    assert!(Files::open_read_only(&missing).is_err());
}

/// Whoever sets a version aside while others push never keeps a pushed one.
#[tokio::test(flavor = "multi_thread")]
async fn set_aside_never_keeps_what_was_pushed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (store, pusher) = (opened(dir.path()), opened(dir.path()));
    let digest = Algorithm::Sha256.digest(b"good");
    let key = layout::blob_data(&digest);
    let mut moved = 0;
    for round in 0..150 {
        store.put(&key, Bytes::from_static(b"bad!")).await.unwrap();
        let version = store.head(&key).await.unwrap().unwrap();
        let to = layout::quarantined_at(&digest, &format!("{round}"));
        let push = pusher.put(&key, Bytes::from_static(b"good"));
        let (aside, pushed) = tokio::join!(store.set_aside(&key, &to, &version), push);
        pushed.unwrap();
        moved += usize::from(aside.unwrap() == Aside::Moved);
        assert_eq!(store.get(&key).await.unwrap().unwrap(), "good");
        if let Some(kept) = store.get(&to).await.unwrap() {
            assert_eq!(kept, "bad!");
        }
    }
    assert!(moved > 0);
}

#[test]
fn directories_that_lead_into_themselves_end() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    fs::create_dir(&a).unwrap();
    fs::create_dir(&b).unwrap();
    for (name, target) in [("self", "."), ("up", ".."), ("across", "../b")] {
        std::os::unix::fs::symlink(target, a.join(name)).unwrap();
    }
    std::os::unix::fs::symlink("../a", b.join("back")).unwrap();
    let dirs = |path: &Path| {
        let listed = list::children(&Posix::uncached(), path, None, 10).unwrap();
        let dirs = listed.into_iter().filter(|child| child.is_prefix);
        dirs.map(|child| child.name).collect::<Vec<_>>()
    };
    assert_eq!(dirs(&a), ["across"]);
    assert_eq!(dirs(&a.join("across")), Vec::<String>::new());
    assert_eq!(dirs(&b), ["back"]);
}
