//! A volume that is nearly full: new pushes are refused while there is still
//! room to tidy up, what has begun goes on, and it is over by itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::content::{EMPTY_DIGEST, IMAGE, noise, sha256};
use crate::repo::{Repo, with_query};
use crate::support::{Needs, Registry, eventually, free_port};
use crate::wire::{PATIENCE, Request};

/// A small volume, gone with the value.
struct Volume(TempDir);

impl Volume {
    /// `None` where nobody may mount.
    fn of(options: &str) -> Option<Volume> {
        let needs = Needs::of("a volume that fills up").root();
        if !needs.program("mount", "apt-get install mount").met() {
            return None;
        }
        let dir = TempDir::with_prefix("wharf-volume-").unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
        let status = mount.arg(dir.path()).status().unwrap();
        assert!(status.success(), "mounted");
        Some(Volume(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Bytes and files that are left.
    fn left(&self) -> (u64, u64) {
        let volume = rustix::fs::statvfs(self.path()).unwrap();
        (volume.f_bavail * volume.f_frsize, volume.f_favail)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn below_the_floor_nothing_new_is_begun_and_all_else_goes_on() {
    let Some(volume) = Volume::of("size=32m") else {
        return;
    };
    let data = volume.path().join("data");
    fs::create_dir(&data).unwrap();
    let debug = format!("127.0.0.1:{}", free_port());
    let server = Registry::with()
        .data(&data)
        .env(
            "REGISTRY_HTTP_DEBUG",
            &format!("{{addr: '{debug}', prometheus: {{enabled: true}}}}"),
        )
        .start();
    let repo = Repo::on(&server, "full");
    let digest = repo.tag("latest", "a layer");
    repo.tag("spare", "another layer");
    let manifest = repo.get("manifests/latest").expect(200).body;
    let begun = repo.start();
    repo.at("PATCH", &begun).body("01234").send().expect(202);
    assert_eq!(
        Request::new(repo.host(), "GET", "/readyz").send().json(),
        serde_json::json!({})
    );

    // 5 % of it are 1.6 MiB.
    let filler = volume.path().join("filler");
    let (left, _) = volume.left();
    fs::write(
        &filler,
        noise(1, usize::try_from(left).unwrap() - (1 << 20)),
    )
    .unwrap();
    let start = || repo.ask("POST", "blobs/uploads/").body("").send();
    let refused = eventually("a refusal", PATIENCE, || {
        let answer = start();
        (answer.status != 202).then_some(answer)
    });
    let refused = refused.refused(429, "TOOMANYREQUESTS");
    assert!(refused.must("retry-after").parse::<u32>().unwrap() > 0);
    assert!(
        refused.to_string().contains("limits.freespace"),
        "{refused}"
    );
    repo.ask("POST", &format!("blobs/uploads/?digest={}", sha256(b"x")))
        .body("x")
        .send()
        .refused(429, "TOOMANYREQUESTS");
    repo.put("new", IMAGE, &manifest)
        .refused(429, "TOOMANYREQUESTS");

    // What has begun goes on; pulls, mounts and deletes work.
    repo.at("PATCH", &begun).body("56789").send().expect(202);
    let closing = with_query(&begun, &format!("digest={}", sha256(b"0123456789")));
    repo.at("PUT", &closing).body("").send().expect(201);
    assert!(repo.get(&format!("manifests/{digest}")).expect(200).body == manifest);
    repo.get(&format!("blobs/{}", sha256(b"0123456789")))
        .expect(200);
    let mount = format!("blobs/uploads/?mount={EMPTY_DIGEST}&from=full");
    repo.beside("mounted")
        .ask("POST", &mount)
        .body("")
        .send()
        .expect(201);
    repo.delete("manifests/spare").expect(202);

    // It is said in all places, and load balancers are not sent away.
    let ready = Request::new(repo.host(), "GET", "/readyz")
        .send()
        .expect(200);
    assert!(
        ready.json()["space"]
            .as_str()
            .unwrap()
            .contains("limits.freespace"),
        "{ready}"
    );
    let metrics = Request::new(&debug, "GET", "/metrics").send().expect(200);
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(
        metrics.lines().any(|line| line == "wharf_storage_low 1"),
        "{metrics}"
    );
    let lines = |words: &str| {
        server
            .log()
            .lines()
            .filter(|line| line.contains(words))
            .count()
    };
    assert_eq!(lines("little room is left"), 1);

    fs::remove_file(&filler).unwrap();
    eventually("room again", PATIENCE, || {
        (start().status == 202).then_some(())
    });
    repo.put("new", IMAGE, &manifest).expect(201);
    assert_eq!(lines("there is room on the storage again"), 1);
    assert_eq!(lines("little room is left"), 1);
    let ready = Request::new(repo.host(), "GET", "/readyz")
        .send()
        .expect(200);
    assert_eq!(ready.json(), serde_json::json!({}));
}

#[test]
fn the_floor_is_what_was_said_and_0_is_none() {
    let Some(volume) = Volume::of("size=32m") else {
        return;
    };
    for (floor, status) in [("40MiB", 429), ("90%", 202), ("0", 202), ("16MiB", 202)] {
        let data = volume.path().join("data");
        let _ = fs::create_dir(&data);
        let server = Registry::with()
            .data(&data)
            .env("REGISTRY_LIMITS_FREESPACE", floor)
            .start();
        let repo = Repo::on(&server, "floors");
        let start = repo.ask("POST", "blobs/uploads/").body("").send();
        assert_eq!(start.status, status, "{floor}: {start}");
    }
}

#[test]
fn files_that_run_out_are_a_floor_too() {
    let Some(volume) = Volume::of("size=32m,nr_inodes=2000") else {
        return;
    };
    let data = volume.path().join("data");
    fs::create_dir(&data).unwrap();
    let server = Registry::with().data(&data).start();
    let repo = Repo::on(&server, "files");
    repo.tag("latest", "a layer");
    let fillers = volume.path().join("fillers");
    fs::create_dir(&fillers).unwrap();
    let mut count = 0;
    // One in a hundred are 20.
    while volume.left().1 > 15 {
        fs::write(fillers.join(count.to_string()), "").unwrap();
        count += 1;
    }
    let start = || repo.ask("POST", "blobs/uploads/").body("").send();
    eventually("a refusal", PATIENCE, || {
        (start().status == 429).then_some(())
    });
    repo.get("manifests/latest").expect(200);
    repo.delete("manifests/latest").expect(202);
    fs::remove_dir_all(&fillers).unwrap();
    eventually("room again", PATIENCE, || {
        (start().status == 202).then_some(())
    });
}
