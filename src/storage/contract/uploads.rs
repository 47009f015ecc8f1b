//! What the store promises about uploads, from `begin` to `publish` or `discard`.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{collect, content, digest, parts, pattern, stage, uploaded};
use crate::oci::UploadId;
use crate::storage::{Key, Reading, Stage, StorageError, Store, Upload, layout};

pub(crate) async fn an_upload_grows_and_another_process_goes_on(
    one: &dyn Store,
    other: &dyn Store,
) {
    let whole = pattern(300_000);
    let stage = stage();
    one.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
    let started = other.get(&stage.started_at()).await.unwrap().unwrap();
    assert_eq!(started, "2026-11-23T10:00:00Z");
    assert_eq!(other.staged(&stage).await.unwrap(), Some(0));
    assert_eq!(resume(other, &stage).await.note(), None);

    let mut size = 0_u64;
    for (store, end) in [
        (one, 100_000),
        (other, 100_001),
        (one, 100_001),
        (other, 300_000),
    ] {
        let from = usize::try_from(size).unwrap();
        let mut upload = resume(store, &stage).await;
        assert_eq!(upload.size(), size);
        upload
            .append(parts(&whole[from..end], 7_000))
            .await
            .unwrap();
        size = upload.size();
        assert_eq!(size, end as u64);
        upload.keep(Bytes::from(format!("{size}"))).await.unwrap();
        assert_eq!(other.staged(&stage).await.unwrap(), Some(size));
    }
    let upload = resume(one, &stage).await;
    assert_eq!(upload.note().unwrap(), "300000");
    for from in [0_usize, 1, 299_999, 300_000] {
        let read = collect(upload.reread(from as u64).await.unwrap()).await;
        assert!(read == whole[from..], "{from}");
    }
    let beyond = upload.reread(size + 1).await.err().unwrap();
    assert!(
        matches!(beyond, StorageError::WrongOffset { .. }),
        "{beyond}"
    );
}

/// Whether or not what was not kept is there: it is a prefix of what was sent.
pub(crate) async fn what_was_not_kept_may_be_lost_but_never_other(
    one: &dyn Store,
    other: &dyn Store,
) {
    let (stage, whole) = (uploaded(one, b"begin").await, pattern(2_000_000));
    let mut upload = resume(one, &stage).await;
    upload.append(parts(&whole, 10_000)).await.unwrap();
    drop(upload);
    let upload = resume(other, &stage).await;
    assert!(upload.size() >= 5);
    let read = collect(upload.reread(5).await.unwrap()).await;
    assert_eq!(read.len() as u64, upload.size() - 5);
    assert!(whole.starts_with(&read));
}

pub(crate) async fn a_broken_stream_keeps_what_came(one: &dyn Store, other: &dyn Store) {
    for size in [0_usize, 3, 2_000_000] {
        let (stage, whole) = (uploaded(one, b"begin").await, pattern(size));
        let broken = stream::iter([Err(io::Error::other("the client left"))]);
        let content = Box::pin(parts(&whole, 10_000).chain(broken));
        let expected = 5 + size as u64;
        let mut upload = resume(one, &stage).await;
        match upload.append(content).await {
            Err(StorageError::Interrupted { size, cause }) => {
                assert_eq!(size, expected);
                assert_eq!(cause.to_string(), "the client left");
            }
            other => panic!("{other:?}"),
        }
        upload.keep(Bytes::new()).await.unwrap();
        drop(upload);
        let mut upload = resume(other, &stage).await;
        assert_eq!(upload.size(), expected);
        assert!(collect(upload.reread(5).await.unwrap()).await == whole);
        upload.append(parts(b"end", 1)).await.unwrap();
        assert_eq!(upload.size(), expected + 3);
    }
}

pub(crate) async fn many_small_parts_are_one_upload(one: &dyn Store, other: &dyn Store) {
    let whole = pattern(10_000);
    let stage = stage();
    one.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
    let empty = stream::iter([Ok(Bytes::new())]);
    let mut upload = resume(one, &stage).await;
    upload
        .append(Box::pin(empty.chain(parts(&whole, 1))))
        .await
        .unwrap();
    upload.keep(Bytes::new()).await.unwrap();
    drop(upload);
    let upload = resume(other, &stage).await;
    assert!(collect(upload.reread(0).await.unwrap()).await == whole);
}

pub(crate) async fn a_large_upload_is_kept_byte_for_byte(one: &dyn Store, other: &dyn Store) {
    let whole = pattern(20_000_019);
    let key = layout::blob_data(&digest(&whole));
    let stage = uploaded(one, &whole).await;
    let upload = resume(other, &stage).await;
    assert!(collect(upload.reread(0).await.unwrap()).await == whole);
    drop(upload);
    publish(one, &stage, &key).await;
    assert!(content(other, &key).await == whole);
}

/// A client that leaves drops its request in the middle of a write.
pub(crate) async fn a_dropped_append_leaves_a_usable_upload(one: &dyn Store, other: &dyn Store) {
    let whole = pattern(3_000_000);
    let stage = uploaded(one, b"").await;
    let stalled = parts(&whole, 300_000).chain(stream::pending());
    let mut upload = resume(one, &stage).await;
    let append = upload.append(Box::pin(stalled));
    let dropped = tokio::time::timeout(Duration::from_millis(30), append).await;
    assert!(dropped.is_err());
    drop(upload);
    // Only prefixes of what was sent, and whoever goes on finds a still file.
    let mut upload = resume(other, &stage).await;
    let from = usize::try_from(upload.size()).unwrap();
    upload
        .append(parts(&whole[from..], 64 * 1024))
        .await
        .unwrap();
    assert_eq!(upload.size(), 3_000_000);
    let key = layout::blob_data(&digest(&whole));
    upload.publish(&key).await.unwrap();
    assert!(content(one, &key).await == whole);
}

pub(crate) async fn notes_replace_each_other(one: &dyn Store, other: &dyn Store) {
    let stage = uploaded(one, b"x").await;
    for note in ["first", "second", ""] {
        let mut upload = resume(one, &stage).await;
        upload.keep(Bytes::from(note)).await.unwrap();
        drop(upload);
        let upload = resume(other, &stage).await;
        assert_eq!(upload.note().unwrap(), note);
        assert_eq!(upload.size(), 1);
    }
}

pub(crate) async fn an_upload_without_a_session_is_refused(one: &dyn Store, other: &dyn Store) {
    let (unknown, key) = (stage(), layout::blob_data(&digest(b"x")));
    assert_eq!(one.staged(&unknown).await.unwrap(), None);
    assert!(one.resume(&unknown).await.unwrap().is_none());
    // It ended while we had it open.
    let stage = uploaded(one, b"x").await;
    let mut upload = resume(one, &stage).await;
    other.discard(&stage).await.unwrap();
    let refused = upload.keep(Bytes::new()).await.unwrap_err();
    assert!(matches!(refused, StorageError::UnknownStage), "{refused}");
    assert_eq!(other.staged(&stage).await.unwrap(), None);
    assert!(one.head(&key).await.unwrap().is_none());
}

pub(crate) async fn publish_makes_all_visible_and_ends_the_session(
    one: &dyn Store,
    other: &dyn Store,
) {
    for size in [5, 12_000_000] {
        let whole = pattern(size);
        let (key, stage) = (
            layout::blob_data(&digest(&whole)),
            uploaded(one, &whole).await,
        );
        assert!(other.head(&key).await.unwrap().is_none());
        publish(other, &stage, &key).await;
        assert!(content(one, &key).await == whole);
        one.discard(&stage).await.unwrap();
        assert!(one.staged(&stage).await.unwrap().is_none());
        assert!(other.resume(&stage).await.unwrap().is_none());
        assert!(content(one, &key).await == whole);
    }
}

pub(crate) async fn publish_replaces_what_is_there(one: &dyn Store, other: &dyn Store) {
    let key = layout::blob_data(&digest(b"bytes"));
    one.put(&key, Bytes::from_static(b"torn")).await.unwrap();
    let (first, second) = (
        uploaded(one, b"bytes").await,
        uploaded(other, b"bytes").await,
    );
    tokio::join!(publish(one, &first, &key), publish(other, &second, &key));
    assert_eq!(content(one, &key).await, b"bytes");
}

pub(crate) async fn an_empty_upload_is_published(one: &dyn Store, other: &dyn Store) {
    let (key, stage) = (layout::blob_data(&digest(b"")), uploaded(one, b"").await);
    let upload = resume(one, &stage).await;
    assert!(collect(upload.reread(0).await.unwrap()).await.is_empty());
    upload.publish(&key).await.unwrap();
    assert_eq!(other.head(&key).await.unwrap().unwrap().size, 0);
    assert_eq!(content(other, &key).await, b"");
}

pub(crate) async fn discard_forgets(one: &dyn Store, other: &dyn Store) {
    let stage = uploaded(one, b"x").await;
    other.discard(&stage).await.unwrap();
    assert!(one.staged(&stage).await.unwrap().is_none());
    assert!(one.get(&stage.started_at()).await.unwrap().is_none());
    assert!(one.resume(&stage).await.unwrap().is_none());
    other.discard(&stage).await.unwrap();
}

async fn resume(store: &dyn Store, stage: &Stage) -> Box<dyn Upload> {
    let resumed = store.resume(stage).await.unwrap();
    resumed.expect("the upload is there")
}

async fn publish(store: &dyn Store, stage: &Stage, key: &Key) {
    let upload = resume(store, stage).await;
    upload.publish(key).await.unwrap();
}

pub(crate) async fn a_deleted_blob_leaves_nothing(one: &dyn Store, other: &dyn Store) {
    let digest = digest(b"x");
    let names = [
        layout::blob_data(&digest),
        layout::blob_again(&digest, &UploadId::random()),
    ];
    let listed = async |store: &dyn Store| {
        let children = store.children(&layout::blob_names(&digest), None, 9).await;
        let children = children.unwrap().into_iter();
        let keys = children.map(|child| layout::blob_named(&digest, &child.name).unwrap());
        keys.collect::<Vec<_>>()
    };
    for size in [10, 11_000_000] {
        let content = pattern(size);
        for key in &names {
            let stage = uploaded(one, &content).await;
            let upload = one.resume(&stage).await.unwrap().unwrap();
            upload.publish(key).await.unwrap();
        }
        assert_eq!(listed(other).await, names);
        for (key, left) in names.iter().zip([&names[1..], &[]]) {
            other.delete(key).await.unwrap();
            assert!(one.head(key).await.unwrap().is_none(), "{size}");
            assert!(one.open(key, Reading::Whole).await.unwrap().is_none());
            assert_eq!(listed(one).await, left);
            one.delete(key).await.unwrap();
        }
    }
}
