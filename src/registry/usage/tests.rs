//! What processes on one store know of each other, and what a collection makes
//! of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use tempfile::TempDir;

use super::{Measured, Quota, RepositoryUsage, Totals, microseconds};
use crate::oci::{Algorithm, Digest, Reference, RepositoryName};
use crate::registry::{Error, Registry, Settings};
use crate::storage::files::{self, Files, SyncMode};
use crate::storage::{ByteStream, layout};

fn open(dir: &TempDir) -> Registry {
    limited(dir, u64::MAX)
}

fn limited(dir: &TempDir, size: u64) -> Registry {
    let files = files::Settings {
        root: dir.path().to_owned(),
        max_threads: 4,
        sync: SyncMode::None,
    };
    let settings = Settings {
        delete: true,
        quotas: vec![Quota {
            repositories: "**".parse().unwrap(),
            size,
        }],
        ..Settings::default()
    };
    Registry::new(Arc::new(Files::open(&files).unwrap()), settings)
}

async fn push(registry: &Registry, name: &str, content: &'static [u8]) -> Result<Digest, Error> {
    let digest = Algorithm::Sha256.digest(content);
    let bytes: ByteStream = Box::pin(stream::once(async { Ok(Bytes::from_static(content)) }));
    let repository = registry.repository(&name.parse().unwrap());
    repository.put_blob(&digest, bytes).await?;
    Ok(digest)
}

async fn usage(registry: &Registry, name: &str) -> RepositoryUsage {
    registry.usage().refresh(registry).await.unwrap();
    registry.usage_of(&name.parse().unwrap()).await.unwrap()
}

fn measured(name: &str, unique: u64) -> Measured {
    Measured {
        name: name.parse().unwrap(),
        manifests: 1,
        tags: 2,
        unique,
        shared: 10,
    }
}

/// Later than everything before, for clocks of microseconds.
async fn later() -> SystemTime {
    let before = microseconds(SystemTime::now());
    while microseconds(SystemTime::now()) <= before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    SystemTime::now()
}

#[tokio::test]
async fn processes_know_of_each_other_and_a_collection_corrects_them() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(&dir), open(&dir));
    push(&one, "a", b"12345").await.unwrap();
    push(&other, "a", b"123").await.unwrap();
    push(&other, "b", b"12").await.unwrap();
    one.flush_usage().await.unwrap();
    other.flush_usage().await.unwrap();
    assert_eq!(usage(&one, "a").await.size(), 8);
    assert_eq!(usage(&other, "a").await.size(), 8);
    assert_eq!(one.usage_summary().await.unwrap().used, 10);

    // What it has measured stands for everything before it began.
    let began = later().await;
    push(&other, "a", b"1234567").await.unwrap();
    other.flush_usage().await.unwrap();
    let mut totals = Totals::new(began);
    (totals.used, totals.waiting) = (110, 3);
    one.usage_measured(totals, vec![measured("a", 100)])
        .await
        .unwrap();
    for registry in [&one, &other] {
        let told = usage(registry, "a").await;
        assert_eq!(
            (told.manifests, told.tags, told.unique, told.shared),
            (1, 2, 107, 10)
        );
        let summary = registry.usage_summary().await.unwrap();
        assert_eq!((summary.used, summary.waiting), (117, 3));
        assert_eq!(summary.measured, Some(microseconds(began)));
        let page = registry
            .usage_page(None, 10, &|_: &RepositoryName| true)
            .await
            .unwrap();
        assert_eq!(page.items.len(), 1, "b holds nothing any more");
    }
    // A process that begins later knows the same.
    assert_eq!(usage(&open(&dir), "a").await.size(), 117);
}

#[tokio::test]
async fn many_repositories_lie_in_pieces_and_what_is_left_of_them_goes() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    let all = (0..12_000).map(|number| measured(&format!("r{number}"), number));
    let totals = Totals::new(SystemTime::now());
    registry
        .usage_measured(totals, all.collect())
        .await
        .unwrap();
    let again = open(&dir);
    assert_eq!(usage(&again, "r11999").await.unique, 11_999);
    let pieces = || async {
        let store = registry.store();
        let pieces = store.children(&layout::usage_pieces(), None, 100).await;
        pieces.unwrap().len()
    };
    assert_eq!(pieces().await, 3);
    let totals = Totals::new(later().await);
    registry
        .usage_measured(totals, vec![measured("r1", 7)])
        .await
        .unwrap();
    assert_eq!(pieces().await, 1);
    assert_eq!(usage(&again, "r1").await.unique, 7);
    assert!(registry.usage_of(&"r2".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn a_process_whose_record_was_cleared_away_writes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (open(&dir), open(&dir));
    push(&one, "a", b"12345").await.unwrap();
    one.flush_usage().await.unwrap();
    let record = layout::usage_changed_by(&one.usage().lock().id);
    one.store().delete(&record).await.unwrap();
    one.usage().refresh(&one).await.unwrap();
    one.flush_usage().await.unwrap();
    assert_eq!(usage(&other, "a").await.size(), 5);
}

#[tokio::test]
async fn an_image_that_a_collection_comes_into_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    let config = push(&registry, "a", b"{}").await.unwrap();
    // No manifest reaches its blob.
    let totals = Totals::new(later().await);
    registry.usage_measured(totals, Vec::new()).await.unwrap();
    let manifest = Bytes::from(format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{config}","size":2}},"layers":[]}}"#
    ));
    let size = manifest.len() as u64;
    let repository = registry.repository(&"a".parse().unwrap());
    let kind = Some("application/vnd.oci.image.manifest.v1+json");
    for tag in ["v1", "v2"] {
        let tag = Reference::Tag(tag.parse().unwrap());
        let put = repository.put_manifest(&tag, Vec::new(), kind, manifest.clone());
        put.await.unwrap();
    }
    let told = usage(&registry, "a").await;
    assert_eq!((told.size(), told.manifests, told.tags), (size + 2, 1, 2));
}

#[tokio::test]
async fn quotas_count_what_others_have_pushed_and_what_was_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (limited(&dir, 120), open(&dir));
    push(&other, "b", b"12345").await.unwrap();
    other.flush_usage().await.unwrap();
    let totals = Totals::new(later().await);
    other
        .usage_measured(totals, vec![measured("b", 100)])
        .await
        .unwrap();
    push(&one, "a", b"1234567890").await.unwrap();
    let refused = push(&one, "c", b"1").await.unwrap_err().to_string();
    assert!(
        refused.contains("the quota of `**` is 120 bytes, of which 120 bytes are used"),
        "{refused}"
    );
    // What is held costs nothing, and an empty blob neither.
    push(&one, "a", b"1234567890").await.unwrap();
    push(&one, "a", b"").await.unwrap();
    let repository = one.repository(&"a".parse().unwrap());
    let digest = Algorithm::Sha256.digest(b"1234567890");
    repository.delete_blob(&digest).await.unwrap();
    push(&one, "c", b"1").await.unwrap();
}

#[tokio::test]
async fn a_torn_record_counts_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let registry = open(&dir);
    let totals = Totals::new(SystemTime::now());
    registry
        .usage_measured(totals, vec![measured("a", 5)])
        .await
        .unwrap();
    let store = registry.store();
    for key in [layout::usage_totals(), layout::usage_piece(0)] {
        store.put(&key, Bytes::from_static(b"{\"")).await.unwrap();
    }
    let again = open(&dir);
    push(&again, "a", b"12").await.unwrap();
    assert_eq!(usage(&again, "a").await.size(), 2);
}
