//! Power cuts by the thousand, and the proof that the test would see losses.
//!
//! Two clients work on one machine, and in every other seed collections of
//! everything that nothing needs; before any of its system calls the power may
//! fail. What the disk holds then is looked at by a fresh process, and the next
//! clients go on from one of these disks. `WHARF_SEED=n` plays one seed again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::client::Client;
use super::ledger::Ledger;
use super::oracle::{self, Found, Keeps};
use super::pool::Pool;
use super::{collector, runtime, started};
use crate::storage::files::simulated::{Lie, Machine, Random};

/// How often the power is cut where time is no matter: in CI and with `WHARF_LONG`.
const CRASHES: u64 = 100_000;

/// How often it is otherwise.
const FEWER: u64 = 10_000;

/// Crashes in which a disk that lies must be found out.
const ENOUGH: u64 = 3_000;

/// Lives of one machine, each ended by a crash.
const LIVES: u64 = 6;

/// What each client does in one life.
const ACTS: usize = 4;

/// Collections beside the clients of one life.
const COLLECTIONS: usize = 2;

/// How long a machine without power stays off: what lived on it is dead.
const OFF: Duration = Duration::from_secs(120);

/// One in so many system calls is a moment to look at.
const MOMENTS: u64 = 4;

/// Ways in which the disk may look after a crash at one moment.
const WAYS: u64 = 3;

/// What was done.
#[derive(Default)]
struct Counts {
    crashes: AtomicU64,
    /// By collections.
    removed: AtomicU64,
}

#[test]
fn nothing_acknowledged_is_lost_in_power_cuts() {
    if let Ok(seed) = std::env::var("WHARF_SEED") {
        let counts = Counts::default();
        return play(seed.parse().unwrap(), Lie::Nothing, &counts).unwrap();
    }
    let begun = std::time::Instant::now();
    let all = ["CI", "WHARF_LONG"].map(std::env::var_os);
    let wanted = if all.iter().any(Option::is_some) {
        CRASHES
    } else {
        FEWER
    };
    let (counts, outcome) = crash(Lie::Nothing, wanted);
    outcome.unwrap();
    let (crashes, removed) = (counts.crashes.into_inner(), counts.removed.into_inner());
    println!(
        "{crashes} power cuts in {:?}: nothing lost; {removed} names removed by collections",
        begun.elapsed()
    );
    assert!(crashes >= wanted && removed >= wanted / 500, "{removed}");
}

/// Each of these leaves out a sync that the order of writes needs.
#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    for lie in [
        Lie::Everything,
        Lie::Files,
        Lie::Directory,
        Lie::Parents,
        Lie::Removals,
    ] {
        let (counts, outcome) = crash(lie, ENOUGH);
        let crashes = counts.crashes.into_inner();
        let found = outcome.expect_err(&format!("{lie:?}: {crashes} crashes without a loss"));
        println!("{lie:?}: found out after {crashes} crashes: {found}");
    }
}

/// Plays one seed after the other until that many crashes were looked at, or
/// one of them shows a loss.
fn crash(lie: Lie, wanted: u64) -> (Counts, Result<(), String>) {
    let (seeds, counts) = (AtomicU64::new(0), Counts::default());
    let crashes = &counts.crashes;
    let failed = AtomicBool::new(false);
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let play_all = || {
        while crashes.load(Ordering::Relaxed) < wanted && !failed.load(Ordering::Relaxed) {
            let seed = seeds.fetch_add(1, Ordering::Relaxed);
            let played = catch_unwind(AssertUnwindSafe(|| play(seed, lie, &counts)));
            let played = played.unwrap_or_else(|_| Err("a panic, see above".to_owned()));
            if let Err(error) = played {
                failed.store(true, Ordering::Relaxed);
                return Err(format!("{error}; play it again with WHARF_SEED={seed}"));
            }
        }
        Ok(())
    };
    let outcome = thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(play_all)).collect();
        let ended = running.into_iter().map(|thread| thread.join().unwrap());
        ended.collect::<Vec<_>>().into_iter().collect()
    });
    (counts, outcome)
}

fn play(seed: u64, lie: Lie, counts: &Counts) -> Result<(), String> {
    runtime().block_on(async {
        let mut random = Random::new(seed);
        let pool = Pool::new();
        let mut machine = Machine::new();
        let (mut found, mut uploads) = (Found::new(), Vec::new());
        let keeps = match seed % 2 {
            0 => Keeps::WhatIsNeeded,
            _ => Keeps::Everything,
        };
        for life in 0..LIVES {
            machine.lie(lie);
            let before = found
                .into_iter()
                .map(|(object, value)| (object, vec![value]));
            let ledger = Ledger::new(&machine, before.collect(), uploads);
            machine.take_forks(Random::new(random.next()), MOMENTS);
            let removed = live(&pool, &machine, &ledger, keeps, &mut random).await;
            counts.removed.fetch_add(removed, Ordering::Relaxed);
            let mut moments = machine.forks();
            moments.push(machine.fork());
            let next = random.below(moments.len() as u64);
            found = Found::new();
            for (number, moment) in (0..).zip(&moments) {
                for way in 0..WAYS {
                    let disk = moment.crashed(&mut random);
                    let check = oracle::check(&pool, &disk, &ledger, moment.moment, keeps);
                    let looked = check.await;
                    counts.crashes.fetch_add(1, Ordering::Relaxed);
                    let looked = looked.map_err(|error| {
                        format!("life {life}, moment {number}, way {way}: {error}")
                    })?;
                    if number == next && way == 0 {
                        found = looked;
                        disk.compact();
                        machine = disk;
                        machine.age(OFF);
                    }
                }
            }
            uploads = ledger.uploads();
        }
        Ok(())
    })
}

/// Two clients beside each other, after they have gone on with what they left;
/// how much was collected beside them.
async fn live(
    pool: &Pool,
    machine: &Machine,
    ledger: &Ledger,
    keeps: Keeps,
    random: &mut Random,
) -> u64 {
    let registry = started(machine, Some(random.next()));
    let client = |repository| Client {
        pool,
        ledger,
        registry: registry.clone(),
        repository,
    };
    let act = async |client: Client<'_>, mut random: Random| {
        for upload in ledger.uploads() {
            if upload.repository == client.repository {
                client.resume(&upload).await.unwrap();
            }
        }
        if keeps == Keeps::WhatIsNeeded {
            client.leave_garbage(&mut random).await.unwrap();
        }
        for _ in 0..ACTS {
            client.act(&mut random).await.unwrap();
        }
    };
    let (one, two) = (Random::new(random.next()), Random::new(random.next()));
    let collect = async || collector(&registry).run().await.unwrap().removed;
    match keeps {
        Keeps::Everything => {
            tokio::join!(act(client(0), one), act(client(1), two));
            0
        }
        Keeps::WhatIsNeeded => {
            // Pushes wait for what seems to run, and only the next one knows.
            let first = collect().await;
            let again = async {
                let mut removed = 0;
                for _ in 0..COLLECTIONS {
                    removed += collect().await;
                }
                removed
            };
            let (.., more) = tokio::join!(act(client(0), one), act(client(1), two), again);
            first + more
        }
    }
}
