//! The ways in which other registries lost images while they collected garbage,
//! each done to ours: on a volume, and in a bucket.
//!
//! | lost by | how | here |
//! |---|---|---|
//! | distribution (pull request 3544) | content is referenced again after it was marked as garbage | `what_is_referenced_again_after_the_mark_stays` |
//! | Harbor, chroma | a client asks with HEAD, the blob is collected, the manifest comes | `a_manifest_whose_blob_was_collected_since_its_head_is_refused_and_then_heals` |
//! | Harbor 20131, 23116 | a layer that is garbage is mounted | `a_mount_of_garbage_is_whole_or_refused` |
//! | distribution 3178, 3004 | children of a list that have no tag of their own | `children_without_tags_stay_with_their_index` |
//! | distribution 4269, 4849 | a cache says that a blob exists which is gone | `a_warm_server_does_not_remember_what_another_process_collected` |
//! | distribution 2881, 3045; nora 584 | deletes, pushes and a collection at once | `what_is_pushed_beside_deletes_and_collections_is_whole` |
//! | Quay 6318 | a blob is collected some milliseconds after its 201 | `a_blob_is_not_collected_behind_its_201` |

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::content::{self, IMAGE, INDEX, bytes, noise, sha256};
use crate::gate::Gate;
use crate::repo::Repo;
use crate::site::Site;
use crate::support::{Registry, S3Engine, eventually, run, say};

/// How often a push is tried whose blobs are collected at once.
const TRIES: usize = 10;

/// The same on a volume and, where there is an engine, in a bucket.
fn each_store(test: impl Fn(&Registry, &Site)) {
    let server = Registry::start();
    test(&server, &Site::of(&server));
    if S3Engine::needs().met() {
        let bucket = S3Engine::shared().bucket();
        let server = Registry::with().s3(&bucket).start();
        test(&server, &Site::of(&server));
    }
}

/// Pulls an image with everything that it needs.
#[track_caller]
pub fn assert_whole(repo: &Repo, reference: &str) {
    let manifest = repo.get(&format!("manifests/{reference}")).expect(200);
    if reference.starts_with("sha256:") {
        assert_eq!(sha256(&manifest.body), reference);
    }
    let json = manifest.json();
    for child in json["manifests"].as_array().into_iter().flatten() {
        assert_whole(repo, child["digest"].as_str().unwrap());
    }
    let layers = json["layers"].as_array().into_iter().flatten();
    let config = json.get("config");
    for part in layers.chain(config) {
        let digest = part["digest"].as_str().unwrap();
        let blob = repo.get(&format!("blobs/{digest}")).expect(200);
        assert_eq!(sha256(&blob.body), digest, "{reference}");
    }
}

/// An image of one layer, with a note that makes it another manifest.
fn image(layer: &[u8], note: &str) -> Vec<u8> {
    let mut document = content::image(&[layer]);
    document["annotations"] = serde_json::json!({"note": note});
    bytes(&document)
}

/// Pushes the blobs of [`image`].
fn push_parts(repo: &Repo, layer: &[u8]) {
    repo.push(content::EMPTY_JSON);
    repo.push(layer);
}

/// Pushes an image as clients do that push its blobs again when they are told
/// that they are missing; how often they were.
#[track_caller]
fn push_whole(repo: &Repo, tag: &str, layer: &[u8], manifest: &[u8]) -> usize {
    for tried in 0..TRIES {
        push_parts(repo, layer);
        let answer = repo.put(tag, IMAGE, manifest);
        if answer.status == 201 {
            return tried;
        }
        answer.refused(400, "MANIFEST_BLOB_UNKNOWN");
    }
    panic!("{tag}: refused {TRIES} times");
}

/// A layer that a deleted image has left: linked, there, and needed by nobody.
fn garbage(repo: &Repo, layer: &[u8]) {
    push_parts(repo, layer);
    let manifest = image(layer, "deleted");
    repo.put("deleted", IMAGE, &manifest).expect(201);
    let digest = sha256(&manifest);
    repo.delete(&format!("manifests/{digest}")).expect(202);
}

#[test]
fn what_is_referenced_again_after_the_mark_stays() {
    // Where the collection stands when the push comes.
    let moments = [
        ("children", "/blobs/sha256/00"),
        ("settle", ""),
        ("post", "/gc/runs/run-"),
        ("children", "/gc/pushed/mark-"),
        ("create", "/gc/decisions/"),
        ("withdraw", "/blobs/sha256/"),
        ("withdraw", "/gc/runs/run-"),
        ("withdraw", "/gc/decisions/"),
        ("withdraw", "/gc/runs/mark-"),
    ];
    each_store(|server, site| {
        for (number, (verb, part)) in moments.into_iter().enumerate() {
            let repo = Repo::on(server, &format!("again/r{number}"));
            let layer = noise(number as u64, 5000);
            garbage(&repo, &layer);
            let gate = Gate::default();
            let held = gate.before(verb, part);
            let collecting = site.collecting(&gate);
            let held = held.reached();
            let there = repo.head(&format!("blobs/{}", sha256(&layer))).status;
            assert!([200, 404].contains(&there), "{there}");
            let manifest = image(&layer, "again");
            let answer = repo.put("again", IMAGE, &manifest);
            let first = answer.status;
            if first != 201 {
                // What goes is told at once, and can be pushed again meanwhile.
                answer.refused(400, "MANIFEST_BLOB_UNKNOWN");
                push_whole(&repo, "again", &layer, &manifest);
            }
            assert_whole(&repo, "again");
            held.go();
            let report = collecting.end().unwrap();
            assert_whole(&repo, "again");
            site.collect();
            assert_whole(&repo, "again");
            say(&format!(
                "pushed before `{verb} {part}`: {first}, {} names removed",
                report.removed
            ));
        }
    });
}

#[test]
fn a_manifest_whose_blob_was_collected_since_its_head_is_refused_and_then_heals() {
    each_store(|server, site| {
        let repo = Repo::on(server, "head/then/put");
        let layer = noise(1, 70_000);
        garbage(&repo, &layer);
        let digest = sha256(&layer);
        repo.head(&format!("blobs/{digest}")).expect(200);
        site.collect_older(Duration::from_secs(3600));
        repo.head(&format!("blobs/{digest}")).expect(200);
        assert!(site.collect().removed >= 2);
        let manifest = image(&layer, "new");
        let refused = repo.put("new", IMAGE, &manifest);
        let refused = refused.refused(400, "MANIFEST_BLOB_UNKNOWN");
        assert!(refused.to_string().contains(&digest), "{refused}");
        repo.get("manifests/new").expect(404);
        assert_eq!(push_whole(&repo, "new", &layer, &manifest), 0);
        site.collect();
        assert_whole(&repo, "new");
    });
}

#[test]
fn a_mount_of_garbage_is_whole_or_refused() {
    let moments = [
        ("settle", ""),
        ("create", "/gc/decisions/"),
        ("withdraw", "/blobs/sha256/"),
        ("withdraw", "/gc/runs/mark-"),
    ];
    each_store(|server, site| {
        for (number, (verb, part)) in moments.into_iter().enumerate() {
            let from = Repo::on(server, &format!("mount/from{number}"));
            let repo = Repo::on(server, &format!("mount/to{number}"));
            let layer = noise(100 + number as u64, 3000);
            garbage(&from, &layer);
            let gate = Gate::default();
            let held = gate.before(verb, part);
            let collecting = site.collecting(&gate);
            let held = held.reached();
            let digest = sha256(&layer);
            let path = format!("blobs/uploads/?mount={digest}&from={}", from.name());
            let mounted = repo.ask("POST", &path).body("").send().status;
            assert!([201, 202].contains(&mounted), "{mounted}");
            repo.push(content::EMPTY_JSON);
            let manifest = image(&layer, "mounted");
            let put = repo.put("mounted", IMAGE, &manifest);
            if put.status == 201 {
                assert_whole(&repo, "mounted");
            } else {
                put.refused(400, "MANIFEST_BLOB_UNKNOWN");
                push_whole(&repo, "mounted", &layer, &manifest);
            }
            held.go();
            collecting.end().unwrap();
            site.collect();
            assert_whole(&repo, "mounted");
        }
    });
}

#[test]
fn children_without_tags_stay_with_their_index() {
    each_store(|server, site| {
        let repo = Repo::on(server, "lists");
        let layers = [noise(7, 4000), noise(8, 4000)];
        let children: Vec<Vec<u8>> = layers.iter().map(|layer| image(layer, "child")).collect();
        for (layer, child) in layers.iter().zip(&children) {
            push_parts(&repo, layer);
            repo.put(&sha256(child), IMAGE, child).expect(201);
        }
        let list: Vec<(&str, &[u8])> = children.iter().map(|child| (IMAGE, &**child)).collect();
        let index = bytes(&content::index(&list));
        repo.put("list", INDEX, &index).expect(201);
        let nested = bytes(&content::index(&[(INDEX, &index)]));
        repo.put("nested", INDEX, &nested).expect(201);
        site.collect();
        assert_whole(&repo, "list");
        // Only the outer one names the inner one, and that the children.
        repo.delete("manifests/list").expect(202);
        assert_eq!(site.collect().removed, 0);
        assert_whole(&repo, "nested");
        run(env!("CARGO_BIN_EXE_wharf"))
            .args(["gc", "config.yml", "--untagged=0s", "--grace", "0s"])
            .dir(server.dir())
            .ok();
        assert_whole(&repo, "nested");
    });
}

#[test]
fn a_warm_server_does_not_remember_what_another_process_collected() {
    each_store(|server, site| {
        let repo = Repo::on(server, "warm");
        let layer = noise(9, 300_000);
        garbage(&repo, &layer);
        let manifest = image(&layer, "deleted");
        let (digest, own) = (sha256(&layer), sha256(&manifest));
        // It has seen all of it, more than once.
        for _ in 0..3 {
            repo.get(&format!("blobs/{digest}")).expect(200);
            repo.head(&format!("blobs/{digest}")).expect(200);
            repo.get(&format!("manifests/{own}")).expect(404);
        }
        site.collect();
        repo.head(&format!("blobs/{digest}")).expect(404);
        repo.get(&format!("blobs/{digest}")).expect(404);
        let path = format!("blobs/uploads/?mount={digest}&from=warm");
        let mounted = Repo::on(server, "other").ask("POST", &path).body("").send();
        mounted.expect(202);
        push_whole(&repo, "pushed", &layer, &manifest);
        let cold = another(server);
        assert_whole(&Repo::on(&cold, "warm"), "pushed");
        assert_whole(&repo, "pushed");
    });
}

/// A server that starts now on the same storage.
fn another(server: &Registry) -> Registry {
    let config = std::fs::read_to_string(server.dir().join("config.yml")).unwrap();
    Registry::with().config(&config).start()
}

#[test]
fn what_is_pushed_beside_deletes_and_collections_is_whole() {
    each_store(|server, site| {
        let repo = Repo::on(server, "beside");
        let layer = noise(10, 2000);
        let child = image(&layer, "child");
        let index = bytes(&content::index(&[(IMAGE, &child)]));
        let own = sha256(&child);
        let over = AtomicBool::new(false);
        let (mut both, mut refused, mut kept) = (0, 0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    site.collect();
                }
            });
            for _ in 0..25 {
                push_whole(&repo, "child", &layer, &child);
                let (deleted, put) = std::thread::scope(|scope| {
                    let deleting = scope.spawn(|| repo.delete(&format!("manifests/{own}")));
                    let put = repo.put("list", INDEX, &index);
                    (deleting.join().unwrap(), put)
                });
                match put.status {
                    201 => both += 1,
                    _ => {
                        put.refused(400, "MANIFEST_BLOB_UNKNOWN");
                        refused += 1;
                    }
                }
                // A delete that came first is as good as one that was refused.
                let there = repo.get(&format!("manifests/{own}"));
                if there.status == 200 {
                    kept += 1;
                    assert_whole(&repo, &own);
                } else {
                    deleted.expect(202);
                    // Its bytes stay while the index does: one push heals it.
                    if repo.head("manifests/list").status == 200 {
                        repo.put("child", IMAGE, &child);
                    }
                }
                for tag in ["list", "child"] {
                    let answer = repo.delete(&format!("manifests/{tag}"));
                    assert!([202, 404].contains(&answer.status), "{answer}");
                }
                repo.delete(&format!("manifests/{}", sha256(&index)));
                repo.delete(&format!("manifests/{own}"));
            }
            over.store(true, Ordering::Relaxed);
        });
        say(&format!(
            "an index beside the delete of its child: {both} accepted, {refused} refused, {kept} children kept"
        ));
        assert!(both > 0);
    });
}

#[test]
fn a_blob_is_not_collected_behind_its_201() {
    each_store(|server, site| {
        let repo = Repo::on(server, "quick");
        for (grace, most) in [(Duration::from_secs(3600), 0), (Duration::ZERO, TRIES)] {
            let over = AtomicBool::new(false);
            let (mut pushes, mut again, mut worst) = (0, 0, 0);
            let collections = std::thread::scope(|scope| {
                let collecting = scope.spawn(|| {
                    let mut collections = 0;
                    while !over.load(Ordering::Relaxed) {
                        site.collect_older(grace);
                        collections += 1;
                    }
                    collections
                });
                for number in 0..60 {
                    let layer = noise(1000 + number + grace.as_secs(), 1500);
                    let manifest = image(&layer, &number.to_string());
                    let tried = push_whole(&repo, "quick", &layer, &manifest);
                    assert_whole(&repo, "quick");
                    assert_whole(&repo, &sha256(&manifest));
                    pushes += 1;
                    again += tried;
                    worst = worst.max(tried);
                }
                over.store(true, Ordering::Relaxed);
                collecting.join().unwrap()
            });
            say(&format!(
                "grace {} s: {pushes} pushes beside {collections} collections, {again} blobs pushed again, at most {worst} times for one image",
                grace.as_secs()
            ));
            assert!(worst <= most, "{worst} times");
            assert!(collections > 1);
        }
    });
}

/// A server that was told nothing of collections serves what one left under
/// another name.
#[test]
fn what_is_under_another_name_is_served_and_comes_back() {
    each_store(|server, site| {
        let repo = Repo::on(server, "renamed");
        let layer = noise(11, 9000);
        garbage(&repo, &layer);
        let gate = Gate::default();
        let digest = sha256(&layer);
        let held = gate.before("withdraw", digest.trim_start_matches("sha256:"));
        let collecting = site.collecting(&gate);
        let held = held.reached();
        let manifest = image(&layer, "renamed");
        push_whole(&repo, "renamed", &layer, &manifest);
        assert_eq!(names(server, &layer), 2, "`data` and another");
        held.go();
        collecting.end().unwrap();
        assert_whole(&repo, "renamed");
        assert_whole(&Repo::on(&another(server), "renamed"), "renamed");
        eventually("its name", Duration::from_secs(20), || {
            site.collect();
            (names(server, &layer) == 1).then_some(())
        });
        assert!(is_there(server, &layer));
        assert_whole(&repo, "renamed");
    });
}

/// The keys of everything that a server's storage has below `blobs`.
fn stored(server: &Registry, content: &[u8]) -> Vec<String> {
    let digest = sha256(content);
    let hex = digest.trim_start_matches("sha256:");
    let place = format!("docker/registry/v2/blobs/sha256/{}/{hex}/", &hex[..2]);
    let dir = server.data().join(&place);
    if dir.is_dir() {
        let entries = std::fs::read_dir(dir).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        return names.collect();
    }
    let objects = match server.data().join("docker").exists() {
        true => Vec::new(),
        false => server.bucket().objects(),
    };
    let names = objects.into_iter().map(|(key, _)| key);
    names
        .filter_map(|key| Some(key.strip_prefix(&place)?.to_owned()))
        .collect()
}

fn names(server: &Registry, content: &[u8]) -> usize {
    stored(server, content).len()
}

fn is_there(server: &Registry, content: &[u8]) -> bool {
    stored(server, content).iter().any(|name| name == "data")
}
