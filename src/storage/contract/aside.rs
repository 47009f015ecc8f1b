//! What the store promises about moving one version of a key.

use std::time::Duration;

use bytes::Bytes;

use super::{content, digest};
use crate::storage::{Aside, Meta, Reading, Store, Version, layout};

pub(crate) async fn set_aside_moves_the_version_that_was_seen(one: &dyn Store, other: &dyn Store) {
    let digest = digest(b"x");
    let (key, to) = (
        layout::blob_data(&digest),
        layout::quarantined_at(&digest, "20261123T100000Z"),
    );
    one.put(&key, Bytes::from_static(b"damaged")).await.unwrap();
    let opened = other.open(&key, Reading::Whole).await.unwrap().unwrap();
    let seen = one.head(&key).await.unwrap().unwrap();
    assert_eq!(opened.meta, seen);
    assert_eq!(one.set_aside(&key, &to, &seen).await.unwrap(), Aside::Moved);
    for store in [one, other] {
        assert!(store.head(&key).await.unwrap().is_none());
        assert_eq!(content(store, &to).await, b"damaged");
    }
    // The place is free, and what was moved can come back to it.
    let moved = other.head(&to).await.unwrap().unwrap();
    let back = other.set_aside(&to, &key, &moved).await.unwrap();
    assert_eq!(back, Aside::Moved);
    assert_eq!(content(one, &key).await, b"damaged");
    assert!(one.head(&to).await.unwrap().is_none());
}

pub(crate) async fn set_aside_leaves_every_other_version(one: &dyn Store, other: &dyn Store) {
    let digest = digest(b"x");
    let (key, to) = (
        layout::blob_data(&digest),
        layout::quarantined_at(&digest, "20261123T100000Z"),
    );
    let never = Meta {
        size: 7,
        modified: std::time::SystemTime::UNIX_EPOCH,
        assembled: true,
        version: Version::of(0),
    };
    let absent = one.set_aside(&key, &to, &never).await.unwrap();
    assert_eq!(absent, Aside::Changed);
    one.put(&key, Bytes::from_static(b"damaged")).await.unwrap();
    let seen = one.head(&key).await.unwrap().unwrap();
    // A store's clock may have seconds only.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    other
        .put(&key, Bytes::from_static(b"healed!"))
        .await
        .unwrap();
    for version in [&seen, &never] {
        let left = one.set_aside(&key, &to, version).await.unwrap();
        assert_eq!(left, Aside::Changed);
        assert_eq!(content(one, &key).await, b"healed!");
        assert!(one.head(&to).await.unwrap().is_none());
    }
}
