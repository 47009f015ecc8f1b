//! What the store promises about what passes: posts, holds, empty directories.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{current, digest, names, repository, tag};
use crate::oci::UploadId;
use crate::storage::{Hold, Store, layout};

pub(crate) async fn a_post_is_seen_by_all_until_it_is_withdrawn(
    one: &dyn Store,
    other: &dyn Store,
) {
    let id = UploadId::random();
    let key = layout::intent(&id);
    for text in ["first", "second, longer", "3"] {
        one.post(&key, Bytes::from(text)).await.unwrap();
        assert_eq!(other.get(&key).await.unwrap().unwrap(), text);
    }
    other.settle().await.unwrap();
    let listed = other.children(&layout::intents(), None, 9).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0].name, listed[0].is_prefix),
        (&id.to_string(), false)
    );
    other.withdraw(&key).await.unwrap();
    for store in [one, other] {
        assert!(store.get(&key).await.unwrap().is_none());
        let left = store.children(&layout::intents(), None, 9).await.unwrap();
        assert!(left.is_empty());
        store.withdraw(&key).await.unwrap();
    }
    one.settle().await.unwrap();
}

pub(crate) async fn a_post_is_never_seen_in_part(one: &dyn Store, other: &dyn Store) {
    let key = layout::intent(&UploadId::random());
    let version = |number: u8| Bytes::from(vec![number; 5000 + usize::from(number)]);
    one.post(&key, version(0)).await.unwrap();
    let post = async {
        for number in 1..20 {
            one.post(&key, version(number)).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..100 {
            let read = other.get(&key).await.unwrap().unwrap();
            assert_eq!(read, version(read[0]));
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(post, read);
}

pub(crate) async fn many_posts_and_withdrawals_at_once(one: &dyn Store, other: &dyn Store) {
    let act = |number: usize| async move {
        let (here, there) = if number.is_multiple_of(2) {
            (one, other)
        } else {
            (other, one)
        };
        let key = layout::intent(&UploadId::random());
        for _ in 0..3 {
            here.post(&key, Bytes::from_static(b"x")).await.unwrap();
            assert!(there.get(&key).await.unwrap().is_some());
            there.withdraw(&key).await.unwrap();
            there.tidy(&layout::intents()).await.unwrap();
            assert!(here.get(&key).await.unwrap().is_none());
        }
    };
    join_all((0..8).map(act)).await;
}

pub(crate) async fn a_hold_is_one_holders_until_it_is_dropped(one: &dyn Store, other: &dyn Store) {
    let key = layout::collector();
    let held = match one.hold(&key).await.unwrap() {
        Hold::Held(held) => held,
        Hold::Taken => panic!("nobody has it"),
        Hold::Unknown => {
            assert!(matches!(other.hold(&key).await.unwrap(), Hold::Unknown));
            return;
        }
    };
    for store in [other, one] {
        assert!(matches!(store.hold(&key).await.unwrap(), Hold::Taken));
    }
    drop(held);
    for store in [other, one] {
        assert!(matches!(store.hold(&key).await.unwrap(), Hold::Held(_)));
    }
}

pub(crate) async fn tidy_leaves_what_has_content(one: &dyn Store, other: &dyn Store) {
    let (repository, history) = (repository(), |name: &str| {
        layout::tag_history(&repository(), &tag(name), &digest(b"x"))
    });
    for key in [current("a"), history("a"), current("b"), history("b")] {
        one.put(&key, Bytes::from_static(b"x")).await.unwrap();
    }
    for key in [current("a"), history("a"), history("b")] {
        other.delete(&key).await.unwrap();
    }
    for prefix in [
        layout::tag(&repository, &tag("a")),
        layout::tags(&repository),
    ] {
        other.tidy(&prefix).await.unwrap();
        assert_eq!(names(one, None, 9).await, ["b"]);
        assert!(one.get(&current("b")).await.unwrap().is_some());
    }
    one.delete(&current("b")).await.unwrap();
    one.tidy(&layout::tag(&repository, &tag("b")))
        .await
        .unwrap();
    assert!(!other.exists(&layout::below(&repository)).await.unwrap());
    other.tidy(&layout::below(&repository)).await.unwrap();
    // And the place can be used again.
    one.put(&history("a"), Bytes::from_static(b"y"))
        .await
        .unwrap();
    assert_eq!(other.get(&history("a")).await.unwrap().unwrap(), "y");
}

pub(crate) async fn tidy_tolerates_writers(one: &dyn Store, other: &dyn Store) {
    let content = || Bytes::from_static(b"x");
    let write = |number: u8| async move {
        let digest = digest(&[number]);
        for _ in 0..4 {
            let link = layout::layer_link(&repository(), &digest);
            one.put(&link, content()).await.unwrap();
            one.delete(&link).await.unwrap();
            one.create(&link, content()).await.unwrap();
            assert!(other.get(&link).await.unwrap().is_some());
            one.delete(&link).await.unwrap();
        }
        let kept = layout::revision_link(&repository(), &digest);
        one.put(&kept, content()).await.unwrap();
    };
    let tidy = async {
        for _ in 0..30 {
            other.tidy(&layout::layers(&repository())).await.unwrap();
            other.tidy(&layout::manifests(&repository())).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(join_all((0..6).map(write)), tidy);
    for number in 0..6 {
        let kept = layout::revision_link(&repository(), &digest(&[number]));
        assert!(other.get(&kept).await.unwrap().is_some());
    }
    other.tidy(&layout::layers(&repository())).await.unwrap();
    assert!(!one.exists(&layout::layers(&repository())).await.unwrap());
}
