//! System calls that fail (strace's injection): the n-th of its kind in each
//! thread, for n from 1 until nothing is met any more. While they fail a whole
//! course of requests is sent; afterwards the server is held to its answers,
//! and must work again by itself, unless three failed syncs have latched it:
//! then `/readyz` says so until it is restarted.
//!
//! `write` is left out: strace can't tell the pages of a file from the wake-ups
//! of the runtime, which go through the same call and never fail.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, Reply, Way};
use crate::goods;
use crate::ledger::{Key, Ledger};
use crate::oracle::{self, Findings, Promises};
use crate::random::Random;
use crate::support::{Needs, Registry, eventually, is_long, say};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the log says when three syncs of directories have failed.
const LATCHED: &str = "the storage is read-only from now on";

/// What fails, how, and whether an answer may break off because of it.
const FAULTS: [(&str, &str, bool); 11] = [
    ("fsync,fdatasync", "EIO", false),
    ("fsync,fdatasync", "ENOSPC", false),
    ("rename,renameat,renameat2", "EIO", false),
    ("link,linkat", "EIO", false),
    ("mkdir,mkdirat", "ENOSPC", false),
    ("unlink,unlinkat,rmdir", "EIO", false),
    ("pwritev,pwritev2,pwrite64", "ENOSPC", false),
    ("pwritev,pwritev2,pwrite64", "EINTR", false),
    ("openat", "EMFILE", false),
    ("statx,newfstatat,getdents64", "EIO", false),
    ("pread64,preadv,preadv2", "EIO", true),
];

#[test]
fn calls_that_fail() {
    let needs = Needs::of("failing system calls").root();
    if !needs.program("strace", "apt-get install strace").met() {
        return;
    }
    let most = if is_long() { 40 } else { 4 };
    let mut rig = Rig {
        registry: Registry::start(),
        random: Random::of(Random::seed(), 11),
        found: Findings::default(),
        places: BTreeMap::new(),
        tally: Tally::default(),
    };
    for (calls, error, may_break_off) in FAULTS {
        for number in 1..=most {
            let injected = rig.fail(calls, error, number, may_break_off);
            if injected == 0 {
                break;
            }
        }
    }
    rig.registry.restart();
    rig.found.add(oracle::check_stored(&rig.registry));
    let Tally {
        cases,
        injected,
        refused,
        latched,
        acknowledged,
    } = rig.tally;
    say(&format!(
        "failing system calls: {injected} calls failed in {cases} courses at {} places, {refused} \
         requests refused, {acknowledged} acknowledged, latched {latched} times, {} lost, {} \
         invariants broken; {} names asked for",
        rig.places.len(),
        rig.found.lost.len(),
        rig.found.broken.len(),
        rig.found.names
    ));
    if is_long() {
        for (place, count) in &rig.places {
            say(&format!("  {count:4} {place}"));
        }
    }
    rig.found.assert_clean("failing system calls");
    assert!(injected > 20, "only {injected} calls failed");
    assert!(!rig.registry.log().contains("panicked"), "it panicked");
}

#[derive(Default)]
struct Tally {
    cases: usize,
    injected: usize,
    refused: usize,
    latched: usize,
    acknowledged: usize,
}

struct Rig {
    registry: Registry,
    random: Random,
    found: Findings,
    /// Which calls failed, and how often.
    places: BTreeMap<String, usize>,
    tally: Tally,
}

impl Rig {
    /// One course of requests while the `number`-th of these calls fails.
    fn fail(&mut self, calls: &str, error: &str, number: usize, may_break_off: bool) -> usize {
        let ledger = Ledger::new();
        let client = Client::new(&self.registry.url(), &ledger);
        let repository = format!("case/{}", self.tally.cases);
        self.tally.cases += 1;
        // Something that was there before.
        let kept = goods::image(&mut self.random, Vec::new(), None, true);
        let pushed = client.push(&repository, Some("kept"), &kept, &mut || Way::Monolithic);
        assert!(pushed.as_ref().is_some_and(Reply::is_good), "{pushed:?}");

        let pid = self.registry.pid().expect("a running server");
        let trace = self.registry.dir().join("trace");
        let rule = format!("{calls}:error={error}:when={number}");
        let tracer = Tracer::attach(pid, &trace, calls, &rule);
        let replies = course(&client, &repository, &mut self.random);
        tracer.detach();

        let what = format!("{calls} {error} {number}");
        let failed: Vec<String> = injections(&trace);
        let refused = replies.iter().flatten().filter(|reply| !reply.is_good());
        for reply in refused {
            self.tally.refused += 1;
            // A manifest whose blob was refused is refused for that.
            let is_clear = [503, 507, 429, 404, 400].contains(&reply.status);
            if !is_clear || reply.code().is_none() {
                self.found.broken.push(format!("{what}: {reply:?}"));
            }
        }
        let unanswered = replies.iter().position(Option::is_none);
        // An upload that is refused while its body is on its way ends its
        // connection, maybe under the next request.
        let follows = |place: usize| {
            let before = place
                .checked_sub(1)
                .and_then(|before| replies[before].as_ref());
            before.is_some_and(|before| !before.is_good())
        };
        if let Some(place) = unanswered.filter(|place| !may_break_off && !follows(*place)) {
            let log = self.registry.log();
            let lines = log.lines().rev().filter(|line| line.contains(&repository));
            let last: Vec<&str> = lines.take(3).collect();
            let broken = format!("{what}: request {place} without an answer, log: {last:?}");
            self.found.broken.push(broken);
        }
        // A delete that finds no room goes on unannounced.
        let needed = |place: &&String| place.starts_with("f") && !place.contains("_deletes");
        let is_sync = calls.starts_with("fsync") && failed.iter().any(|place| needed(&place));
        if is_sync && replies.iter().flatten().all(Reply::is_good) {
            let broken = format!("{what}: {failed:?} failed, and everything was acknowledged");
            self.found.broken.push(broken);
        }
        for place in &failed {
            *self.places.entry(place.clone()).or_default() += 1;
        }
        self.tally.injected += failed.len();
        self.tally.acknowledged += ledger.acknowledged();
        self.recover(&client);
        let client = Client::new(&self.registry.url(), &ledger);
        let mut found = oracle::check(&client, &ledger.view(), Promises::Wharf);
        for line in found.lost.iter_mut().chain(&mut found.broken) {
            *line = format!("{what}: {line}");
        }
        self.found.add(found);
        failed.len()
    }

    /// Latched, it must say so until it is restarted; else it must be ready
    /// again by itself.
    fn recover(&mut self, client: &Client) {
        let latches = self.registry.log().matches(LATCHED).count();
        let is_latched = latches > self.tally.latched;
        self.tally.latched = latches;
        let wanted = if is_latched { 503 } else { 200 };
        eventually("/readyz saying how it is", PATIENCE, || {
            let ready = client.get("/readyz").expect("an answer");
            (ready.status == wanted).then_some(())
        });
        if is_latched {
            self.registry.restart();
        }
    }
}

/// Everything that a client does, one after the other, whatever comes of it.
fn course(client: &Client, repository: &str, random: &mut Random) -> Vec<Option<Reply>> {
    let layers = (0..2).map(|_| goods::random_blob(random, 20_000)).collect();
    let image = goods::image(random, layers, None, true);
    let mut ways = [Way::Chunked(2), Way::Single, Way::Streamed]
        .into_iter()
        .cycle();
    let mut way = || ways.next().expect("a way");
    let pushed = client.push(repository, Some("new"), &image, &mut way);
    let about = goods::image(random, Vec::new(), Some(&image), true);
    let referrer = client.push(repository, None, &about, &mut way);
    // Once more: what was refused may be acknowledged now.
    let moved = client.push(repository, Some("kept"), &image, &mut way);
    let key = Key::Manifest(repository.to_owned(), image.digest.clone());
    let pulled = client.pull(&key);
    let gone = Key::Tag(repository.to_owned(), "new".to_owned());
    let deleted = client.delete(&gone);
    let manifest = Key::Manifest(repository.to_owned(), about.digest.clone());
    let deleted_too = client.delete(&manifest);
    vec![pushed, referrer, moved, pulled, deleted, deleted_too]
}

/// The calls that were made to fail, without what differs from run to run.
fn injections(trace: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace).expect("the trace");
    text.lines()
        .filter(|line| line.contains("(INJECTED)"))
        .map(|line| {
            let call = line.split_once(' ').map_or(line, |(_, call)| call).trim();
            let call = call.split(" = ").next().unwrap_or(call);
            let from = call.find("docker/registry").unwrap_or(0);
            let name = call.split('(').next().unwrap_or_default();
            format!("{name} {}", without_numbers(&call[from..]))
        })
        .collect()
}

/// Digests, ids and numbers as one sign each.
fn without_numbers(text: &str) -> String {
    let is_hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !is_hex(c)) {
        let end = word.trim_end_matches(|c: char| !is_hex(c));
        let has_digit = end.chars().any(|c| c.is_ascii_digit());
        if has_digit && end != "256" && end != "2" {
            out.push('#');
            out.push_str(&word[end.len()..]);
        } else {
            out.push_str(word);
        }
    }
    out
}

/// A running strace.
struct Tracer {
    child: Child,
}

impl Tracer {
    fn attach(pid: u32, trace: &Path, calls: &str, rule: &str) -> Tracer {
        let said = trace.with_extension("said");
        let output = File::create(&said).expect("a file");
        let _ = fs::remove_file(trace);
        let child = Command::new("strace")
            .args(["-f", "-y", "-s", "300", "-o"])
            .arg(trace)
            .args(["-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={rule}")])
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("strace started");
        let tracer = Tracer { child };
        eventually("strace attached", PATIENCE, || {
            let said = fs::read_to_string(&said).ok()?;
            said.contains("attached").then_some(())
        });
        tracer
    }

    /// Lets the server go on untraced.
    fn detach(mut self) {
        self.interrupt();
        eventually("strace detached", PATIENCE, || {
            self.child.try_wait().expect("its state")
        });
    }

    fn interrupt(&self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::INT);
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.interrupt();
        let _ = self.child.wait();
    }
}
