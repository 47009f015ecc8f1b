//! What was deleted gives its room back: all of it, with what uploads, deletes
//! and collections leave behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::content::{self, IMAGE, INDEX, bytes, descriptor, noise, sha256};
use crate::repo::Repo;
use crate::site::Site;
use crate::support::{Registry, S3Engine, run, say};

/// What a volume may take more than an empty one, in bytes.
const SPARE: u64 = 1024 * 1024;

/// Pushes so many images and much of everything else, and deletes it.
fn fill_and_delete(server: &Registry, images: u64) {
    for name in ["one", "two/three", "two/three/four", "five"] {
        let repo = Repo::on(server, name);
        let mut manifests = Vec::new();
        for number in 0..images {
            let layer = noise(number, 150_000 + 1000 * number as usize);
            repo.push(content::EMPTY_JSON);
            repo.push(&layer);
            let image = bytes(&content::image(&[&layer]));
            repo.put(&format!("v{number}"), IMAGE, &image).expect(201);
            let mut about = content::image(&[]);
            about["subject"] = descriptor(IMAGE, &image);
            about["annotations"] = json!({"number": number.to_string()});
            let about = bytes(&about);
            repo.put(&sha256(&about), IMAGE, &about).expect(201);
            let index = bytes(&content::index(&[(IMAGE, &image)]));
            repo.put("list", INDEX, &index).expect(201);
            // What comes first goes first: an index before its child.
            manifests.splice(0..0, [index, about]);
            manifests.push(image);
            // Blobs that no manifest names, and uploads that nobody ends.
            repo.push(&noise(500 + number, 40_000));
            let left = repo.start();
            repo.at("PATCH", &left)
                .body(noise(900 + number, 60_000))
                .send()
                .expect(202);
        }
        for manifest in manifests {
            repo.delete(&format!("manifests/{}", sha256(&manifest)))
                .expect(202);
        }
    }
}

#[test]
fn a_volume_is_as_small_as_an_empty_one() {
    let empty = Registry::start();
    Repo::on(&empty, "none").get("tags/list").expect(404);
    Site::of(&empty).collect();
    let least = used(empty.data());
    let server = Registry::start();
    fill_and_delete(&server, 12);
    let full = used(server.data());
    let site = Site::of(&server);
    purge(&site);
    site.collect();
    // The directories of repositories are left to the next one.
    site.collect();
    let left = used(server.data());
    say(&format!(
        "space: {full} bytes used, {left} after deletes and collections, {least} by an empty volume"
    ));
    let files = files(server.data());
    assert!(left <= least + SPARE, "{left} bytes: {files:#?}");
    assert!(full > left + 4 * SPARE, "it was never full");
    let blobs = server.data().join("docker/registry/v2/blobs");
    let stray: Vec<&String> = files
        .iter()
        .filter(|file| file.starts_with(blobs.to_str().unwrap()))
        .collect();
    assert!(stray.is_empty(), "{stray:#?}");
    run(env!("CARGO_BIN_EXE_wharf"))
        .args(["check", "config.yml"])
        .dir(server.dir())
        .ok();
}

#[test]
fn a_bucket_has_nothing_left_but_records() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let server = Registry::with().s3(&bucket).start();
    fill_and_delete(&server, 3);
    let full: u64 = bucket.objects().iter().map(|(_, size)| size).sum();
    let site = Site::of(&server);
    purge(&site);
    site.collect();
    site.collect();
    let left = bucket.objects();
    let size: u64 = left.iter().map(|(_, size)| size).sum();
    say(&format!(
        "space: {full} bytes in a bucket, then {size} in {} records",
        left.len()
    ));
    let strays: Vec<_> = left
        .iter()
        .filter(|(key, _)| !key.contains("v2/wharf/"))
        .collect();
    assert!(strays.is_empty(), "{strays:#?}");
    assert!(size < 64 * 1024, "{left:#?}");
}

/// Uploads that were left go, whatever their age.
fn purge(site: &Site) {
    let core = crate::site::core(std::sync::Arc::clone(site.store()));
    let purged = site.run(core.purge_uploads(Duration::ZERO, false)).unwrap();
    if purged.kept > 0 {
        // A client may be at one that was written to a moment ago.
        std::thread::sleep(Duration::from_secs(3));
        let purged = site.run(core.purge_uploads(Duration::ZERO, false)).unwrap();
        assert_eq!(purged.kept, 0);
    }
}

/// Bytes on the disk, as `du` counts them.
fn used(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::symlink_metadata(dir).unwrap().blocks() * 512;
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let below = entries.map(|entry| {
        if entry.file_type().unwrap().is_dir() {
            used(&entry.path())
        } else {
            entry.metadata().unwrap().blocks() * 512
        }
    });
    own + below.sum::<u64>()
}

/// Every file.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let all = entries.flat_map(|entry| {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path())
        } else {
            vec![entry.path().display().to_string()]
        }
    });
    all.collect()
}
