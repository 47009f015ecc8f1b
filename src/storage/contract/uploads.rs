//! What the store promises about uploads, from `begin` to `publish` or `discard`.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{collect, content, digest, parts, pattern, stage, uploaded};
use crate::storage::{Staged, StorageError, Store, layout};

pub(crate) async fn an_upload_grows_and_another_process_goes_on(
    one: &dyn Store,
    other: &dyn Store,
) {
    let whole = pattern(300_000);
    let stage = stage();
    one.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
    let started = other.get(&stage.started_at()).await.unwrap().unwrap();
    assert_eq!(started, "2026-11-23T10:00:00Z");
    let empty = Staged {
        size: 0,
        note: None,
    };
    assert_eq!(other.staged(&stage).await.unwrap(), Some(empty));

    let mut size = 0_u64;
    for (store, end) in [
        (one, 100_000),
        (other, 100_001),
        (one, 100_001),
        (other, 300_000),
    ] {
        let from = usize::try_from(size).unwrap();
        size = store
            .append(&stage, size, parts(&whole[from..end], 7_000))
            .await
            .unwrap();
        assert_eq!(size, end as u64);
        assert_eq!(other.staged(&stage).await.unwrap().unwrap().size, size);
    }
    for from in [0_usize, 1, 299_999, 300_000] {
        let read = collect(one.reread(&stage, from as u64).await.unwrap()).await;
        assert!(read == whole[from..], "{from}");
    }
    let beyond = one.reread(&stage, size + 1).await.err().unwrap();
    assert!(
        matches!(beyond, StorageError::WrongOffset { .. }),
        "{beyond}"
    );
}

pub(crate) async fn append_checks_the_offset(one: &dyn Store, _: &dyn Store) {
    let stage = uploaded(one, b"12345").await;
    for expected in [0, 4, 6] {
        let refused = one.append(&stage, expected, parts(b"x", 1)).await;
        assert!(
            matches!(refused, Err(StorageError::WrongOffset { expected: said, actual: 5 }) if said == expected),
            "{refused:?}"
        );
    }
    assert_eq!(
        collect(one.reread(&stage, 0).await.unwrap()).await,
        b"12345"
    );
}

pub(crate) async fn a_broken_stream_keeps_what_came(one: &dyn Store, other: &dyn Store) {
    for size in [0_usize, 3, 2_000_000] {
        let (stage, whole) = (uploaded(one, b"begin").await, pattern(size));
        let broken = stream::iter([Err(io::Error::other("the client left"))]);
        let content = Box::pin(parts(&whole, 10_000).chain(broken));
        let expected = 5 + size as u64;
        match one.append(&stage, 5, content).await {
            Err(StorageError::Interrupted { size, cause }) => {
                assert_eq!(size, expected);
                assert_eq!(cause.to_string(), "the client left");
            }
            other => panic!("{other:?}"),
        }
        let staged = other.staged(&stage).await.unwrap().unwrap();
        assert_eq!(staged.size, expected);
        assert!(collect(other.reread(&stage, 5).await.unwrap()).await == whole);
        let after = other.append(&stage, expected, parts(b"end", 1)).await;
        assert_eq!(after.unwrap(), expected + 3);
    }
}

pub(crate) async fn many_small_parts_are_one_upload(one: &dyn Store, other: &dyn Store) {
    let whole = pattern(10_000);
    let stage = stage();
    one.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
    let empty = stream::iter([Ok(Bytes::new())]);
    let content = Box::pin(empty.chain(parts(&whole, 1)));
    assert_eq!(one.append(&stage, 0, content).await.unwrap(), 10_000);
    assert!(collect(other.reread(&stage, 0).await.unwrap()).await == whole);
}

pub(crate) async fn a_large_upload_is_kept_byte_for_byte(one: &dyn Store, other: &dyn Store) {
    let whole = pattern(20_000_019);
    let key = layout::blob_data(&digest(&whole));
    let stage = uploaded(one, &whole).await;
    assert!(collect(other.reread(&stage, 0).await.unwrap()).await == whole);
    one.publish(&stage, 20_000_019, &key).await.unwrap();
    assert!(content(other, &key).await == whole);
}

/// A client that leaves drops its request in the middle of a write.
pub(crate) async fn a_dropped_append_leaves_a_usable_upload(one: &dyn Store, other: &dyn Store) {
    let whole = pattern(3_000_000);
    let stage = uploaded(one, b"").await;
    let stalled = parts(&whole, 300_000).chain(stream::pending());
    let append = one.append(&stage, 0, Box::pin(stalled));
    let dropped = tokio::time::timeout(Duration::from_millis(30), append).await;
    assert!(dropped.is_err());
    // Only prefixes of what was sent, and whoever goes on finds a still file.
    let size = loop {
        let size = other.staged(&stage).await.unwrap().unwrap().size;
        match other.append(&stage, size, parts(b"", 1)).await {
            Ok(size) => break size,
            Err(StorageError::WrongOffset { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    let from = usize::try_from(size).unwrap();
    let rest = parts(&whole[from..], 64 * 1024);
    assert_eq!(other.append(&stage, size, rest).await.unwrap(), 3_000_000);
    let key = layout::blob_data(&digest(&whole));
    other.publish(&stage, 3_000_000, &key).await.unwrap();
    assert!(content(one, &key).await == whole);
}

pub(crate) async fn notes_replace_each_other(one: &dyn Store, other: &dyn Store) {
    let stage = uploaded(one, b"x").await;
    for note in ["first", "second", ""] {
        one.annotate(&stage, Bytes::from(note)).await.unwrap();
        let staged = other.staged(&stage).await.unwrap().unwrap();
        assert_eq!(staged.note.unwrap(), note);
        assert_eq!(staged.size, 1);
    }
}

pub(crate) async fn an_upload_without_a_session_is_refused(one: &dyn Store, _: &dyn Store) {
    let (stage, key) = (stage(), layout::blob_data(&digest(b"x")));
    let refusals = [
        one.append(&stage, 0, parts(b"x", 1)).await.err(),
        one.annotate(&stage, Bytes::new()).await.err(),
        one.reread(&stage, 0).await.err(),
        one.publish(&stage, 0, &key).await.err(),
    ];
    for refused in refusals {
        assert!(
            matches!(refused, Some(StorageError::UnknownStage)),
            "{refused:?}"
        );
    }
    assert!(one.head(&key).await.unwrap().is_none());
}

pub(crate) async fn publish_makes_all_visible_and_ends_the_session(
    one: &dyn Store,
    other: &dyn Store,
) {
    let (key, stage) = (
        layout::blob_data(&digest(b"bytes")),
        uploaded(one, b"bytes").await,
    );
    one.annotate(&stage, Bytes::from_static(b"n"))
        .await
        .unwrap();
    assert!(other.head(&key).await.unwrap().is_none());
    // Somebody appended after the caller hashed.
    let longer = other.publish(&stage, 4, &key).await.unwrap_err();
    assert!(
        matches!(
            longer,
            StorageError::WrongOffset {
                expected: 4,
                actual: 5
            }
        ),
        "{longer}"
    );
    other.publish(&stage, 5, &key).await.unwrap();
    assert_eq!(content(one, &key).await, b"bytes");
    assert!(one.staged(&stage).await.unwrap().is_none());
    let again = one.publish(&stage, 5, &key).await.unwrap_err();
    assert!(matches!(again, StorageError::UnknownStage), "{again}");
    one.discard(&stage).await.unwrap();
    assert_eq!(content(one, &key).await, b"bytes");
}

pub(crate) async fn publish_replaces_what_is_there(one: &dyn Store, other: &dyn Store) {
    let key = layout::blob_data(&digest(b"bytes"));
    one.put(&key, Bytes::from_static(b"torn")).await.unwrap();
    let (first, second) = (
        uploaded(one, b"bytes").await,
        uploaded(other, b"bytes").await,
    );
    let outcomes = tokio::join!(
        one.publish(&first, 5, &key),
        other.publish(&second, 5, &key)
    );
    outcomes.0.unwrap();
    outcomes.1.unwrap();
    assert_eq!(content(one, &key).await, b"bytes");
}

pub(crate) async fn an_empty_upload_is_published(one: &dyn Store, other: &dyn Store) {
    let (key, stage) = (layout::blob_data(&digest(b"")), uploaded(one, b"").await);
    assert!(
        collect(one.reread(&stage, 0).await.unwrap())
            .await
            .is_empty()
    );
    one.publish(&stage, 0, &key).await.unwrap();
    assert_eq!(other.head(&key).await.unwrap().unwrap().size, 0);
    assert_eq!(content(other, &key).await, b"");
}

pub(crate) async fn discard_forgets(one: &dyn Store, other: &dyn Store) {
    let stage = uploaded(one, b"x").await;
    one.annotate(&stage, Bytes::from_static(b"n"))
        .await
        .unwrap();
    other.discard(&stage).await.unwrap();
    assert!(one.staged(&stage).await.unwrap().is_none());
    assert!(one.get(&stage.started_at()).await.unwrap().is_none());
    let refused = one.append(&stage, 1, parts(b"x", 1)).await.unwrap_err();
    assert!(matches!(refused, StorageError::UnknownStage), "{refused}");
    other.discard(&stage).await.unwrap();
}
