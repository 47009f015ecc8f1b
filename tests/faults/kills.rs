//! `kill -9` again and again while clients push, move tags and delete: after
//! each restart everything that was ever acknowledged is asked for, and the
//! volume is walked.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::ledger::Ledger;
use crate::load::{CREW, Load};
use crate::oracle::{self, Findings, Promises};
use crate::random::Random;
use crate::support::{Registry, eventually, is_long, say};

/// Kills of one volume: what is asked for after each grows with them.
const EACH: usize = 5;

/// Until something is acknowledged after a restart.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn a_killed_server_keeps_what_it_acknowledged() {
    let volumes = if is_long() { 40 } else { 4 };
    let seed = Random::seed();
    let mut random = Random::of(seed, 9);
    let begun = Instant::now();
    let (mut acknowledged, mut all) = (0, Findings::default());
    for _ in 0..volumes {
        let (answers, found) = kill_often(&mut random);
        acknowledged += answers;
        all.add(found);
    }
    say(&format!(
        "kill -9: {} kills of {volumes} servers, {acknowledged} acknowledged, {} lost, {} \
         invariants broken; {} names asked for, {} files read, {} uploads resumed, {} pushed \
         again, {} times `wharf check`; {:.0} s, seed {seed}",
        volumes * EACH,
        all.lost.len(),
        all.broken.len(),
        all.names,
        all.files,
        all.resumed,
        all.again,
        all.checks,
        begun.elapsed().as_secs_f64()
    ));
    all.assert_clean("kill -9");
    assert!(all.resumed > 0, "no kill met an upload");
}

/// How much was acknowledged, and what was found after each kill.
fn kill_often(random: &mut Random) -> (usize, Findings) {
    let volume = TempDir::with_prefix_in("wharf-kills-", quick_place()).expect("a directory");
    let mut registry = Registry::with().data(volume.path()).start();
    let ledger = Ledger::new();
    let mut all = Findings::default();
    for _ in 0..EACH {
        let before = ledger.acknowledged();
        let load = Load::start(&registry.url(), &ledger, CREW, random.next());
        eventually("a push", PATIENCE, || {
            (ledger.acknowledged() > before).then_some(())
        });
        std::thread::sleep(Duration::from_millis(random.below(700) as u64));
        registry.kill();
        ledger.crashed();
        load.stop();
        ledger.crashed();
        // `wharf check` takes its time where something was cut short.
        all.add(if is_long() {
            oracle::check_stored(&registry)
        } else {
            oracle::check_volume(volume.path())
        });
        registry.restart();
        let client = Client::new(&registry.url(), &ledger);
        all.add(oracle::check(&client, &ledger.view(), Promises::Wharf));
        ledger.forgets_sessions();
    }
    registry.kill();
    all.add(oracle::check_stored(&registry));
    (ledger.acknowledged(), all)
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
