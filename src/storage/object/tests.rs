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

    /// A blob whose process said that it is there, and died.
    pub(super) struct InPieces {
        pub(super) objects: Objects,
        pub(super) stage: Stage,
        pub(super) key: Key,
        whole: Vec<u8>,
        /// What was being put together.
        pub(super) id: String,
    }

    impl InPieces {
        async fn new(again: bool) -> Option<Self> {
            Some(Self::of(&settings(&bucket().await?), again).await)
        }

        pub(super) async fn of(settings: &Settings, again: bool) -> Self {
            let objects = Objects::connect(settings).await.unwrap();
            let stage = layout::upload(&"app".parse().unwrap(), &UploadId::random());
            let whole: Vec<u8> = (0..11_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
            let digest = Algorithm::Sha256.digest(&whole);
            let key = match again {
                true => layout::blob_again(&digest, &UploadId::random()),
                false => layout::blob_data(&digest),
            };
            objects.begin(&stage, "2026-11-23T10:00:00Z").await.unwrap();
            for (segment, part) in Self::segments(&stage).iter().zip(Self::parts(&whole)) {
                let part = Bytes::copy_from_slice(part);
                objects.put(segment, part).await.unwrap();
            }
            let id = objects.begin_assembly(&key).await.unwrap();
            let left = Self {
                objects,
                stage,
                key,
                whole,
                id,
            };
            left.serve().await.unwrap();
            left
        }

        pub(super) fn segments(stage: &Stage) -> [Key; 2] {
            ["1", "2"].map(|name| stage.segment(name))
        }

        fn parts(whole: &[u8]) -> [&[u8]; 2] {
            whole.split_at(6_000_000).into()
        }

        /// Says that the blob is there.
        async fn serve(&self) -> Result<(), StorageError> {
            let paths = Self::segments(&self.stage).map(|key| self.objects.key_path(&key));
            let pieces = paths.iter().zip(Self::parts(&self.whole));
            let pieces = pieces.map(|(path, part)| (path.to_string(), part.len() as u64));
            let served = self.objects.serve_pieces(
                &self.stage,
                &self.key,
                self.id.clone(),
                pieces.collect(),
            );
            served.await
        }

        pub(super) async fn assert_gone(&self) {
            let objects = &self.objects;
            assert!(objects.head(&self.key).await.unwrap().is_none());
            let opened = objects.open(&self.key, Reading::Whole).await.unwrap();
            assert!(opened.is_none());
            assert!(objects.get(&self.key.pieces()).await.unwrap().is_none());
            assert!(!objects.exists(&self.stage.all()).await.unwrap());
            assert!(!objects.exists(&layout::pieces()).await.unwrap());
        }
    }

    #[tokio::test]
    async fn what_a_dead_process_left_in_pieces_is_pulled_and_put_together_later() {
        for again in [false, true] {
            let Some(mut left) = InPieces::new(again).await else {
                return;
            };
            let read = async |left: &InPieces, range: std::ops::Range<usize>| {
                let object = left.objects.open(&left.key, Reading::Parts).await;
                let object = object.unwrap().unwrap();
                assert_eq!(object.meta.size, 11_000_000);
                let bytes = object.content.read(range.start as u64..range.end as u64);
                let bytes: Vec<Bytes> = bytes.try_collect().await.unwrap();
                assert!(bytes.concat() == left.whole[range]);
                object.meta.assembled
            };
            for range in [0..11_000_000, 5_999_999..6_000_001, 7_000_000..7_000_010] {
                assert!(!read(&left, range).await);
            }
            // It may still be alive.
            left.objects.discard(&left.stage).await.unwrap();
            assert_eq!(left.objects.staged(&left.stage).await.unwrap(), None);
            assert!(!read(&left, 0..11_000_000).await);
            // It is not.
            left.objects.abandoned = Duration::ZERO;
            left.objects.discard(&left.stage).await.unwrap();
            assert!(read(&left, 0..11_000_000).await);
            let record = left.objects.get(&left.key.pieces()).await.unwrap();
            assert!(record.is_none());
            assert!(!left.objects.exists(&left.stage.all()).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_blob_in_pieces_is_removed_with_them_and_stays_away() {
        for again in [false, true] {
            let Some(mut left) = InPieces::new(again).await else {
                return;
            };
            left.objects.delete(&left.key).await.unwrap();
            left.assert_gone().await;
            // Whoever clears up finds nothing to put together.
            left.objects.abandoned = Duration::ZERO;
            left.objects.discard(&left.stage).await.unwrap();
            left.assert_gone().await;
            // Nor can who was at it, or who tells of it a second time.
            let segments = InPieces::segments(&left.stage).map(|key| left.objects.key_path(&key));
            let (stage, key, id) = (&left.stage, &left.key, &left.id);
            let assembled = left.objects.assemble(stage, segments.to_vec(), key, id);
            assembled.await.unwrap_err();
            left.serve().await.unwrap_err();
            assert!(left.objects.head(&left.key).await.unwrap().is_none());
            left.objects.discard(&left.stage).await.unwrap();
            left.assert_gone().await;
        }
    }

    /// All parts are copied when the blob is removed.
    #[tokio::test]
    async fn what_was_about_to_be_completed_is_not() {
        let Some(left) = InPieces::new(false).await else {
            return;
        };
        let paths = InPieces::segments(&left.stage).map(|key| left.objects.key_path(&key));
        let to = left.objects.key_path(&left.key);
        let parts = left.objects.bring_parts(paths.to_vec(), &to, &left.id);
        let parts = parts.await.unwrap();
        left.objects.delete(&left.key).await.unwrap();
        let completed = left
            .objects
            .client
            .parts
            .complete_multipart(&to, &left.id, parts);
        completed.await.unwrap_err();
        left.assert_gone().await;
    }

    #[tokio::test]
    async fn a_removal_that_broke_off_is_ended_by_whoever_clears_up() {
        let Some(mut left) = InPieces::new(false).await else {
            return;
        };
        let withdrawn = left.objects.withdraw_assembly(&left.stage, &left.key);
        assert!(withdrawn.await.unwrap());
        assert!(left.objects.head(&left.key).await.unwrap().is_some());
        left.objects.abandoned = Duration::from_secs(3600);
        left.objects.discard(&left.stage).await.unwrap();
        left.assert_gone().await;
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
