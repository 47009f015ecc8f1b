//! Everybody at once for a while, as in quay#6318: pushes, pulls, deletes,
//! referrers, mounts, collections of everything that nothing needs one after
//! the other, and kills; on a volume, and on three replicas with one bucket.
//!
//! Whatever was acknowledged and that nobody deleted is pulled again and again.
//! A manifest may be refused for blobs that were collected since they were
//! pushed, a few times; no other error is explained by anything but a kill.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wharf::registry::gc::Failure;

use crate::client::Client;
use crate::gate::Gated;
use crate::random::Random;
use crate::site::{Site, collector, core};
use crate::stock::Stock;
use crate::support::{Registry, S3Engine, is_long, run, say};
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
    let servers = vec![Registry::with().data(volume.path()).start()];
    soak("a volume, 1 server", servers, 1);
}

#[test]
fn a_bucket_with_three_replicas() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let servers = (0..3).map(|_| Registry::with().s3(&bucket).start());
    soak("a bucket, 3 replicas", servers.collect(), 2);
}

/// A soak with so many collectors at once.
fn soak(what: &str, mut servers: Vec<Registry>, collectors: usize) {
    let seed = Random::seed();
    let stock = Stock::new(seed);
    let (tally, common) = (Tally::new(), Common::default());
    let site = Site::of(&servers[0]);
    let hosts: Vec<String> = servers.iter().map(|one| one.host().to_owned()).collect();
    let deadline = Instant::now() + duration();
    let mut workers = workers(&hosts, &tally, &stock, &common, seed);
    std::thread::scope(|scope| {
        for worker in &mut workers {
            scope.spawn(|| worker.work());
        }
        // Of one name, so that neither takes the other for a rival.
        let one = collector(core(Arc::clone(site.store())), Duration::ZERO);
        for _ in 0..collectors {
            let (one, site, tally) = (one.clone(), &site, &tally);
            scope.spawn(move || {
                while !tally.is_over() {
                    match site.run(one.run()) {
                        Ok(report) => {
                            tally.count("collections");
                            tally.add("names removed", report.removed);
                            tally.add("links removed", report.links);
                            tally.add("unsealed runs", report.unsealed);
                        }
                        Err(Failure::Busy) => tally.count("busy"),
                        Err(failure) => tally.fail(format!("a collection: {failure}")),
                    }
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
            tally.add("names removed", site.collect().removed);
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
