//! What the store promises about single keys: read, put, create, delete.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::{collect, content, current, digest, names, pattern, repository, stage};
use crate::storage::{Created, MAX_RECORD, Reading, StorageError, Store, layout};

pub(crate) async fn absent_is_a_value(one: &dyn Store, _: &dyn Store) {
    let key = current("latest");
    assert!(one.head(&key).await.unwrap().is_none());
    assert!(one.get(&key).await.unwrap().is_none());
    assert!(one.open(&key, Reading::Whole).await.unwrap().is_none());
    assert!(!one.exists(&layout::tags(&repository())).await.unwrap());
    assert!(names(one, None, 10).await.is_empty());
    assert!(one.staged(&stage()).await.unwrap().is_none());
    one.delete(&key).await.unwrap();
    one.delete_all(&layout::tags(&repository())).await.unwrap();
    one.discard(&stage()).await.unwrap();
}

pub(crate) async fn put_replaces_for_every_reader(one: &dyn Store, other: &dyn Store) {
    let key = current("latest");
    for text in ["first", "second, longer", "3"] {
        one.put(&key, Bytes::from(text)).await.unwrap();
        for store in [one, other] {
            assert_eq!(store.get(&key).await.unwrap().unwrap(), text);
            let meta = store.head(&key).await.unwrap().unwrap();
            assert_eq!(meta.size, text.len() as u64);
            let age = SystemTime::now().duration_since(meta.modified);
            assert!(age.unwrap_or_default() < Duration::from_secs(60));
            assert_eq!(
                store
                    .open(&key, Reading::Whole)
                    .await
                    .unwrap()
                    .unwrap()
                    .meta,
                meta
            );
        }
    }
}

pub(crate) async fn an_open_object_keeps_its_version(one: &dyn Store, other: &dyn Store) {
    for size in [10, 2_000_000] {
        let (key, old) = (current("latest"), pattern(size));
        one.put(&key, Bytes::from(old.clone())).await.unwrap();
        let object = one.open(&key, Reading::Whole).await.unwrap().unwrap();
        other.put(&key, Bytes::from_static(b"new")).await.unwrap();
        let read = collect(object.content.read(0..object.meta.size)).await;
        assert!(read == old, "{size}");
        assert_eq!(content(one, &key).await, b"new");
    }
}

pub(crate) async fn readers_never_see_a_mixture(one: &dyn Store, other: &dyn Store) {
    let key = current("latest");
    let version = |number: u8| Bytes::from(vec![number; 5000 + usize::from(number)]);
    one.put(&key, version(0)).await.unwrap();
    let write = async {
        for number in 1..20 {
            one.put(&key, version(number)).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..200 {
            let read = other.get(&key).await.unwrap().unwrap();
            assert_eq!(read, version(read[0]));
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read);
}

pub(crate) async fn ranges_are_exact(one: &dyn Store, _: &dyn Store) {
    for size in [1_000_usize, 700_001] {
        let (key, whole) = (layout::blob_data(&digest(b"x")), pattern(size));
        one.put(&key, Bytes::from(whole.clone())).await.unwrap();
        let object = one.open(&key, Reading::Whole).await.unwrap().unwrap();
        for (start, end) in [
            (0, size),
            (0, 1),
            (size - 1, size),
            (17, size - 5),
            (3, 3),
            (size, size),
        ] {
            let read = collect(object.content.read(start as u64..end as u64)).await;
            assert!(read == whole[start..end], "{start}..{end} of {size}");
        }
        let beyond = object.content.read(0..size as u64 + 1);
        let read: io::Result<Vec<_>> = beyond.try_collect().await;
        assert!(read.is_err(), "what isn't there is an error, not silence");
    }
}

pub(crate) async fn large_content_streams_in_parts(one: &dyn Store, _: &dyn Store) {
    let (key, whole) = (layout::blob_data(&digest(b"x")), pattern(5_000_003));
    one.put(&key, Bytes::from(whole.clone())).await.unwrap();
    let object = one.open(&key, Reading::Whole).await.unwrap().unwrap();
    let read: Vec<Bytes> = object
        .content
        .read(0..whole.len() as u64)
        .try_collect()
        .await
        .unwrap();
    assert!(read.iter().all(|part| part.len() <= 1024 * 1024));
    assert!(read.concat() == whole);
}

pub(crate) async fn records_are_bounded(one: &dyn Store, _: &dyn Store) {
    let key = layout::blob_data(&digest(b"x"));
    let size = usize::try_from(MAX_RECORD).unwrap();
    one.put(&key, vec![1_u8; size].into()).await.unwrap();
    assert_eq!(one.get(&key).await.unwrap().unwrap().len(), size);
    one.put(&key, vec![1_u8; size + 1].into()).await.unwrap();
    let refused = one.get(&key).await.unwrap_err();
    assert!(
        matches!(refused, StorageError::TooLarge { size, .. } if size == MAX_RECORD + 1),
        "{refused}"
    );
}

pub(crate) async fn an_empty_record_is_there(one: &dyn Store, other: &dyn Store) {
    let key = current("latest");
    one.put(&key, Bytes::new()).await.unwrap();
    assert_eq!(other.head(&key).await.unwrap().unwrap().size, 0);
    assert_eq!(other.get(&key).await.unwrap().unwrap(), "");
    assert_eq!(content(other, &key).await, b"");
}

pub(crate) async fn create_lets_one_writer_win(one: &dyn Store, other: &dyn Store) {
    for round in 0..5 {
        let key = current(&format!("v{round}"));
        let create = |number: usize| {
            let store = if number.is_multiple_of(2) { one } else { other };
            let content = Bytes::from(format!("writer {number}"));
            let key = &key;
            async move { (number, store.create(key, content).await.unwrap()) }
        };
        let outcomes = join_all((0..12).map(create)).await;
        let winners: Vec<_> = outcomes
            .iter()
            .filter(|(_, created)| *created == Created::New)
            .collect();
        assert_eq!(winners.len(), 1);
        let kept = one.get(&key).await.unwrap().unwrap();
        assert_eq!(kept, format!("writer {}", winners[0].0));
    }
}

pub(crate) async fn create_leaves_the_first(one: &dyn Store, other: &dyn Store) {
    let key = current("latest");
    let create = |text: &'static str| Bytes::from_static(text.as_bytes());
    let first = one.create(&key, create("first")).await.unwrap();
    assert_eq!(first, Created::New);
    let second = other.create(&key, create("second")).await.unwrap();
    assert_eq!(second, Created::Exists);
    assert_eq!(one.get(&key).await.unwrap().unwrap(), "first");
    one.delete(&key).await.unwrap();
    let third = other.create(&key, create("third")).await.unwrap();
    assert_eq!(third, Created::New);
}

pub(crate) async fn delete_is_seen_by_all(one: &dyn Store, other: &dyn Store) {
    let key = current("latest");
    one.put(&key, Bytes::from_static(b"x")).await.unwrap();
    assert!(other.head(&key).await.unwrap().is_some());
    one.delete(&key).await.unwrap();
    assert!(other.head(&key).await.unwrap().is_none());
    assert!(other.get(&key).await.unwrap().is_none());
    other.delete(&key).await.unwrap();
}
