//! Proves the order of writes step by step, and what every failed step leaves.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;

use super::*;
use crate::storage::files::disk::{Handle, Identity, Listed, Status};
use crate::storage::files::posix::Posix;
use crate::storage::files::stage::Session;
use crate::storage::files::tidy::tidy;
use crate::storage::{StorageError, layout};

/// The real disk, which notes every step and fails those it is told to.
struct Recorder {
    steps: Mutex<Vec<String>>,
    failing: Mutex<HashMap<String, ErrorKind>>,
    posix: Posix,
}

impl Recorder {
    fn step<T>(
        &self,
        verb: &str,
        path: &Path,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let step = format!("{verb} {}", shown(path));
        let failure = self.failing.lock().unwrap().get(&step).copied();
        self.steps.lock().unwrap().push(step);
        failure.map_or_else(act, |kind| Err(kind.into()))
    }
}

/// What the root is called, unlike anything in the path to it.
const ROOT: &str = "/wharf-steps";

/// The path below the temporary directory, without random parts.
fn shown(path: &Path) -> String {
    let text = path.to_str().unwrap();
    let text = text.split_once(ROOT).unwrap().1;
    let text = if text.is_empty() { "/" } else { text };
    match text.strip_suffix(TEMPORARY) {
        Some(text) => format!("{}.tmp", &text[..text.len() - 37]),
        None => text.to_owned(),
    }
}

impl Disk for Recorder {
    fn mkdir(&self, dir: &Path) -> io::Result<()> {
        self.step("mkdir", dir, || self.posix.mkdir(dir))
    }
    fn open(&self, path: &Path) -> io::Result<Handle> {
        self.posix.open(path)
    }
    fn open_to_write(&self, path: &Path, making: Making) -> io::Result<Handle> {
        match making {
            Making::New => self.step("make", path, || self.posix.open_to_write(path, making)),
            _ => self.posix.open_to_write(path, making),
        }
    }
    fn sync(&self, file: &dyn OpenFile, path: &Path) -> io::Result<()> {
        self.step("sync", path, || self.posix.sync(file, path))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step("sync", dir, || self.posix.sync_dir(dir))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename to", to, || self.posix.rename(from, to))
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("link to", to, || self.posix.link(from, to))
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.step("unlink", path, || self.posix.unlink(path))
    }
    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        self.posix.remove_tree(dir)
    }
    fn rmdir(&self, dir: &Path) -> io::Result<()> {
        self.step("rmdir", dir, || self.posix.rmdir(dir))
    }
    fn settle(&self, root: &Path) -> io::Result<()> {
        self.step("settle", root, || self.posix.settle(root))
    }
    /// Of directories that were made just now too.
    fn identity(&self, dir: &Path) -> Option<Identity> {
        let meta = fs::metadata(dir).ok()?;
        Some(Identity {
            inode: (meta.dev(), meta.ino()),
            born: meta.created().unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }
    fn is_shared(&self) -> bool {
        self.posix.is_shared()
    }
    fn stat(&self, path: &Path) -> io::Result<Status> {
        self.posix.stat(path)
    }
    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        self.posix.is_dir(path)
    }
    fn list(&self, dir: &Path, visit: &mut dyn FnMut(Listed<'_>) -> Next) -> io::Result<()> {
        self.posix.list(dir, visit)
    }
    fn boot(&self) -> &[u8] {
        self.posix.boot()
    }
}

struct Rig {
    disk: Arc<Recorder>,
    durable: Durable,
    _guard: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = guard.path().join(&ROOT[1..]);
        fs::create_dir(&root).unwrap();
        let disk = Arc::new(Recorder {
            steps: Mutex::default(),
            failing: Mutex::default(),
            posix: Posix::uncached(),
        });
        Self {
            durable: Durable::new(disk.clone(), root),
            disk,
            _guard: guard,
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.durable.root().join(below)
    }

    fn fail(&self, step: &str, kind: ErrorKind) {
        let mut failing = self.disk.failing.lock().unwrap();
        failing.insert(step.to_owned(), kind);
    }

    /// The steps since the last call.
    fn steps(&self) -> Vec<String> {
        std::mem::take(&mut *self.disk.steps.lock().unwrap())
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

#[test]
fn put_syncs_the_file_then_its_name_then_every_new_directory() {
    let rig = Rig::new();
    rig.durable.put(&rig.path("a/b/link"), b"one").unwrap();
    let order = [
        "mkdir /a",
        "mkdir /a/b",
        "make /a/b/link.tmp",
        "sync /a/b/link.tmp",
        "rename to /a/b/link",
        "sync /a/b",
        "sync /a",
        "sync /",
    ];
    assert_eq!(rig.steps(), order);

    // The second write knows that the directories are durable.
    rig.durable.put(&rig.path("a/b/link"), b"two").unwrap();
    let order = [
        "make /a/b/link.tmp",
        "sync /a/b/link.tmp",
        "rename to /a/b/link",
        "sync /a/b",
    ];
    assert_eq!(rig.steps(), order);
    assert_eq!(fs::read(rig.path("a/b/link")).unwrap(), b"two");
    assert_eq!(rig.names("a/b"), ["link"]);
}

#[test]
fn a_directory_made_by_somebody_else_is_synced_once() {
    let rig = Rig::new();
    fs::create_dir_all(rig.path("a/b")).unwrap();
    rig.durable.put(&rig.path("a/b/link"), b"").unwrap();
    let steps = rig.steps();
    assert_eq!(steps[steps.len() - 3..], ["sync /a/b", "sync /a", "sync /"]);
}

#[test]
fn create_syncs_before_it_links_and_what_exists_too() {
    let rig = Rig::new();
    let link = rig.path("a/link");
    assert_eq!(rig.durable.create(&link, b"one").unwrap(), Created::New);
    let order = [
        "mkdir /a",
        "make /a/link.tmp",
        "sync /a/link.tmp",
        "link to /a/link",
        "unlink /a/link.tmp",
        "sync /a",
        "sync /",
    ];
    assert_eq!(rig.steps(), order);

    assert_eq!(rig.durable.create(&link, b"two").unwrap(), Created::Exists);
    assert_eq!(rig.steps(), ["sync /a/link", "sync /a"]);
    assert_eq!(fs::read(&link).unwrap(), b"one");
}

#[test]
fn adopt_renames_then_syncs_names() {
    let rig = Rig::new();
    fs::write(rig.path("upload"), b"bytes").unwrap();
    let (upload, data) = (rig.path("upload"), rig.path("ab/data"));
    rig.durable.adopt(&upload, &data).unwrap();
    let order = ["mkdir /ab", "rename to /ab/data", "sync /ab", "sync /"];
    assert_eq!(rig.steps(), order);
}

#[test]
fn delete_is_synced_even_if_somebody_else_was_quicker() {
    let rig = Rig::new();
    rig.durable.put(&rig.path("a/link"), b"").unwrap();
    rig.steps();
    for _ in 0..2 {
        rig.durable.delete(&rig.path("a/link")).unwrap();
        assert_eq!(rig.steps(), ["unlink /a/link", "sync /a"]);
    }
    rig.durable.delete_all(&rig.path("a")).unwrap();
    assert_eq!(rig.steps(), ["sync /"]);
    rig.durable.delete(&rig.path("a/link")).unwrap();
    assert_eq!(rig.steps(), ["unlink /a/link", "sync /a", "sync /"]);
    // The directory is made anew, and its name synced.
    rig.durable.put(&rig.path("a/link"), b"").unwrap();
    assert!(rig.steps().ends_with(&["sync /a".into(), "sync /".into()]));
}

#[test]
fn a_post_waits_for_nothing_and_makes_nothing_durable() {
    let rig = Rig::new();
    let post = rig.path("a/b/intent");
    rig.durable.post(&post, b"one").unwrap();
    let order = [
        "make /a/b/intent.tmp",
        "unlink /a/b/intent.tmp",
        "mkdir /a",
        "mkdir /a/b",
        "make /a/b/intent.tmp",
        "rename to /a/b/intent",
    ];
    assert_eq!(rig.steps(), order);
    rig.durable.post(&post, b"two").unwrap();
    let order = ["make /a/b/intent.tmp", "rename to /a/b/intent"];
    assert_eq!(rig.steps(), order);
    assert_eq!(fs::read(&post).unwrap(), b"two");
    for _ in 0..2 {
        rig.durable.withdraw(&post).unwrap();
        assert_eq!(rig.steps(), ["unlink /a/b/intent"]);
    }
    // A write syncs the directories that the post has made.
    rig.durable.put(&rig.path("a/b/link"), b"").unwrap();
    let steps = rig.steps();
    assert_eq!(steps[steps.len() - 3..], ["sync /a/b", "sync /a", "sync /"]);
    rig.durable.settle().unwrap();
    assert_eq!(rig.steps(), ["settle /"]);
}

#[test]
fn a_post_that_fails_leaves_nothing() {
    let rig = Rig::new();
    rig.durable.put(&rig.path("a/link"), b"").unwrap();
    rig.fail("rename to /a/intent", ErrorKind::StorageFull);
    let error = rig.durable.post(&rig.path("a/intent"), b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(rig.names("a"), ["link"]);
}

#[test]
fn a_directory_that_somebody_else_made_anew_is_synced_again() {
    let rig = Rig::new();
    rig.durable.put(&rig.path("a/b/link"), b"").unwrap();
    fs::remove_dir_all(rig.path("a/b")).unwrap();
    // Keeps the inode from being used again at once.
    fs::create_dir(rig.path("a/c")).unwrap();
    fs::create_dir(rig.path("a/b")).unwrap();
    rig.steps();
    rig.durable.put(&rig.path("a/b/link"), b"").unwrap();
    assert!(
        rig.steps()
            .ends_with(&["sync /a/b".into(), "sync /a".into()])
    );
}

#[test]
fn a_failed_sync_is_not_tried_again_and_leaves_nothing() {
    let rig = Rig::new();
    let link = rig.path("a/link");
    rig.durable.put(&link, b"old").unwrap();
    rig.steps();
    rig.fail("sync /a/link.tmp", ErrorKind::Other);
    rig.durable.put(&link, b"new").unwrap_err();
    let order = ["make /a/link.tmp", "sync /a/link.tmp", "unlink /a/link.tmp"];
    assert_eq!(rig.steps(), order);
    assert_eq!(rig.names("a"), ["link"]);
    assert_eq!(fs::read(&link).unwrap(), b"old");

    let fresh = rig.path("a/other");
    rig.fail("sync /a/other.tmp", ErrorKind::Other);
    rig.durable.create(&fresh, b"new").unwrap_err();
    assert_eq!(rig.names("a"), ["link"]);
}

#[test]
fn no_write_succeeds_when_a_step_fails() {
    for step in [
        "mkdir /a",
        "make /a/link.tmp",
        "sync /a/link.tmp",
        "rename to /a/link",
        "sync /a",
        "sync /",
    ] {
        let rig = Rig::new();
        rig.fail(step, ErrorKind::StorageFull);
        let error = rig.durable.put(&rig.path("a/link"), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{step}");
        let left = rig.path("a").is_dir().then(|| rig.names("a"));
        let left = left.unwrap_or_default();
        assert!(left.iter().all(|name| name == "link"), "{step}: {left:?}");
    }
}

#[test]
fn a_directory_that_failed_to_sync_is_synced_by_the_next_write() {
    let rig = Rig::new();
    rig.fail("sync /", ErrorKind::Other);
    rig.durable.put(&rig.path("a/link"), b"").unwrap_err();
    rig.disk.failing.lock().unwrap().clear();
    rig.steps();
    rig.durable.put(&rig.path("a/link"), b"").unwrap();
    assert!(rig.steps().contains(&"sync /".to_owned()));
}

#[test]
fn after_three_directories_failed_to_sync_nothing_is_written() {
    let rig = Rig::new();
    rig.durable.put(&rig.path("a/link"), b"old").unwrap();
    rig.fail("sync /a", ErrorKind::Other);
    for _ in 0..3 {
        rig.durable.check_writable().unwrap();
        rig.durable.put(&rig.path("a/link"), b"new").unwrap_err();
    }
    rig.disk.failing.lock().unwrap().clear();
    rig.steps();
    let target = rig.path("b/link");
    let refusals = [
        rig.durable.put(&target, b"").map(drop),
        rig.durable.create(&target, b"").map(drop),
        rig.durable.adopt(&rig.path("a/link"), &target),
        rig.durable.delete(&rig.path("a/link")),
        rig.durable.delete_all(&rig.path("a")),
        rig.durable.post(&target, b""),
        rig.durable.withdraw(&rig.path("a/link")),
        rig.durable.settle(),
        tidy(&rig.durable, &rig.path("a"), rig.durable.root()),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        assert!(error.to_string().contains("then restart"), "{error}");
    }
    assert_eq!(rig.steps(), [""; 0]);
}

#[test]
fn a_directory_that_vanishes_is_made_again() {
    let rig = Rig::new();
    let link = rig.path("a/b/link");
    rig.durable.put(&link, b"").unwrap();
    // As another process would, without our knowing.
    fs::remove_dir_all(rig.path("a")).unwrap();
    rig.steps();
    rig.durable.put(&link, b"again").unwrap();
    assert!(rig.steps().contains(&"sync /".to_owned()));
    assert_eq!(fs::read(&link).unwrap(), b"again");
}

#[test]
fn what_a_crash_left_goes_with_a_later_write() {
    let rig = Rig::new();
    let link = rig.path("a/link");
    rig.durable.put(&link, b"").unwrap();
    let (old, young) = (temporary(&link), temporary(&link));
    for path in [&old, &young] {
        fs::write(path, b"half").unwrap();
    }
    let then = SystemTime::now() - ABANDONED - Duration::from_secs(60);
    File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(then)
        .unwrap();
    rig.durable.put(&link, b"").unwrap();
    assert!(!old.exists() && young.exists() && link.exists());
}

#[test]
fn publish_syncs_the_bytes_before_they_get_their_name() {
    let rig = Rig::new();
    let session = begun(&rig);
    let opened = session.open(&rig.durable).unwrap().unwrap().unwrap();
    let published = session.publish(&rig.durable, &*opened.file, &rig.path("ab/data"));
    published.unwrap();
    let synced = format!("sync {}", shown(&session.data));
    let ended = format!("unlink {}", shown(&session.started_at));
    let order = [
        synced.as_str(),
        "mkdir /ab",
        "rename to /ab/data",
        "sync /ab",
        "sync /",
        ended.as_str(),
    ];
    assert_eq!(rig.steps(), order);
}

#[test]
fn bytes_that_failed_to_sync_are_never_published() {
    let rig = Rig::new();
    let session = begun(&rig);
    rig.fail(&format!("sync {}", shown(&session.data)), ErrorKind::Other);
    let target = rig.path("ab/data");
    let opened = session.open(&rig.durable).unwrap().unwrap().unwrap();
    let publish = || session.publish(&rig.durable, &*opened.file, &target);
    publish().unwrap_err();
    rig.disk.failing.lock().unwrap().clear();
    let again = publish().unwrap_err();
    assert!(matches!(again, StorageError::UnknownStage), "{again}");
    assert!(!target.exists());
    assert!(session.size(&*rig.disk).unwrap().is_none());
    assert!(session.open(&rig.durable).unwrap().unwrap().is_none());
}

/// A session of no bytes.
fn begun(rig: &Rig) -> Session {
    let stage = layout::upload(&"app".parse().unwrap(), &UploadId::random());
    let session = Session::new(rig.durable.root(), &stage);
    session.begin(&rig.durable, "2026-11-23T10:00:00Z").unwrap();
    rig.steps();
    session
}
