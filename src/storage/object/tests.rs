//! The store's promises, kept by a real engine.

#[path = "azure_tests.rs"]
mod azure;
#[path = "../../../tests/support/bucket.rs"]
#[allow(dead_code, reason = "these tests need a part of it")]
mod bucket;
#[path = "../../../tests/support/engine.rs"]
#[allow(dead_code, reason = "these tests need a part of it")]
mod engine;
#[path = "../../../tests/support/needs.rs"]
#[allow(dead_code, reason = "these tests need a part of it")]
mod needs;
#[path = "../../../tests/support/wait.rs"]
mod wait;

use self::bucket::Bucket;
use self::engine::S3Engine;
use self::needs::{Needs, find};
use self::wait::{eventually, say};
use futures_util::TryStreamExt as _;

use super::*;
use crate::oci::{Algorithm, RepositoryName};
use crate::storage::contract::{Bench, stamp_contract};
use crate::storage::{ByteStream, layout};

fn settings(bucket: &Bucket) -> Settings {
    Settings {
        engine: Engine::S3(S3 {
            bucket: bucket.name.clone(),
            region: None,
            endpoint: Some(bucket.endpoint.clone()),
            redirect_endpoint: None,
            keys: Some((
                bucket.access_key.clone(),
                Secret::new(bucket.secret_key.clone()),
            )),
            path_style: true,
            secure: false,
            skip_verify: false,
            encrypt: false,
            key_id: None,
            storage_class: None,
            user_agent: None,
        }),
        root: bucket.root.clone(),
        chunk_size: Settings::LEAST_CHUNK,
        copies: Settings::COPIES,
        redirect: false,
    }
}

/// A place of its own on the engine, if that is installed.
async fn bucket() -> Option<Bucket> {
    let start = || S3Engine::needs().met().then(|| S3Engine::shared().bucket());
    tokio::task::spawn_blocking(start).await.unwrap()
}

async fn bench() -> Option<Bench> {
    Some(replicas(&settings(&bucket().await?)).await)
}
stamp_contract!(bench);

/// Two processes with the same settings.
async fn replicas(settings: &Settings) -> Bench {
    Bench {
        one: Arc::new(Objects::connect(settings).await.unwrap()),
        other: Arc::new(Objects::connect(settings).await.unwrap()),
        _guard: Box::new(()),
    }
}

#[tokio::test]
async fn a_good_store_passes_every_check_and_keeps_nothing_of_it() {
    let Some(bucket) = bucket().await else {
        return;
    };
    let objects = Objects::connect(&settings(&bucket)).await.unwrap();
    let report = objects.examine().await;
    assert_eq!(report.checks.len(), 6, "{report:?}");
    for check in &report.checks {
        assert_eq!(check.outcome, Outcome::Passed, "{check:?}");
    }
    assert!(!objects.any(objects.path("").as_ref()).await.unwrap());
}

/// A store that copies so slowly that every large blob is told to be there
/// before it is put together.
mod slow {
    use super::*;

    async fn bench() -> Option<Bench> {
        let settings = settings(&bucket().await?);
        let slow = || async {
            let mut objects = Objects::connect(&settings).await.unwrap();
            objects.patience = Duration::ZERO;
            Arc::new(objects)
        };
        Some(Bench {
            one: slow().await,
            other: slow().await,
            _guard: Box::new(()),
        })
    }
    stamp_contract!(bench);

    #[tokio::test]
    async fn what_a_dead_process_left_in_pieces_is_pulled_and_put_together_later() {
        let Some(bucket) = bucket().await else {
            return;
        };
        let settings = settings(&bucket);
        let mut objects = Objects::connect(&settings).await.unwrap();
        let stage = layout::upload(&"app".parse().unwrap(), &UploadId::random());
        let whole: Vec<u8> = (0..11_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        let key = layout::blob_data(&Algorithm::Sha256.digest(&whole));
        objects.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
        let (first, second) = whole.split_at(6_000_000);
        let mut pieces = assemble::Pieces::new();
        for (name, part) in [("1", first), ("2", second)] {
            let segment = stage.segment(name);
            let part = Bytes::copy_from_slice(part);
            pieces.push((objects.key_path(&segment).to_string(), part.len() as u64));
            objects.put(&segment, part).await.unwrap();
        }
        // It said that the blob is there, and died.
        let id = objects.begin_assembly(&key).await.unwrap();
        objects
            .serve_pieces(&stage, &key, id, pieces)
            .await
            .unwrap();

        let read = async |objects: &Objects, range: std::ops::Range<usize>| {
            let object = objects.open(&key, Reading::Parts).await.unwrap().unwrap();
            assert_eq!(object.meta.size, 11_000_000);
            let bytes = object.content.read(range.start as u64..range.end as u64);
            let bytes: Vec<Bytes> = bytes.try_collect().await.unwrap();
            assert!(bytes.concat() == whole[range]);
            object.meta.assembled
        };
        for range in [0..11_000_000, 5_999_999..6_000_001, 7_000_000..7_000_010] {
            assert!(!read(&objects, range).await);
        }
        // It may still be alive.
        objects.discard(&stage).await.unwrap();
        assert_eq!(objects.staged(&stage).await.unwrap(), None);
        assert!(!read(&objects, 0..11_000_000).await);
        // It is not.
        objects.abandoned = Duration::ZERO;
        objects.discard(&stage).await.unwrap();
        assert!(read(&objects, 0..11_000_000).await);
        assert!(objects.get(&key.pieces()).await.unwrap().is_none());
        assert!(!objects.exists(&stage.all()).await.unwrap());
    }
}

/// `a-b` and `a.b` come before `a/` in a store, and behind `a` here.
#[tokio::test]
async fn names_are_paged_in_byte_order_whatever_the_store_compares() {
    let Some(bench) = bench().await else {
        return;
    };
    let names = [
        "a", "a-b", "a-b-c", "a.b", "ab", "b", "b-1", "b-2", "b-3", "c",
    ];
    let repository = |name: &str| -> RepositoryName { name.parse().unwrap() };
    for name in names {
        let link = layout::layer_link(&repository(name), &Algorithm::Sha256.digest(b"x"));
        bench.one.put(&link, Bytes::new()).await.unwrap();
    }
    for limit in 1..=names.len() {
        let mut after = None;
        let mut all = Vec::new();
        loop {
            let page = bench
                .other
                .children(&layout::repositories(), after.as_deref(), limit)
                .await
                .unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            all.extend(page.into_iter().map(|child| child.name));
        }
        assert_eq!(all, names, "{limit} at once");
    }
}

/// Two requests to one upload on two replicas: what one was told is kept.
#[tokio::test]
async fn of_two_writers_the_slower_is_refused() {
    let Some(bench) = bench().await else {
        return;
    };
    let stage = layout::upload(&"app".parse().unwrap(), &UploadId::random());
    bench
        .one
        .begin(&stage, "2026-11-23T10:00:00Z")
        .await
        .unwrap();
    let content = |text: &'static str| -> ByteStream {
        Box::pin(stream::iter([Ok(Bytes::from_static(text.as_bytes()))]))
    };
    for first in ["", "first"] {
        let mut quick = bench.one.resume(&stage).await.unwrap().unwrap();
        let mut slow = bench.other.resume(&stage).await.unwrap().unwrap();
        slow.append(content("slower")).await.unwrap();
        quick.append(content(first)).await.unwrap();
        quick.keep(Bytes::new()).await.unwrap();
        let size = quick.size();
        let refused = slow.keep(Bytes::new()).await;
        assert!(
            matches!(refused, Err(StorageError::WrongOffset { actual, .. }) if actual == size),
            "{refused:?}"
        );
        assert_eq!(bench.other.staged(&stage).await.unwrap(), Some(size));
    }
}

#[tokio::test]
async fn an_address_serves_the_bytes_without_us() {
    let Some(bucket) = bucket().await else {
        return;
    };
    let settings = Settings {
        redirect: true,
        ..settings(&bucket)
    };
    let objects = Objects::connect(&settings).await.unwrap();
    let key = layout::blob_data(&Algorithm::Sha256.digest(b"bytes"));
    objects
        .put(&key, Bytes::from_static(b"bytes"))
        .await
        .unwrap();
    let address = objects.address(&key).await.unwrap().unwrap();
    let fetched = tokio::task::spawn_blocking(move || {
        let client = reqwest::blocking::Client::builder().no_proxy();
        client.build().unwrap().get(address).send().unwrap().text()
    });
    assert_eq!(fetched.await.unwrap().unwrap(), "bytes");
}
