//! A server that may open 64 files, which leaves it one connection at a time,
//! and hundreds that want one: they wait, it goes on, and is itself again when
//! they have left.

use std::net::TcpStream;
use std::time::Duration;

use crate::client::{Client, Way};
use crate::goods;
use crate::ledger::Ledger;
use crate::load::{Crew, Load};
use crate::oracle::{self, Promises};
use crate::random::Random;
use crate::support::{Needs, Registry, eventually, is_long, say};

/// How long the server may take to be itself again.
const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn few_files_and_many_connections() {
    let needs = Needs::of("too few open files");
    if !needs.program("prlimit", "apt-get install util-linux").met() {
        return;
    }
    let registry = Registry::with()
        .through(&["prlimit", "--nofile=64:64"])
        .start();
    let ledger = Ledger::new();
    let client = Client::keeping(&registry.url(), &ledger, false);
    let mut random = Random::of(Random::seed(), 6);
    let crew = Crew {
        pushers: 24,
        movers: 4,
        deleters: 2,
        pullers: 8,
        keeping: false,
    };
    let time = Duration::from_secs(if is_long() { 20 } else { 3 });
    let load = Load::start(&registry.url(), &ledger, crew, random.next());
    std::thread::sleep(time);
    load.stop();
    let under_load = ledger.statuses();

    // More than it can hold, and none of them says a word.
    let idle: Vec<TcpStream> = (0..200)
        .filter_map(|_| TcpStream::connect(registry.host()).ok())
        .collect();
    assert!(idle.len() > 64, "only {} connections", idle.len());
    drop(idle);
    eventually("a push after the crowd has left", PATIENCE, || {
        let image = goods::image(&mut random, Vec::new(), None, true);
        let pushed = client.push("after", Some("t"), &image, &mut || Way::Monolithic);
        (pushed?.status == 201).then_some(())
    });
    assert!(registry.pid().is_some());
    let mut found = oracle::check(&client, &ledger.view(), Promises::Wharf);
    found.add(oracle::check_stored(&registry));
    say(&format!(
        "64 open files: 38 clients and 200 idle connections, answers {under_load:?}, {} \
         acknowledged, {} lost, {} invariants broken; {} names asked for",
        ledger.acknowledged(),
        found.lost.len(),
        found.broken.len(),
        found.names
    ));
    found.assert_clean("64 open files");
    assert!(!registry.log().contains("panicked"), "it panicked");
}
