//! A process that stands still (SIGSTOP, as a frozen container or a machine
//! that is moved) and goes on, with clients at it.

use std::time::Duration;

use rustix::process::Signal;

use crate::client::Client;
use crate::ledger::Ledger;
use crate::load::{CREW, Load};
use crate::oracle::{self, Promises};
use crate::random::Random;
use crate::support::{Registry, eventually, is_long, say};

/// Until something is acknowledged.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_server_that_stood_still_goes_on() {
    let (pauses, each) = if is_long() { (5, 20) } else { (2, 2) };
    let registry = Registry::start();
    let ledger = Ledger::new();
    let mut random = Random::of(Random::seed(), 8);
    let load = Load::start(&registry.url(), &ledger, CREW, random.next());
    for _ in 0..pauses {
        more_is_acknowledged(&ledger);
        registry.signal(Signal::STOP);
        std::thread::sleep(Duration::from_secs(each));
        registry.signal(Signal::CONT);
    }
    more_is_acknowledged(&ledger);
    load.stop();
    let client = Client::new(&registry.url(), &ledger);
    let mut found = oracle::check(&client, &ledger.view(), Promises::Wharf);
    found.add(oracle::check_stored(&registry));
    say(&format!(
        "paused: {pauses} times {each} s, answers {:?}, {} acknowledged, {} lost, {} invariants \
         broken; {} names asked for",
        ledger.statuses(),
        ledger.acknowledged(),
        found.lost.len(),
        found.broken.len(),
        found.names
    ));
    found.assert_clean("paused");
}

fn more_is_acknowledged(ledger: &Ledger) {
    let before = ledger.acknowledged();
    eventually("acknowledged pushes", PATIENCE, || {
        (ledger.acknowledged() > before + 10).then_some(())
    });
}
