//! Collections over real files, with pushes at their most unfortunate moments.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use tempfile::TempDir;

use super::records::{Decision, written};
use super::{Collector, Failure, Observer, Options, Report};
use crate::oci::{Algorithm, Digest, Reference, RepositoryName};
use crate::registry::{Error, Reading, Registry, Repository, Settings};
use crate::storage::files::{self, Files};
use crate::storage::{ByteStream, Key, layout};

struct Rig {
    dir: TempDir,
    registry: Registry,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = files::Settings {
            root: dir.path().to_owned(),
            max_threads: 25,
            sync: files::SyncMode::Full,
        };
        let settings = Files::open(&settings).map(Arc::new).unwrap();
        let delete = Settings {
            delete: true,
            ..Settings::default()
        };
        let registry = Registry::new(settings, delete);
        Self { dir, registry }
    }

    fn repository(&self, name: &str) -> Repository {
        self.registry.repository(&name.parse().unwrap())
    }

    fn collector(&self, options: Options, observer: Arc<dyn Observer>) -> Collector {
        Collector::new(self.registry.clone(), options, observer)
    }

    async fn collect(&self) -> Report {
        let collected = self.collector(at_once(), Arc::new(())).run().await;
        collected.unwrap()
    }

    /// What lies below `docker/registry/v2`, files only.
    fn files(&self) -> Vec<String> {
        let root = self.dir.path().join("docker/registry/v2");
        let mut files = Vec::new();
        walk(&root, &root, &mut files);
        files.sort();
        files
    }
}

fn walk(root: &Path, dir: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(root, &path, files);
        } else {
            let below = path.strip_prefix(root).unwrap();
            files.push(below.display().to_string());
        }
    }
}

fn at_once() -> Options {
    Options {
        grace: Duration::ZERO,
        ..Options::default()
    }
}

fn digest(content: &[u8]) -> Digest {
    Algorithm::Sha256.digest(content)
}

fn whole(bytes: &[u8]) -> ByteStream {
    let bytes = Bytes::copy_from_slice(bytes);
    Box::pin(stream::iter([Ok(bytes)]))
}

async fn push_blob(repository: &Repository, content: &[u8]) {
    let pushed = repository.put_blob(&digest(content), whole(content)).await;
    pushed.unwrap();
}

/// An image of one layer, whose configuration is the layer too.
fn image(layer: &[u8]) -> Bytes {
    let (digest, size) = (digest(layer), layer.len());
    let part = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":{size}}}"#);
    format!(r#"{{"schemaVersion":2,"config":{part},"layers":[{part}]}}"#).into()
}

fn index(child: &[u8]) -> Bytes {
    let (digest, size) = (digest(child), child.len());
    format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{size}}}]}}"#
    )
    .into()
}

async fn put(repository: &Repository, tag: &str, manifest: &Bytes) -> Result<(), Error> {
    let reference = Reference::Tag(tag.parse().unwrap());
    let put = repository.put_manifest(&reference, Vec::new(), None, manifest.clone());
    put.await.map(drop)
}

async fn push(repository: &Repository, tag: &str, layer: &[u8]) -> Digest {
    push_blob(repository, layer).await;
    let image = image(layer);
    put(repository, tag, &image).await.unwrap();
    digest(&image)
}

async fn pulls(repository: &Repository, tag: &str, layer: &[u8]) -> bool {
    let reference = Reference::Tag(tag.parse().unwrap());
    let manifest = repository.manifest(&reference).await;
    let blob = repository.blob(&digest(layer), Reading::Whole).await;
    manifest.is_ok() && blob.is_ok()
}

#[tokio::test]
async fn what_nothing_needs_goes_and_everything_else_stays() {
    let rig = Rig::new();
    let (one, other) = (rig.repository("team/one"), rig.repository("team/other"));
    let gone = push(&one, "v1", b"shared").await;
    push(&other, "v1", b"shared").await;
    let alone = push(&one, "v2", b"alone").await;
    let report = rig.collect().await;
    assert_eq!((report.manifests, report.removed), (3, 0));
    one.delete_manifest(&gone).await.unwrap();
    one.delete_manifest(&alone).await.unwrap();
    let report = rig.collect().await;
    // Their manifest's bytes are the other repository's too.
    assert_eq!((report.removed, report.links), (2, 2));
    assert!(pulls(&other, "v1", b"shared").await);
    let files = rig.files().join("\n");
    assert!(!files.contains("team/one"), "{files}");
}

#[tokio::test]
async fn nothing_is_left_of_what_was_deleted() {
    let rig = Rig::new();
    let repository = rig.repository("a/b/c");
    let pushed = push(&repository, "v1", b"layer").await;
    let child = image(b"layer");
    put(&repository, "all", &index(&child)).await.unwrap();
    repository
        .delete_manifest(&digest(&index(&child)))
        .await
        .unwrap();
    repository.delete_manifest(&pushed).await.unwrap();
    rig.collect().await;
    let left = rig.files();
    let known = |file: &String| file.starts_with("wharf/");
    assert!(left.iter().all(known), "{left:?}");
    let root = rig.dir.path().join("docker/registry/v2");
    let names = std::fs::read_dir(root.join("repositories")).map_or(0, Iterator::count);
    assert_eq!(names, 0, "no repository is left");
    assert!(
        rig.registry
            .catalog(None, 9, &|_: &RepositoryName| true)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(push(&repository, "v1", b"layer").await, pushed);
    assert!(pulls(&repository, "v1", b"layer").await);
}

#[tokio::test]
async fn the_young_stay() {
    let rig = Rig::new();
    let repository = rig.repository("app");
    push_blob(&repository, b"just pushed").await;
    let day = Options::default();
    let report = rig.collector(day, Arc::new(())).run().await.unwrap();
    assert_eq!((report.removed, report.links), (0, 0));
    assert!(repository.blob_size(&digest(b"just pushed")).await.is_ok());
    let report = rig.collect().await;
    assert_eq!((report.removed, report.links), (1, 1));
}

#[tokio::test]
async fn children_of_an_index_stay_with_it() {
    let rig = Rig::new();
    let repository = rig.repository("app");
    let child = push(&repository, "child", b"layer").await;
    put(&repository, "all", &index(&image(b"layer")))
        .await
        .unwrap();
    repository.delete_manifest(&child).await.unwrap();
    rig.collect().await;
    // Its link is gone by the user's wish; pushing it again mends it.
    put(&repository, "child", &image(b"layer")).await.unwrap();
    assert!(pulls(&repository, "child", b"layer").await);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_stops_everything() {
    let rig = Rig::new();
    let repository = rig.repository("app");
    let broken = push(&repository, "v1", b"layer").await;
    push_blob(&repository, b"garbage").await;
    let data = layout::blob_data(&broken);
    std::fs::write(rig.dir.path().join(data.as_str()), b"{}").unwrap();
    let failure = rig
        .collector(at_once(), Arc::new(()))
        .run()
        .await
        .unwrap_err();
    assert!(
        matches!(&failure, Failure::Unreadable { digest, .. } if *digest == broken),
        "{failure}"
    );
    assert!(repository.blob_size(&digest(b"garbage")).await.is_ok());
}

#[tokio::test]
async fn much_content_takes_several_passes() {
    let rig = Rig::new();
    let repository = rig.repository("app");
    for number in 0..60_u8 {
        push(&repository, &format!("v{number}"), &[number]).await;
        push_blob(&repository, &[number, number]).await;
    }
    let small = Options {
        most_cells: 16,
        ..at_once()
    };
    let report = rig.collector(small, Arc::new(())).run().await.unwrap();
    assert!(report.passes > 1, "{report:?}");
    assert_eq!((report.needed, report.removed), (120, 60));
    for number in 0..60_u8 {
        assert!(pulls(&repository, &format!("v{number}"), &[number]).await);
    }
}

/// Stops a collection where it found something that it would remove.
struct Stops {
    at: Digest,
    reached: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Observer for Stops {
    fn eligible(&self, found: &Digest, _: u64) {
        if *found == self.at {
            self.reached.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_pushed_again_after_the_mark_stays() {
    let rig = Rig::new();
    let repository = rig.repository("app");
    push_blob(&repository, b"layer").await;
    let (reached, is_reached) = sync_channel(1);
    let (go_on, goes_on) = sync_channel(1);
    let observer = Stops {
        at: digest(b"layer"),
        reached,
        go_on: Mutex::new(goes_on),
    };
    let collector = rig.collector(at_once(), Arc::new(observer));
    let collection = tokio::spawn(async move { collector.run().await });
    tokio::task::block_in_place(|| is_reached.recv().unwrap());
    put(&repository, "v1", &image(b"layer")).await.unwrap();
    go_on.send(()).unwrap();
    let report = collection.await.unwrap().unwrap();
    assert!(report.eligible > 0);
    assert_eq!(report.removed, 0);
    assert!(pulls(&repository, "v1", b"layer").await);
}

#[tokio::test]
async fn what_a_dead_run_condemned_is_pushed_under_another_name() {
    let rig = Rig::new();
    let repository = rig.repository("app");
    push_blob(&repository, b"layer").await;
    let store = rig.registry.store();
    let data = layout::blob_data(&digest(b"layer"));
    let decision = Decision {
        condemned: vec![data.as_str().to_owned()],
    };
    store
        .post(&layout::run("run-dead"), Bytes::new())
        .await
        .unwrap();
    let decision = written(&decision).unwrap();
    store
        .put(&layout::decision("run-dead"), decision)
        .await
        .unwrap();
    let refused = put(&repository, "v1", &image(b"layer")).await;
    assert!(
        matches!(refused, Err(Error::PartsUnknown(_))),
        "{refused:?}"
    );
    push_blob(&repository, b"layer").await;
    put(&repository, "v1", &image(b"layer")).await.unwrap();
    // Its removal comes, days later.
    store.delete(&data).await.unwrap();
    assert!(pulls(&repository, "v1", b"layer").await);
    // Nobody holds the collector's file: that run is dead for sure.
    rig.collect().await;
    assert!(pulls(&repository, "v1", b"layer").await);
    assert!(
        store.head(&data).await.unwrap().is_some(),
        "it has its name again"
    );
    let left = rig.files().join("\n");
    assert!(
        !left.contains("/gc/runs/") && !left.contains("data."),
        "{left}"
    );
}

#[tokio::test]
async fn one_collection_at_a_time() {
    let rig = Rig::new();
    let held = rig
        .registry
        .store()
        .hold(&layout::collector())
        .await
        .unwrap();
    let failure = rig
        .collector(at_once(), Arc::new(()))
        .run()
        .await
        .unwrap_err();
    assert!(matches!(failure, Failure::Busy), "{failure}");
    drop(held);
    rig.collect().await;
}

#[tokio::test]
async fn a_client_that_was_told_of_a_blob_can_push_its_manifest() {
    let rig = Rig::new();
    let repository = rig.repository("app");
    push_blob(&repository, b"old").await;
    let (data, link) = (
        layout::blob_data(&digest(b"old")),
        layout::layer_link(repository.name(), &digest(b"old")),
    );
    let age = |key: &Key| {
        let file = std::fs::File::open(rig.dir.path().join(key.as_str())).unwrap();
        let then = SystemTime::now() - Duration::from_secs(25 * 3600);
        file.set_modified(then).unwrap();
    };
    age(&data);
    age(&link);
    let day = || rig.collector(Options::default(), Arc::new(()));
    let dry = Options {
        dry_run: true,
        ..Options::default()
    };
    let report = rig.collector(dry, Arc::new(())).run().await.unwrap();
    assert_eq!(report.eligible, 1, "it would go");
    repository.promised_size(&digest(b"old")).await.unwrap();
    let report = day().run().await.unwrap();
    assert_eq!((report.eligible, report.links), (0, 0));
    put(&repository, "v1", &image(b"old")).await.unwrap();
    assert!(pulls(&repository, "v1", b"old").await);
}

/// Stops a collection after it has seen so many repositories.
struct StopsAfter {
    left: std::sync::atomic::AtomicUsize,
    stop: tokio_util::sync::CancellationToken,
}

impl Observer for StopsAfter {
    fn repository(&self, _: &crate::oci::RepositoryName) {
        let left = &self.left;
        if left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            self.stop.cancel();
        }
    }
}

fn resuming() -> Options {
    Options {
        checkpoints: Some(Duration::ZERO),
        jobs: 1,
        ..at_once()
    }
}

/// Forty images with a layer of garbage each, and a collection that was stopped
/// in the middle of them.
async fn stopped_in_the_middle() -> Rig {
    let rig = Rig::new();
    for number in 0..40_u8 {
        let repository = rig.repository(&format!("r{number:02}"));
        push(&repository, "v1", &[number]).await;
        push_blob(&repository, &[number, 1]).await;
    }
    let options = resuming();
    let observer = StopsAfter {
        left: 25.into(),
        stop: options.stop.clone(),
    };
    let stopped = rig.collector(options, Arc::new(observer)).run().await;
    assert!(matches!(stopped, Err(Failure::Stopped)), "{stopped:?}");
    rig
}

async fn assert_all_whole(rig: &Rig) {
    for number in 0..40_u8 {
        let repository = rig.repository(&format!("r{number:02}"));
        assert!(pulls(&repository, "v1", &[number]).await, "{number}");
    }
}

#[tokio::test]
async fn a_collection_goes_on_where_one_was_stopped() {
    let rig = stopped_in_the_middle().await;
    // In a repository that was read already: what it needs was garbage then.
    let early = rig.repository("r00");
    put(&early, "late", &image(&[0, 1])).await.unwrap();
    let report = rig.collector(resuming(), Arc::new(())).run().await.unwrap();
    assert_eq!((report.resumed, report.removed), (1, 39), "{report:?}");
    assert_eq!((report.repositories, report.links), (40, 39));
    assert!(pulls(&early, "late", &[0, 1]).await);
    assert_all_whole(&rig).await;
    let left = rig.files().join("\n");
    assert!(
        !left.contains("/gc/runs/") && !left.contains("/gc/found/"),
        "{left}"
    );
    assert!(
        !left.contains("/gc/pushed/") && !left.contains("checkpoint"),
        "{left}"
    );
    let again = rig.collector(resuming(), Arc::new(())).run().await.unwrap();
    assert_eq!((again.resumed, again.removed), (0, 0));
    // The late image and its layer weren't reached by that mark.
    assert_eq!(again.needed, report.needed + 2);
}

#[tokio::test]
async fn a_checkpoint_without_its_mark_counts_for_nothing() {
    for again in [false, true] {
        let rig = stopped_in_the_middle().await;
        let store = rig.registry.store();
        let marks = rig.registry.all_names(&layout::runs()).await.unwrap();
        assert_eq!(marks.len(), 1, "it left its mark");
        let mark = layout::run(&marks[0].name);
        store.withdraw(&mark).await.unwrap();
        let early = rig.repository("r00");
        put(&early, "late", &image(&[0, 1])).await.unwrap();
        if again {
            // A request that was late, or a backup.
            store.post(&mark, Bytes::new()).await.unwrap();
        }
        let report = rig.collector(resuming(), Arc::new(())).run().await.unwrap();
        assert_eq!((report.resumed, report.removed), (0, 39), "{report:?}");
        assert!(pulls(&early, "late", &[0, 1]).await);
        assert_all_whole(&rig).await;
    }
}

#[tokio::test]
async fn a_checkpoint_is_for_the_same_grace_and_whole_pieces_only() {
    let rig = stopped_in_the_middle().await;
    let day = Options {
        grace: Duration::from_secs(86_400),
        ..resuming()
    };
    let report = rig.collector(day, Arc::new(())).run().await.unwrap();
    assert_eq!((report.resumed, report.removed), (0, 0));
    let rig = stopped_in_the_middle().await;
    let pieces = rig.registry.all_names(&layout::checkpoint_pieces()).await;
    for piece in pieces.unwrap() {
        let key = layout::checkpoint_piece(&piece.name);
        std::fs::write(rig.dir.path().join(key.as_str()), b"[]").unwrap();
    }
    let report = rig.collector(resuming(), Arc::new(())).run().await.unwrap();
    assert_eq!((report.resumed, report.removed), (0, 40));
    assert_all_whole(&rig).await;
}

#[tokio::test]
async fn nobody_goes_on_where_collections_were_switched_off() {
    let rig = stopped_in_the_middle().await;
    rig.collector(at_once(), Arc::new(()))
        .give_up()
        .await
        .unwrap();
    let left = rig.files().join("\n");
    assert!(
        !left.contains("/gc/runs/") && !left.contains("/gc/found/"),
        "{left}"
    );
    assert!(!left.contains("checkpoint"), "{left}");
}
