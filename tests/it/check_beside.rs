//! `wharf check` beside a server that works: nothing is found that isn't so; a
//! check that was interrupted goes on; a rate is kept.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::check::{FOUND_PROBLEMS, blob, checked, clean, flip, kinds, tree};
use crate::content::{self, IMAGE};
use crate::process::binary;
use crate::repo::Repo;
use crate::support::{Registry, eventually, is_long};

#[test]
fn pushes_moves_and_deletes_are_no_findings() {
    // Every round leaves an upload behind, and a fast machine makes many.
    let server = Registry::with()
        .section("limits: {uploadsperuser: 0}")
        .start();
    let (end, pushes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let rounds = if is_long() { 40 } else { 4 };
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (server, end, pushes) = (&server, &end, &pushes);
            scope.spawn(move || {
                let repo = Repo::on(server, &format!("busy/r{}", worker % 2));
                let mut round = 0;
                while !end.load(Ordering::Relaxed) {
                    round += 1;
                    let seed = format!("{worker}-{round}");
                    let image = repo.tag(&format!("moving{worker}"), &seed);
                    let mut manifest = content::image(&[]);
                    manifest["annotations"] = json!({ "seed": seed });
                    manifest["subject"] = json!({"mediaType": IMAGE, "digest": image, "size": 1});
                    let referrer = content::bytes(&manifest);
                    let digest = content::sha256(&referrer);
                    repo.put(&digest, IMAGE, &referrer).expect(201);
                    if round % 2 == 0 {
                        repo.delete(&format!("manifests/{digest}")).expect(202);
                        repo.delete(&format!("manifests/{image}")).expect(202);
                    }
                    if round % 5 == 0 {
                        repo.tag("short", &seed);
                        // Another worker may have been faster.
                        repo.delete("manifests/short");
                    }
                    repo.start();
                    pushes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..rounds {
            let flags: &[&str] = if round % 2 == 0 { &[] } else { &["--repair"] };
            let (code, json) = checked(&server, flags);
            if code != 0 || json["findings"] != json!([]) || json["mended"] != json!([]) {
                end.store(true, Ordering::Relaxed);
                panic!("a false finding after {pushes:?} pushes: {json:#}");
            }
        }
        end.store(true, Ordering::Relaxed);
    });
    assert!(pushes.load(Ordering::Relaxed) > 8, "{pushes:?}");
    clean(&server);
}

#[test]
fn an_interrupted_check_goes_on_where_it_was() {
    let server = Registry::start();
    let repo = Repo::on(&server, "large");
    // In the order of their digests, so that the first is damaged and found
    // before the check ends.
    let mut layers: Vec<Vec<u8>> = (0..40).map(|seed| content::noise(seed, 250_000)).collect();
    layers.sort_by_key(|layer| content::sha256(layer));
    for layer in &layers {
        repo.push(layer);
    }
    repo.tag("v1", "small");
    let first = content::sha256(&layers[0]);
    flip(&blob(&server, &first));

    let mut child = Command::new(binary())
        .args(["check", "config.yml", "--json", "--jobs", "1"])
        .args(["--rate", "2MiB", "--resume", "state"])
        .current_dir(server.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let state = server.dir().join("state");
    eventually("a checkpoint", Duration::from_secs(30), || {
        let text = fs::read(&state).ok()?;
        let state: Value = serde_json::from_slice(&text).ok()?;
        let found = state["reached"]["findings"].as_array()?;
        (found.len() == 1).then_some(())
    });
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let begun = Instant::now();
    let status = child.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    let output = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--resume state"), "{said}");
    let before: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(before["complete"], false);
    let read = before["counts"]["blobs"].as_u64().unwrap();
    assert!(read > 3 && read < 40, "{before:#}");

    let (code, json) = checked(&server, &["--resume", "state"]);
    assert_eq!(code, FOUND_PROBLEMS, "what was found before counts");
    assert_eq!(json["complete"], true);
    assert_eq!(json["findings"].as_array().unwrap().len(), 1, "{json:#}");
    assert_eq!(json["findings"][0]["digest"], first);
    // No blob was read twice but those that were under way.
    let all = json["counts"]["blobs"].as_u64().unwrap();
    assert!((43..46).contains(&all), "{json:#}");
    assert!(!state.exists());

    // Another store's file is refused.
    fs::write(
        &state,
        r#"{"version":1,"store":"directory /x","repair":false,"reached":{"blob":null,"blobs_done":false,"repository":null,"counts":{"blobs":0,"bytes":0,"repositories":0,"manifests":0,"tags":0,"findings":0,"notes":0},"findings":[],"notes":[],"mended":[]}}"#,
    )
    .unwrap();
    let refused = crate::check::check(&server, &["--resume", "state"]);
    crate::process::ended_with(&refused, 78);
    assert!(refused.stderr.contains("directory /x"), "{refused}");
}

#[test]
fn a_rate_is_kept() {
    let server = Registry::start();
    let repo = Repo::on(&server, "rated");
    for seed in 0..4 {
        repo.push(&content::noise(seed, 1 << 20));
    }
    let begun = Instant::now();
    let (code, json) = checked(&server, &["--rate", "1MiB"]);
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(code, 0, "{json:#}");
    assert!(took >= 3.9, "{took} s for 4 MiB at 1 MiB/s");
    let begun = Instant::now();
    clean(&server);
    assert!(begun.elapsed().as_secs_f64() < took / 2.0);
}

#[test]
fn a_push_that_races_a_repair_is_kept() {
    let server = Registry::start();
    let repo = Repo::on(&server, "raced");
    let content = b"pushed again and again while it is repaired".as_slice();
    let digest = repo.push(content);
    let path = blob(&server, &digest);
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pusher = scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                repo.push(content);
                // Another inode, as a disk's error wouldn't make; the push
                // and the repair don't care.
                let torn = path.with_extension("torn");
                fs::write(&torn, "torn").unwrap();
                fs::rename(&torn, &path).unwrap();
            }
            repo.push(content);
        });
        for _ in 0..3 {
            checked(&server, &["--repair"]);
        }
        end.store(true, Ordering::Relaxed);
        pusher.join().unwrap();
    });
    assert_eq!(fs::read(&path).unwrap(), content);
    let json = clean(&server);
    assert!(kinds(&json["findings"]).is_empty());
    let hex = digest.strip_prefix("sha256:").unwrap();
    let aside = tree(&server).join(format!("wharf/quarantine/sha256/{hex}"));
    for kept in fs::read_dir(aside).into_iter().flatten().flatten() {
        assert_eq!(fs::read(kept.path()).unwrap(), b"torn");
    }
}
