//! No room: of bytes or of inodes, at every step of a push. What comes is
//! refused clearly, what is there is served and can be deleted, and when there
//! is room again the server goes on by itself.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::client::{Client, Reply, Way};
use crate::disk::{self, Mounted};
use crate::goods;
use crate::ledger::{Key, Ledger, Session};
use crate::oracle::{self, Promises};
use crate::random::Random;
use crate::support::{Registry, say};

/// Whoever finds no room is told so by one of these.
const REFUSALS: [u16; 3] = [507, 503, 429];

/// No push of an image takes so many more pages or inodes.
const STEPS: usize = 40;

/// Bytes that can be held so that others find no room.
trait Ballast {
    /// Takes everything but this much.
    fn leave(&self, much: usize);
    /// Takes nothing.
    fn release(&self);
}

#[test]
fn a_full_disk() {
    if !disk::needs_memory("a full disk").met() {
        return;
    }
    let dir = TempDir::with_prefix("wharf-full-").unwrap();
    let disk = Mounted::in_memory(&dir.path().join("disk"), "size=32m");
    let ballast = Pages(disk.path().join("ballast"));
    squeeze("disk full", &disk, &ballast, true);
}

#[test]
fn no_inodes_left() {
    if !disk::needs_memory("no inodes left").met() {
        return;
    }
    let dir = TempDir::with_prefix("wharf-inodes-").unwrap();
    let disk = Mounted::in_memory(&dir.path().join("disk"), "size=32m,nr_inodes=2000");
    let ballast = Inodes(disk.path().join("ballast"));
    squeeze("inodes out", &disk, &ballast, false);
}

fn squeeze(what: &str, disk: &Mounted, ballast: &dyn Ballast, of_bytes: bool) {
    let root = disk.path().join("registry");
    // The floor would refuse before the disk does.
    let floor = "limits:\n  freespace: \"0\"";
    let mut registry = Registry::with().data(&root).section(floor).start();
    let ledger = Ledger::new();
    let client = Client::new(&registry.url(), &ledger);
    let mut random = Random::of(Random::seed(), 3);
    for number in 0..4 {
        let tag = format!("before-{number}");
        let pushed = push(&client, &mut random, &tag);
        assert_eq!(pushed.status, 201, "{pushed:?}");
    }
    if of_bytes {
        fill_by_uploading(&client, &mut random);
    }

    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let mut pushed = 0;
    for left in 0..STEPS {
        ballast.leave(left);
        let reply = push(&client, &mut random, "moving");
        if reply.status == 201 {
            pushed += 1;
        } else {
            assert_refused(&reply);
            let said = format!("{} {}", reply.status, reply.code().unwrap_or_default());
            *refused.entry(said).or_default() += 1;
        }
    }
    assert!(pushed > 0, "{STEPS} are not enough: {refused:?}");
    assert!(!refused.is_empty(), "nothing was refused");

    // Full, and it serves, says that it is ready, and lets go.
    ballast.leave(0);
    let refusal = push(&client, &mut random, "moving");
    assert_refused(&refusal);
    let ready = client.get("/readyz").expect("an answer");
    assert_eq!(ready.status, 200, "{ready:?}");
    let tag = |name: &str| Key::Tag("full".to_owned(), name.to_owned());
    let pulled = client.pull(&tag("before-0")).expect("an answer");
    assert_eq!(pulled.status, 200, "{pulled:?}");
    let manifest = crate::content::sha256(&pulled.body);
    let deleted = client.delete(&tag("before-1")).expect("an answer");
    assert_eq!(deleted.status, 202, "a tag while full: {deleted:?}");
    ballast.leave(0);
    let deleted = client.delete(&Key::Manifest("full".to_owned(), manifest));
    let deleted = deleted.expect("an answer");
    assert_eq!(deleted.status, 202, "a manifest while full: {deleted:?}");

    ballast.release();
    let again = push(&client, &mut random, "after");
    assert_eq!(again.status, 201, "with room again: {again:?}");
    let mut found = oracle::check(&client, &ledger.view(), Promises::Wharf);
    found.add(oracle::check_stored(&registry));
    registry.restart();
    let client = Client::new(&registry.url(), &ledger);
    found.add(oracle::check(&client, &ledger.view(), Promises::Wharf));
    say(&format!(
        "{what}: {STEPS} pushes with 0 to {} left, {pushed} done, refused {refused:?}; {} \
         acknowledged, {} lost, {} invariants broken; {} names asked for",
        STEPS - 1,
        ledger.acknowledged(),
        found.lost.len(),
        found.broken.len(),
        found.names
    ));
    found.assert_clean(what);
}

/// An upload that the disk is too small for.
fn fill_by_uploading(client: &Client, random: &mut Random) {
    let begun = client.ask("POST", "/v2/full/blobs/uploads/", &[], "");
    let begun = begun.expect("an answer");
    let mut location = begun.location.expect("a location");
    let content = goods::blob(random.bytes(48 << 20), true);
    let session = client.ledger().opens(Session {
        location: location.clone(),
        repository: "full".to_owned(),
        content: Arc::clone(&content),
        sent: 0,
    });
    let mut sent = 0;
    for chunk in content.bytes.chunks(4 << 20) {
        sent += chunk.len();
        client.ledger().sends(session, sent);
        let reply = client.ask("PATCH", &location, &[], chunk.to_vec());
        let reply = reply.expect("an answer");
        if reply.status == 202 {
            location = reply.location.expect("a location");
            continue;
        }
        assert_refused(&reply);
        // Whoever gives up makes room.
        let cancelled = client.ask("DELETE", &location, &[], "").expect("an answer");
        assert_eq!(cancelled.status, 204, "{cancelled:?}");
        client.ledger().closes(session);
        return;
    }
    panic!("48 MiB on a disk of 32 MiB");
}

#[track_caller]
fn assert_refused(reply: &Reply) {
    assert!(REFUSALS.contains(&reply.status), "{reply:?}");
    assert!(reply.code().is_some(), "no code: {reply:?}");
}

/// A new image by a tag; the answer that decided.
fn push(client: &Client, random: &mut Random, tag: &str) -> Reply {
    let layers = vec![goods::random_blob(random, 9000)];
    let image = goods::image(random, layers, None, true);
    let way = Way::Chunked(2);
    let reply = client.push("full", Some(tag), &image, &mut || way);
    reply.expect("an answer")
}

/// A file that takes the room.
struct Pages(PathBuf);

impl Ballast for Pages {
    fn leave(&self, pages: usize) {
        const PAGE: u64 = 4096;
        let file = OpenOptions::new().append(true).create(true).open(&self.0);
        let mut file = file.expect("the ballast");
        let full = loop {
            if let Err(error) = file.write_all(&[1; PAGE as usize]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        let size = file.metadata().expect("its size").len();
        let left = size.saturating_sub(pages as u64 * PAGE);
        file.set_len(left).expect("shortened");
    }

    fn release(&self) {
        fs::remove_file(&self.0).expect("the ballast");
    }
}

/// Empty files that take the inodes.
struct Inodes(PathBuf);

impl Ballast for Inodes {
    fn leave(&self, inodes: usize) {
        let make = |number: usize| File::create(self.0.join(number.to_string()));
        if fs::create_dir_all(&self.0).is_err() {
            assert!(Path::new(&self.0).is_dir(), "no inode for the ballast");
        }
        let full = (0..).find_map(|number| make(number).err());
        let full = full.expect("an error");
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        let entries = fs::read_dir(&self.0).expect("the ballast");
        for entry in entries.take(inodes).flatten() {
            fs::remove_file(entry.path()).expect("removed");
        }
    }

    fn release(&self) {
        fs::remove_dir_all(&self.0).expect("the ballast");
    }
}
