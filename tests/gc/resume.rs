//! A server that is killed, or stopped in order, while it reads what must stay:
//! the next one goes on with its mark, and what is pushed in between stays.

use std::time::Duration;

use crate::content::{self, IMAGE, bytes, noise};
use crate::losses::assert_whole;
use crate::repo::Repo;
use crate::support::{Registry, S3Engine, eventually};

/// Until something happens that takes half a minute.
const PATIENCE: Duration = Duration::from_secs(100);

/// Slow enough to be interrupted: half a second for each repository.
const SLOWLY: &str = "gc: {enabled: true, interval: 1s, grace: 0s, pace: 1}";

#[test]
fn one_that_was_killed_on_a_volume() {
    let server = Registry::with().section(SLOWLY).start();
    let record = server.data().join("docker/registry/v2/wharf/gc/checkpoint");
    goes_on(server, 48, &|| record.exists(), &|server| {
        server.kill();
    });
}

#[test]
fn one_that_was_stopped_in_a_bucket() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let server = Registry::with().s3(&bucket).section(SLOWLY).start();
    let saved = || {
        let objects = bucket.objects();
        objects
            .iter()
            .any(|(key, _)| key.ends_with("gc/checkpoint"))
    };
    // Four are read at once.
    goes_on(server, 160, &saved, &|server| {
        server.stop();
    });
}

fn goes_on(
    mut server: Registry,
    count: u64,
    saved: &dyn Fn() -> bool,
    end: &dyn Fn(&mut Registry),
) {
    for number in 0..count {
        let repo = Repo::on(&server, &format!("r{number:03}"));
        let layer = noise(number, 100);
        repo.push(content::EMPTY_JSON);
        repo.push(&layer);
        let image = bytes(&content::image(&[&layer]));
        repo.put("v1", IMAGE, &image).expect(201);
    }
    eventually("a checkpoint", PATIENCE, || saved().then_some(()));
    // Nothing needs it, in a repository that was read already.
    let late = noise(900, 100);
    Repo::on(&server, "r000").push(&late);
    end(&mut server);
    server.restart();
    eventually("one that goes on", PATIENCE, || {
        let log = server.log();
        log.contains("goes on with the mark").then_some(())
    });
    let early = Repo::on(&server, "r000");
    let image = bytes(&content::image(&[&late]));
    early.put("late", IMAGE, &image).expect(201);
    eventually("its end", PATIENCE, || {
        let log = server.log();
        let (_, then) = log.split_once("goes on with the mark")?;
        then.contains("garbage was collected").then_some(())
    });
    assert_whole(&early, "late");
    for number in 0..count {
        assert_whole(&Repo::on(&server, &format!("r{number:03}")), "v1");
    }
}
