//! Power cuts (docs/durability.md): the server writes to a file system in an
//! image while clients push, move tags and delete. At a random moment the image
//! is copied, in one moment, as the medium would hold it; the copy is mounted,
//! which replays its journal, and a server that starts there is held to what
//! was acknowledged before the copy began. What this does not show: a medium
//! that lies about what it has written.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::disk::{self, Bench, Kind};
use crate::ledger::Ledger;
use crate::load::{CREW, Load};
use crate::oracle::{self, Findings, Promises};
use crate::random::Random;
use crate::support::{Program, Registry, Setup, eventually, find, is_long, run, say};
use crate::view::View;

/// How long the load may take until something is acknowledged.
const PATIENCE: Duration = Duration::from_secs(60);

/// Acknowledged operations before a cut is worth it.
const ENOUGH: usize = 12;

#[test]
fn ext4_keeps_what_was_acknowledged() {
    nothing_is_lost("power cuts on ext4", Kind::Ext4);
}

#[test]
fn xfs_keeps_what_was_acknowledged() {
    nothing_is_lost("power cuts on xfs", Kind::Xfs);
}

#[test]
fn btrfs_keeps_what_was_acknowledged() {
    nothing_is_lost("power cuts on btrfs", Kind::Btrfs);
}

/// The rig's own test: a server that syncs nothing is found out.
#[test]
fn the_rig_finds_what_is_not_synced() {
    if !disk::needs("power cuts without syncs").met() {
        return;
    }
    for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
        let server = Registry::with().env("REGISTRY_STORAGE_FILESYSTEM_SYNC", "none");
        let cuts = cuts("sync: none", kind, &server, 2, When::Busy);
        let found = cuts.found.lost.len() + cuts.found.broken.len();
        assert!(found > 0, "{}: nothing lost without any sync", kind.name());
    }
}

/// For the figures of docs/reliability.md, which set it beside ours.
#[test]
#[ignore = "figures of docker-registry: run it by name, with WHARF_LONG=1 for 30 cuts each"]
fn docker_registry_for_comparison() {
    let there = find("docker-registry").is_some();
    assert!(there, "docker-registry is not installed");
    assert!(disk::needs("power cuts").met(), "no rig");
    for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
        let server = Registry::with().program(Program::Distribution);
        let control = "docker-registry, synced before the cut,";
        let tries = [
            (control, count().div_ceil(3), When::Synced),
            ("docker-registry", count(), When::Busy),
        ];
        for (who, count, when) in tries {
            let cuts = cuts(who, kind, &server, count, when);
            assert!(cuts.acknowledged > 0, "it acknowledged nothing");
        }
    }
}

fn nothing_is_lost(who: &'static str, kind: Kind) {
    if !disk::needs(who).met() {
        return;
    }
    cuts("wharf", kind, &Registry::with(), count(), When::Busy)
        .found
        .assert_clean(who);
}

fn count() -> usize {
    if is_long() { 30 } else { 3 }
}

#[derive(Default)]
struct Cuts {
    acknowledged: usize,
    found: Findings,
}

/// When the power goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// In the middle of everything.
    Busy,
    /// Right behind the last answer: later syncs would carry what an earlier
    /// request left in memory.
    Quiet,
    /// After everything was synced from outside, so that no cut can do harm:
    /// what is found then is not the cut's.
    Synced,
}

/// Cuts the power so often, each time under a new file system; one cut in three
/// is a quiet one.
fn cuts(who: &str, kind: Kind, server: &Setup, count: usize, when: When) -> Cuts {
    let seed = Random::seed();
    let mut random = Random::of(seed, kind as u64);
    let bench = Bench::new();
    let begun = Instant::now();
    let mut all = Cuts::default();
    let mut damaged = 0;
    for number in 0..count {
        let when = match number % 3 {
            _ if when == When::Synced => When::Synced,
            1 => When::Quiet,
            _ => When::Busy,
        };
        let (view, found) = cut(&bench, kind, server, &mut random, when);
        all.acknowledged += view.acknowledged();
        damaged += usize::from(!found.lost.is_empty() || !found.broken.is_empty());
        all.found.add(found);
    }
    let Findings {
        lost,
        broken,
        names,
        ..
    } = &all.found;
    say(&format!(
        "power cuts, {who} on {}: {count} cuts, {} acknowledged, {} lost, {} invariants broken \
         ({damaged} cuts did harm); {names} names asked for, {} files read, {} uploads resumed, \
         {} pushed again, {} times `wharf check`; {:.0} s, seed {seed}",
        kind.name(),
        all.acknowledged,
        lost.len(),
        broken.len(),
        all.found.files,
        all.found.resumed,
        all.found.again,
        all.found.checks,
        begun.elapsed().as_secs_f64(),
    ));
    for line in lost.iter().take(3).chain(broken.iter().take(3)) {
        let line: String = line.chars().take(250).collect();
        say(&format!("  {who} on {}: {line}", kind.name()));
    }
    all
}

fn cut(
    bench: &Bench,
    kind: Kind,
    server: &Setup,
    random: &mut Random,
    when: When,
) -> (View, Findings) {
    let (image, live) = bench.volume(kind);
    let start = |at: &std::path::Path| {
        let server = server.clone().data(&at.join("registry"));
        // Both must read each other's addresses of uploads.
        server.env("REGISTRY_HTTP_SECRET", "of the rig").start()
    };
    let mut registry = start(live.path());
    let ledger = Ledger::new();
    let mut load = Some(Load::start(&registry.url(), &ledger, CREW, random.next()));
    eventually("enough pushes", PATIENCE, || {
        (ledger.acknowledged() >= ENOUGH).then_some(())
    });
    std::thread::sleep(Duration::from_millis(random.below(1500) as u64));
    if when != When::Busy {
        load.take().into_iter().for_each(Load::stop);
    }
    if when == When::Synced {
        run("sync").arg("-f").arg(live.path()).ok();
    }
    let before = Instant::now();
    let copy = bench.picture(&image);
    let view = ledger.as_of(before, Instant::now());
    load.take().into_iter().for_each(Load::stop);
    registry.kill();
    drop(live);

    let mounted = bench.after_the_cut(kind, &copy);
    let root = mounted.path().join("registry");
    let mut found = oracle::check_volume(&root);
    let promises = match registry.program() {
        Program::Wharf => Promises::Wharf,
        Program::Distribution => Promises::Distribution,
    };
    let mut again = start(mounted.path());
    let client = Client::new(&again.url(), &ledger);
    found.add(oracle::check(&client, &view, promises));
    // What was pushed once more and gone on with is sound, too.
    again.kill();
    found.add(oracle::check_stored(&again));
    (view, found)
}
