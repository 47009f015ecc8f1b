//! The test double keeps what POSIX promises, and loses what it doesn't.

use std::collections::BTreeSet;

use super::*;
use crate::storage::contract::{Bench, stamp_contract};

async fn bench() -> Bench {
    let machine = Machine::new();
    Bench {
        one: Arc::new(machine.started(None)),
        other: Arc::new(machine.started(None)),
        _guard: Box::new(()),
    }
}
stamp_contract!(bench);

/// Everything that the disk may hold after a power cut, by many tries.
fn after_crashes(machine: &Machine) -> BTreeSet<String> {
    let fork = machine.fork();
    let mut random = Random::new(7);
    let picture = |_| {
        let mut files = Vec::new();
        fork.crashed(&mut random).files(|path, content| {
            files.push(format!("{path}={}", String::from_utf8_lossy(content)));
        });
        files.join(" ")
    };
    (0..2000).map(picture).collect()
}

fn written(machine: &Machine, path: &str, content: &str) -> Handle {
    let file = machine.open_to_write(Path::new(path), Making::New).unwrap();
    file.write_at(&[IoSlice::new(content.as_bytes())], 0)
        .unwrap();
    file
}

fn texts<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.into_iter().map(str::to_owned).collect()
}

#[test]
fn nothing_synced_may_be_kept_lost_or_torn() {
    let machine = Machine::new();
    written(&machine, "/a", "xy");
    let expected = texts(["", "/a=", "/a=x", "/a=xy", "/a=\0\0"]);
    assert_eq!(after_crashes(&machine), expected);
}

#[test]
fn a_file_and_its_name_are_synced_apart() {
    let machine = Machine::new();
    let file = written(&machine, "/a", "xy");
    file.sync().unwrap();
    assert_eq!(after_crashes(&machine), texts(["", "/a=xy"]));
    machine.sync_dir(Path::new("/")).unwrap();
    assert_eq!(after_crashes(&machine), texts(["/a=xy"]));
}

#[test]
fn a_rename_is_one_change() {
    let machine = Machine::new();
    for (path, content) in [("/a", "old"), ("/b", "new")] {
        written(&machine, path, content).sync().unwrap();
    }
    machine.sync_dir(Path::new("/")).unwrap();
    machine.rename(Path::new("/b"), Path::new("/a")).unwrap();
    let expected = texts(["/a=old /b=new", "/a=new"]);
    assert_eq!(after_crashes(&machine), expected);
}

#[test]
fn what_lies_in_a_directory_without_a_name_is_lost() {
    let machine = Machine::new();
    machine.mkdir(Path::new("/d")).unwrap();
    written(&machine, "/d/a", "x").sync().unwrap();
    machine.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(after_crashes(&machine), texts(["", "/d/a=x"]));
    machine.sync_dir(Path::new("/")).unwrap();
    assert_eq!(after_crashes(&machine), texts(["/d/a=x"]));
    machine.unlink(Path::new("/d/a")).unwrap();
    assert_eq!(after_crashes(&machine), texts(["", "/d/a=x"]));
    machine.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(after_crashes(&machine), texts([""]));
}

#[test]
fn a_sync_after_one_that_failed_means_nothing() {
    let machine = Machine::new();
    let file = written(&machine, "/a", "x");
    machine.sync_dir(Path::new("/")).unwrap();
    machine.fail(1, Fault::Error(Errno::IO));
    file.sync().unwrap_err();
    file.sync().unwrap();
    let mut seen = [0];
    assert_eq!(file.read_at(&mut seen, 0).unwrap(), 1);
    assert_eq!(after_crashes(&machine), texts(["/a="]));
}

#[test]
fn settling_makes_durable_what_anybody_did() {
    let machine = Machine::new();
    for dir in ["/d", "/e"] {
        machine.mkdir(Path::new(dir)).unwrap();
    }
    written(&machine, "/d/a", "x");
    written(&machine, "/gone", "y");
    machine.settle(Path::new("/")).unwrap();
    machine.unlink(Path::new("/gone")).unwrap();
    machine
        .rename(Path::new("/d/a"), Path::new("/e/a"))
        .unwrap();
    machine.settle(Path::new("/")).unwrap();
    assert_eq!(after_crashes(&machine), texts(["/e/a=x"]));
    machine.lie(Lie::Everything);
    machine.unlink(Path::new("/e/a")).unwrap();
    machine.settle(Path::new("/")).unwrap();
    assert_eq!(after_crashes(&machine), texts(["", "/e/a=x"]));
}

#[test]
fn calls_fail_when_they_are_told_to() {
    let machine = Machine::new();
    machine.fail(1, Fault::Short);
    let file = machine.open_to_write(Path::new("/a"), Making::New).unwrap();
    assert_eq!(machine.failed(), None);
    assert_eq!(file.write_at(&[IoSlice::new(b"1234")], 0).unwrap(), 2);
    assert_eq!(machine.failed(), Some(2));
    machine.fail(1, Fault::Error(Errno::NOSPC));
    let full = file.write_at(&[IoSlice::new(b"34")], 2).unwrap_err();
    assert_eq!(full.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    assert_eq!(machine.failed(), Some(1));
}

#[tokio::test]
async fn after_three_failed_syncs_it_is_not_ready_and_says_why_and_reads_go_on() {
    use crate::storage::{StorageError, Store as _, layout};
    let machine = Machine::new();
    let files = machine.started(None);
    let tag = layout::tag_current(&"app".parse().unwrap(), &"v1".parse().unwrap());
    let put = || files.put(&tag, bytes::Bytes::from_static(b"x"));
    put().await.unwrap();
    files.probe().await.unwrap();
    // make, write, sync, rename, then the directory
    for _ in 0..3 {
        machine.fail(5, Fault::Error(Errno::IO));
        let failed = put().await.unwrap_err();
        assert!(matches!(failed, StorageError::Unavailable(_)), "{failed}");
        assert_eq!(machine.failed(), Some(5));
    }
    for refused in [put().await, files.probe().await, files.delete(&tag).await] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, StorageError::Refused(_)), "{refused}");
        assert!(refused.to_string().contains("then restart"), "{refused}");
    }
    assert_eq!(files.get(&tag).await.unwrap().unwrap(), "x");
    machine.started(None).probe().await.unwrap();
}
