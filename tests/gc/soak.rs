//! Everybody at once for a while, as in quay#6318: pushes, pulls, deletes,
//! referrers, mounts, collections of everything that nothing needs one after
//! the other, and kills; on a volume, and on three replicas with one bucket.
//!
//! Whatever was acknowledged and that nobody deleted is pulled again and again.
//! A manifest may be refused for blobs that were collected since they were
//! pushed, a few times; no other error is explained by anything but a kill.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wharf::registry::gc::{Collector, Failure};

use crate::client::Client;
use crate::gate::Gated;
use crate::random::Random;
use crate::site::{Site, collector, core, resuming};
use crate::stock::Stock;
use crate::support::{Registry, S3Engine, eventually, is_long, run, say};
use crate::tally::Tally;
use crate::worker::{Common, Worker};

/// Clients at once.
const WORKERS: usize = 6;

/// How long each soak takes.
fn duration() -> Duration {
    Duration::from_secs(if is_long() { 300 } else { 28 })
}

/// Between two kills.
fn between_kills() -> Duration {
    Duration::from_secs(if is_long() { 30 } else { 7 })
}

#[test]
fn a_volume_with_one_server() {
    let volume = TempDir::with_prefix_in("wharf-soak-", quick_place()).unwrap();
    let server = Registry::with().data(volume.path());
    let server = server.section("gc: {enabled: true, interval: 1s, grace: 0s, pace: 100}");
    soak("a volume, 1 server", vec![server.start()], &[by_hand]);
}

#[test]
fn a_bucket_with_three_replicas() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let servers = (0..3).map(|_| Registry::with().s3(&bucket).start());
    soak("a bucket, 3 replicas", servers.collect(), &[here, here]);
}

/// What one collection is made with.
struct Collecting<'a> {
    /// All of them have one name, so that none takes another for a rival.
    collector: Collector,
    site: &'a Site,
    server: &'a Path,
    tally: &'a Tally,
    random: Random,
}

/// How one collection is made.
type Way = fn(&mut Collecting<'_>);

/// In this process; some of them die at any moment, and what they had asked the
/// store for may still happen.
fn here(collecting: &mut Collecting<'_>) {
    let Collecting {
        collector,
        site,
        tally,
        random,
        ..
    } = collecting;
    let life = match random.below(4) {
        0 => Duration::from_millis(random.below(3000) as u64),
        _ => Duration::from_secs(3600),
    };
    let run = collector.run();
    match site.run(async { tokio::time::timeout(life, run).await }) {
        Ok(Ok(report)) => {
            tally.count("collections");
            tally.add("collections that went on", report.resumed);
            tally.add("names removed", report.removed);
            tally.add("links removed", report.links);
            tally.add("unsealed runs", report.unsealed);
        }
        Ok(Err(Failure::Busy)) => tally.count("busy collections"),
        // Another one went on with its mark, and ended first.
        Ok(Err(Failure::TakenForDead)) => tally.count("collections taken for dead"),
        Ok(Err(failure)) => tally.fail(format!("a collection: {failure}")),
        Err(_) => tally.count("collections that died"),
    }
}

/// By `wharf gc`, which is killed now and then, beside a server that collects
/// too.
fn by_hand(collecting: &mut Collecting<'_>) {
    let (tally, random) = (collecting.tally, &mut collecting.random);
    let child = Command::new(env!("CARGO_BIN_EXE_wharf"))
        .args(["gc", "config.yml", "--grace", "0s", "--json"])
        .current_dir(collecting.server)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("`wharf gc` started");
    if random.below(3) == 0 {
        std::thread::sleep(Duration::from_millis(random.below(150) as u64));
        let _ = child.kill();
    }
    let done = child.wait_with_output().expect("its output");
    match done.status.code() {
        Some(0) => {
            let report: serde_json::Value =
                serde_json::from_slice(&done.stdout).unwrap_or_default();
            tally.count("collections");
            tally.add(
                "names removed",
                report["removed"]["count"].as_u64().unwrap_or(0),
            );
            tally.add("links removed", report["links"].as_u64().unwrap_or(0));
            tally.add("unsealed runs", report["unanswered"].as_u64().unwrap_or(0));
        }
        // The server's own, or one that a server which was killed has left.
        Some(75) => tally.count("busy collections"),
        None => tally.count("collections that died"),
        Some(code) => {
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            tally.fail(format!("`wharf gc` ended with {code}: {said}"));
        }
    }
}

/// A soak with one collection after the other in each of these ways.
fn soak(what: &str, mut servers: Vec<Registry>, ways: &[Way]) {
    let seed = Random::seed();
    let stock = Stock::new(seed);
    let (tally, common) = (Tally::new(), Common::default());
    let site = Site::of(&servers[0]);
    let hosts: Vec<String> = servers.iter().map(|one| one.host().to_owned()).collect();
    let deadline = Instant::now() + duration();
    let mut workers = workers(&hosts, &tally, &stock, &common, seed);
    let one = resuming(core(Arc::clone(site.store())));
    let dir = servers[0].dir().to_owned();
    std::thread::scope(|scope| {
        for worker in &mut workers {
            scope.spawn(|| worker.work());
        }
        for (number, way) in ways.iter().enumerate() {
            let mut collecting = Collecting {
                collector: one.clone(),
                site: &site,
                server: &dir,
                tally: &tally,
                random: Random::of(seed, 200 + number as u64),
            };
            scope.spawn(move || {
                while !collecting.tally.is_over() {
                    way(&mut collecting);
                }
            });
        }
        let mut random = Random::of(seed, 77);
        while Instant::now() < deadline && tally.failures().is_empty() {
            let wait = between_kills().min(deadline - Instant::now());
            std::thread::sleep(wait);
            if Instant::now() < deadline {
                let place = random.below(servers.len());
                tally.kills();
                servers[place].kill();
                std::thread::sleep(Duration::from_millis(random.below(800) as u64));
                servers[place].restart();
                tally.restarted();
            }
        }
        tally.stop();
    });
    // Now that all is quiet: as it was left, and after one more collection.
    for round in 0..2 {
        for worker in &mut workers {
            worker.check();
        }
        workers[0].check_common();
        if round == 0 {
            collect_in_the_end(&one, &site, &tally);
        }
    }
    let checked = run(env!("CARGO_BIN_EXE_wharf"))
        .args(["check", "config.yml"])
        .dir(servers[0].dir())
        .output();
    say(&format!("soak, {what}, seed {seed}: {tally}"));
    let failures = tally.failures();
    let shown: Vec<&String> = failures.iter().take(10).collect();
    assert!(failures.is_empty(), "{what}, seed {seed}: {shown:#?}");
    assert!(checked.success(), "{checked}");
    assert!(
        tally.of("collections") > 3 && tally.of("names removed") > 50,
        "{tally}"
    );
    assert!(tally.of("pushes") > 50, "{tally}");
}

/// One more collection; the server's own may be at it.
fn collect_in_the_end(one: &Collector, site: &Site, tally: &Tally) {
    let report = eventually(
        "the last collection",
        Duration::from_secs(20),
        || match site.run(one.run()) {
            Ok(report) => Some(report),
            Err(Failure::Busy | Failure::TakenForDead) => None,
            Err(failure) => panic!("{failure}"),
        },
    );
    tally.add("names removed", report.removed);
}

fn workers<'a>(
    hosts: &'a [String],
    tally: &'a Tally,
    stock: &'a Stock,
    common: &'a Common,
    seed: u64,
) -> Vec<Worker<'a>> {
    let worker = |number| {
        let random = Random::of(seed, 100 + number as u64);
        let client = Client::new(hosts, tally, stock, random);
        Worker::new(client, common, number, WORKERS)
    };
    (0..WORKERS).map(worker).collect()
}

/// The same with a collector that neither tells pushes what it does nor hears
/// what they are about to need: images are lost, and this would see it.
#[test]
fn without_the_handshake_images_are_lost_and_found_out() {
    let volume = TempDir::with_prefix_in("wharf-deaf-", quick_place()).unwrap();
    let records = TempDir::with_prefix_in("wharf-deaf-", quick_place()).unwrap();
    let server = Registry::with().data(volume.path()).start();
    let (site, apart) = (Site::of(&server), Site::at(records.path()));
    let seed = Random::seed();
    let stock = Stock::new(seed);
    let (tally, common) = (Tally::new(), Common::default());
    let hosts = [server.host().to_owned()];
    let limit = Instant::now() + Duration::from_secs(60);
    let collections = AtomicUsize::new(0);
    let mut workers = workers(&hosts, &tally, &stock, &common, seed);
    std::thread::scope(|scope| {
        for worker in &mut workers {
            scope.spawn(|| worker.work());
        }
        let store = Gated::deaf(Arc::clone(site.store()), Arc::clone(apart.store()));
        let deaf = collector(core(store), Duration::ZERO);
        while Instant::now() < limit && tally.failures().is_empty() {
            // It may meet an image that it has damaged itself.
            let _ = site.run(deaf.run());
            collections.fetch_add(1, Ordering::Relaxed);
        }
        tally.stop();
    });
    let failures = tally.failures();
    let first = failures.first();
    let first = first.unwrap_or_else(|| panic!("a minute without a loss: {tally}"));
    say(&format!(
        "without the handshake, after {} collections and {} pushes: {first}",
        collections.into_inner(),
        tally.of("pushes")
    ));
    assert!(first.contains("damaged"), "{first}");
}

/// A kill loses nothing that the kernel has: memory will do.
fn quick_place() -> std::path::PathBuf {
    let shared = std::path::Path::new("/dev/shm");
    if shared.is_dir() {
        shared.to_owned()
    } else {
        std::env::temp_dir()
    }
}
