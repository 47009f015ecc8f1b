//! What the store promises about prefixes, and about the volume as a whole.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{current, digest, names, repository, tag, uploaded};
use crate::oci::{RepositoryName, UploadId};
use crate::storage::{Child, Store, layout};

pub(crate) async fn delete_all_takes_everything_below(one: &dyn Store, other: &dyn Store) {
    let (repository, latest) = (repository(), tag("latest"));
    let history = layout::tag_history(&repository, &latest, &digest(b"x"));
    for key in [&current("latest"), &current("latest-2"), &history] {
        one.put(key, Bytes::from_static(b"x")).await.unwrap();
    }
    other
        .delete_all(&layout::tag(&repository, &latest))
        .await
        .unwrap();
    assert!(one.get(&current("latest")).await.unwrap().is_none());
    assert!(one.get(&history).await.unwrap().is_none());
    assert!(
        !one.exists(&layout::tag(&repository, &latest))
            .await
            .unwrap()
    );
    // A prefix ends where a component ends.
    assert_eq!(names(one, None, 10).await, ["latest-2"]);
    // And the place can be used again.
    one.put(&history, Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(other.get(&history).await.unwrap().unwrap(), "y");
}

pub(crate) async fn delete_all_tolerates_writers(one: &dyn Store, other: &dyn Store) {
    let prefix = layout::tag(&repository(), &tag("latest"));
    let write = async {
        for number in 0..40_u8 {
            let history = layout::tag_history(&repository(), &tag("latest"), &digest(&[number]));
            one.put(&history, Bytes::from_static(b"x")).await.unwrap();
        }
    };
    let remove = async {
        for _ in 0..10 {
            other.delete_all(&prefix).await.unwrap();
        }
    };
    tokio::join!(write, remove);
    other.delete_all(&prefix).await.unwrap();
    assert!(!one.exists(&prefix).await.unwrap());
}

pub(crate) async fn children_page_in_byte_order(one: &dyn Store, other: &dyn Store) {
    let mut all: Vec<_> = (0..25).map(|number| format!("v{number}")).collect();
    all.extend(["Z", "_x", "a.b", "a-b", "a", "0"].map(str::to_owned));
    let put = |name: &String| {
        let key = current(name);
        async move { one.put(&key, Bytes::from_static(b"x")).await.unwrap() }
    };
    join_all(all.iter().map(put)).await;
    all.sort();
    assert_eq!(names(other, None, 100).await, all);
    for limit in [1, 7, 31] {
        let mut paged = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let page = names(other, last.as_deref(), limit).await;
            assert!(page.len() <= limit);
            last = page.last().cloned();
            paged.extend(page);
            if last.is_none() {
                break;
            }
        }
        assert_eq!(paged, all);
    }
    // The cursor need not exist.
    assert_eq!(names(other, Some("a.a"), 1).await, ["a.b"]);
    assert!(names(other, Some("zzz"), 9).await.is_empty());
    assert!(names(other, None, 0).await.is_empty());
}

pub(crate) async fn children_are_names_or_prefixes(one: &dyn Store, _: &dyn Store) {
    let stage = uploaded(one, b"x").await;
    one.put(&current("latest"), Bytes::new()).await.unwrap();
    let listed = |prefix| async move {
        let children = one.children(&prefix, None, 99).await.unwrap();
        let shown = |child: Child| child.name + if child.is_prefix { "/" } else { "" };
        children.into_iter().map(shown).collect::<Vec<_>>()
    };
    let below = layout::below(&repository());
    assert_eq!(listed(below.clone()).await, ["_manifests/", "_uploads/"]);
    assert_eq!(listed(layout::repositories()).await, ["team/"]);
    assert!(one.exists(&below).await.unwrap());
    one.discard(&stage).await.unwrap();
    assert!(listed(layout::uploads(&repository())).await.is_empty());
}

pub(crate) async fn a_tag_may_look_temporary(one: &dyn Store, other: &dyn Store) {
    let key = current("1.0.tmp");
    one.put(&key, Bytes::from_static(b"x")).await.unwrap();
    one.put(&key, Bytes::from_static(b"y")).await.unwrap();
    assert_eq!(names(other, None, 9).await, ["1.0.tmp"]);
}

pub(crate) async fn a_key_is_no_prefix_and_a_prefix_no_key(one: &dyn Store, _: &dyn Store) {
    let (outer, inner): (RepositoryName, RepositoryName) =
        ("a".parse().unwrap(), "a/b".parse().unwrap());
    let key = layout::layer_link(&inner, &digest(b"x"));
    one.put(&key, Bytes::from_static(b"x")).await.unwrap();
    assert!(one.exists(&layout::below(&outer)).await.unwrap());
    assert!(one.exists(&layout::layers(&inner)).await.unwrap());
    assert!(!one.exists(&layout::layers(&outer)).await.unwrap());
    let other = layout::layer_link(&outer, &digest(b"x"));
    assert!(one.head(&other).await.unwrap().is_none());
}

pub(crate) async fn uploads_are_listed(one: &dyn Store, other: &dyn Store) {
    let id = UploadId::random();
    let stage = layout::upload(&repository(), &id);
    one.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
    let uploads = layout::uploads(&repository());
    let children = other.children(&uploads, None, 9).await.unwrap();
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].name, id.to_string());
    assert!(children[0].is_prefix);
}

pub(crate) async fn the_probe_leaves_nothing(one: &dyn Store, _: &dyn Store) {
    one.probe().await.unwrap();
    let repositories = layout::repositories();
    assert!(
        one.children(&repositories, None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(!one.exists(&repositories).await.unwrap());
}

pub(crate) async fn space_is_plausible(one: &dyn Store, _: &dyn Store) {
    if let Some(space) = one.space().await.unwrap() {
        assert!(space.total > 0 && space.free <= space.total);
    }
}
