//! Every system call of a push, a delete and a resumed upload fails once, in
//! every way: the answer is an error or true, and afterwards all goes on.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::client::Client;
use super::ledger::{Ledger, OpenUpload};
use super::oracle::{self, Found, Keeps};
use super::pool::{LOOSE, Pool};
use super::{runtime, started};
use crate::registry::Error;
use crate::storage::files::simulated::{Fault, Machine, Random};

const FAULTS: [Fault; 4] = [
    Fault::Error(Errno::NOSPC),
    Fault::Error(Errno::IO),
    Fault::Error(Errno::INTR),
    Fault::Short,
];

/// Longer than a delete may be announced.
const LATER: Duration = Duration::from_secs(120);

/// Power cuts after each fault.
const CRASHES: u64 = 2;

#[test]
fn every_system_call_may_fail() {
    let scripts = [Script::Push, Script::Move, Script::Delete, Script::Resume];
    let ways: Vec<_> = scripts
        .iter()
        .flat_map(|script| FAULTS.map(|fault| (*script, fault)))
        .collect();
    let next = AtomicUsize::new(0);
    let (faults, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((script, fault)) = ways.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (met, errors) = meet_all(*script, *fault);
                    faults.fetch_add(met, Ordering::Relaxed);
                    refused.fetch_add(errors, Ordering::Relaxed);
                }
            });
        }
    });
    let (faults, refused) = (faults.into_inner(), refused.into_inner());
    println!("{faults} faults, {refused} of them answered with an error: nothing lost or half");
    assert!(refused > 0 && refused < faults);
}

/// How many calls failed, and how many of them the client was told of.
fn meet_all(script: Script, fault: Fault) -> (u64, u64) {
    let (pool, runtime) = (Pool::new(), runtime());
    let (mut faults, mut refused, mut call) = (0, 0, 1);
    loop {
        let met = runtime.block_on(meet(&pool, script, fault, call));
        let met =
            met.unwrap_or_else(|error| panic!("{script:?}, {fault:?} at call {call}: {error}"));
        let Some(met) = met else {
            return (faults, refused);
        };
        faults += 1;
        refused += u64::from(met.refused);
        call = met.call + 1;
    }
}

#[derive(Debug, Clone, Copy)]
enum Script {
    /// A whole image, its index and a referrer, where nothing was.
    Push,
    /// A tag moves to another image.
    Move,
    /// A manifest with its tags, a blob, a tag.
    Delete,
    /// An upload that another process began is closed.
    Resume,
}

/// What came of a fault.
struct Met {
    call: u64,
    /// The client was told of an error.
    refused: bool,
}

impl Script {
    async fn before(self, client: &Client<'_>) -> Result<(), Error> {
        match self {
            Self::Push => Ok(()),
            Self::Move | Self::Delete => {
                client.push_image(0, &[0, 1], 1).await?;
                client.push_image(4, &[2], 1).await?;
                client.push_blob(LOOSE[1], 1).await
            }
            Self::Resume => client.leave_upload(LOOSE[1], 50).await,
        }
    }

    async fn run(self, client: &Client<'_>) -> Result<(), Error> {
        match self {
            Self::Push => {
                client.push_image(0, &[0], 1).await?;
                client.push_image(3, &[1], 2).await?;
                client.push_image(4, &[], 3).await
            }
            Self::Move => {
                client.push_image(1, &[0], 3).await?;
                client.mount(LOOSE[1]).await
            }
            Self::Delete => {
                client.delete_manifest(0).await?;
                client.delete_blob(LOOSE[1]).await?;
                client.delete_tag(2).await?;
                client.delete_manifest(4).await
            }
            Self::Resume => {
                for upload in &client.ledger.uploads() {
                    client.resume(upload).await?;
                }
                Ok(())
            }
        }
    }
}

/// Lets one call of a script fail; nothing if it has fewer.
async fn meet(pool: &Pool, script: Script, fault: Fault, call: u64) -> Result<Option<Met>, String> {
    let machine = Machine::new();
    let ledger = Ledger::new(&machine, [].into(), Vec::new());
    let client = |machine: &Machine| Client {
        pool,
        ledger: &ledger,
        registry: started(machine, None),
        repository: 0,
    };
    let told = |error: Error| format!("without a fault: {error}");
    script.before(&client(&machine)).await.map_err(told)?;

    let running = client(&machine);
    machine.fail(call, fault);
    let outcome = script.run(&running).await;
    let Some(call) = machine.failed() else {
        return outcome.map(|()| None).map_err(told);
    };
    let refused = outcome.is_err();
    // Nothing half: now, and whatever the disk holds if the power fails here.
    let moment = machine.fork();
    oracle::check(pool, &machine, &ledger, u64::MAX, Keeps::Everything).await?;
    if matches!(fault, Fault::Error(Errno::INTR) | Fault::Short) {
        outcome.map_err(|error| format!("it was not tried again: {error}"))?;
        return Ok(Some(Met { call, refused }));
    }
    for way in 0..CRASHES {
        let mut random = Random::new(call * CRASHES + way);
        let crashed = moment.crashed(&mut random);
        let found = oracle::check(pool, &crashed, &ledger, u64::MAX, Keeps::Everything).await?;
        again(pool, script, &crashed, found, ledger.uploads()).await?;
    }
    // The fault is over: the same works, in the same process.
    machine.age(LATER);
    let repeated = script.run(&running).await;
    repeated.map_err(|error| format!("I9: it fails again: {error}"))?;
    let mut random = Random::new(call);
    let crashed = machine.fork().crashed(&mut random);
    oracle::check(pool, &crashed, &ledger, u64::MAX, Keeps::Everything).await?;
    Ok(Some(Met { call, refused }))
}

/// I8: the same again makes whole what was left by a crash.
async fn again(
    pool: &Pool,
    script: Script,
    machine: &Machine,
    found: Found,
    uploads: Vec<OpenUpload>,
) -> Result<(), String> {
    let before = found
        .into_iter()
        .map(|(object, value)| (object, vec![value]));
    let ledger = Ledger::new(machine, before.collect(), uploads);
    let client = Client {
        pool,
        ledger: &ledger,
        registry: started(machine, None),
        repository: 0,
    };
    let repeated = script.run(&client).await;
    repeated.map_err(|error| format!("I8: after a crash: {error}"))?;
    oracle::check(pool, machine, &ledger, u64::MAX, Keeps::Everything).await?;
    let crashed = machine.fork().crashed(&mut Random::new(1));
    oracle::check(pool, &crashed, &ledger, u64::MAX, Keeps::Everything).await?;
    Ok(())
}
