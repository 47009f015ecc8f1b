//! The store fails: stopped, killed, slow, full, or a network on the way that
//! forges, loses and cuts. Clients get a clean 503 with Retry-After or a broken
//! connection, nothing is seen by half, /readyz tells, and all goes on by itself
//! when the store is back.

use std::time::{Duration, Instant};

use crate::careful::{Careful, Outcome};
use crate::random::Random;
use crate::support::{Fault, Needs, Proxy, Registry, S3Engine, Seen, eventually, run, say};
use crate::wire::Request;

/// How long the store is away.
const OUTAGE: Duration = Duration::from_secs(10);

/// In what time `/readyz` says that the store is away, and that it is back.
const NOTICED: Duration = Duration::from_secs(30);

#[test]
fn a_store_that_hangs_for_10_s_is_clean_503_and_comes_back() {
    if S3Engine::needs().met() {
        outage(
            |engine| engine.freeze(),
            |engine| engine.thaw(),
            "hung for 10 s",
        );
    }
}

#[test]
fn a_store_that_is_killed_for_10_s_is_clean_503_and_comes_back() {
    if S3Engine::needs().met() {
        outage(S3Engine::kill, S3Engine::launch, "dead for 10 s");
    }
}

/// Pushes and pulls before, while and after the store is away.
fn outage(away: impl Fn(&mut S3Engine), back: impl Fn(&mut S3Engine), what: &str) {
    let mut engine = S3Engine::start();
    let registry = Registry::with().s3(&engine.bucket()).start();
    let repo = Careful::on(&registry, "outage");
    let mut random = Random::of(1, 1);
    let (before, during, after) = (
        random.bytes(3_000_000),
        random.bytes(7_000_000),
        random.bytes(100_000),
    );
    assert_eq!(repo.push("before", &before), Outcome::Done);
    assert_eq!(ready(&registry), 200);

    let begun = Instant::now();
    away(&mut engine);
    let outcomes = std::thread::scope(|scope| {
        let pull = scope.spawn(|| Careful::on(&registry, "outage").pull("before", &before));
        let push = scope.spawn(|| Careful::on(&registry, "outage").push("during", &during));
        eventually("/readyz to notice", NOTICED, || {
            (ready(&registry) == 503).then_some(())
        });
        let noticed = begun.elapsed();
        // Alive all the same: nobody should restart it.
        assert_eq!(ask(&registry, "/livez"), 200);
        std::thread::sleep(OUTAGE.saturating_sub(begun.elapsed()));
        back(&mut engine);
        let returned = Instant::now();
        eventually("/readyz to be well again", NOTICED, || {
            (ready(&registry) == 200).then_some(())
        });
        say(&format!(
            "a store {what}: /readyz told it after {:.1} s, and that it is back after {:.1} s",
            noticed.as_secs_f64(),
            returned.elapsed().as_secs_f64()
        ));
        [pull.join().unwrap(), push.join().unwrap()]
    });
    assert!(!outcomes.contains(&Outcome::Broken), "{outcomes:?}");
    assert_eq!(repo.push("after", &after), Outcome::Done);
    assert_eq!(repo.pull("before", &before), Outcome::Done);
    assert_eq!(repo.push("during", &during), Outcome::Done);
    assert_eq!(repo.sound(), ["after", "before", "during"]);
}

#[test]
fn a_slow_store_makes_slow_answers_and_no_failures() {
    if !S3Engine::needs().met() {
        return;
    }
    let stage = Stage::new();
    let layer = Random::of(2, 1).bytes(6_000_000);
    stage.proxy.delay(Duration::from_millis(200));
    stage.proxy.throttle(4_000_000);
    assert_eq!(stage.repo.push("slow", &layer), Outcome::Done);
    assert_eq!(stage.repo.pull("slow", &layer), Outcome::Done);
}

#[test]
fn a_full_store_refuses_pushes_serves_pulls_and_takes_pushes_when_there_is_room() {
    let needs = Needs::of("a full store").root();
    if !S3Engine::needs().met() || !needs.met() {
        return;
    }
    let disk = SmallDisk::mount();
    let engine = S3Engine::start_in(disk.0.path());
    let registry = Registry::with().s3(&engine.bucket()).start();
    let repo = Careful::on(&registry, "full");
    let mut random = Random::of(3, 1);
    let kept = random.bytes(2_000_000);
    assert_eq!(repo.push("kept", &kept), Outcome::Done);
    let mut taken = 0;
    loop {
        match repo.push_blob(&random.bytes(16_000_000)) {
            Outcome::Done => taken += 1,
            Outcome::Unavailable => break,
            Outcome::Broken => panic!("a broken connection after {taken} blobs"),
        }
        assert!(taken < 40, "the store is never full");
    }
    let refused = random.bytes(12_000_000);
    assert_eq!(repo.push("refused", &refused), Outcome::Unavailable);
    assert_eq!(repo.pull("kept", &kept), Outcome::Done);
    assert_eq!(repo.sound(), ["kept"]);
    disk.enlarge();
    eventually("pushes to be taken again", Duration::from_secs(60), || {
        (repo.push("refused", &refused) == Outcome::Done).then_some(())
    });
    assert_eq!(repo.sound(), ["kept", "refused"]);
}

#[test]
fn a_few_errors_of_the_store_are_nothing_that_a_client_sees() {
    if !S3Engine::needs().met() {
        return;
    }
    let stage = Stage::new();
    let mut random = Random::of(4, 1);
    for (number, (status, code)) in [
        ("500 Internal Server Error", "InternalError"),
        ("503 Slow Down", "SlowDown"),
        ("503 Service Unavailable", "ServiceUnavailable"),
    ]
    .into_iter()
    .enumerate()
    {
        let layer = random.bytes(6_000_000);
        let tag = format!("v{number}");
        stage.proxy.fault(2, |_| true, Fault::s3(status, code));
        assert_eq!(stage.repo.push(&tag, &layer), Outcome::Done, "{code}");
        stage.proxy.fault(2, |_| true, Fault::s3(status, code));
        assert_eq!(stage.repo.pull(&tag, &layer), Outcome::Done, "{code}");
        assert_eq!(stage.proxy.faults_left(), 0);
    }
}

#[test]
fn a_store_that_keeps_failing_is_a_clean_503() {
    if !S3Engine::needs().met() {
        return;
    }
    let stage = Stage::new();
    let layer = Random::of(5, 1).bytes(100_000);
    assert_eq!(stage.repo.push("there", &layer), Outcome::Done);
    for fault in [
        Fault::s3("500 Internal Server Error", "InternalError"),
        Fault::s3("503 Slow Down", "SlowDown"),
        Fault::Cut,
    ] {
        stage.proxy.fault(usize::MAX, |_| true, fault.clone());
        let begun = Instant::now();
        let pulled = stage.repo.pull("there", &layer);
        assert_eq!(pulled, Outcome::Unavailable, "{fault:?}");
        let pushed = stage.repo.push("never", &layer);
        assert_eq!(pushed, Outcome::Unavailable, "{fault:?}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(90), "{fault:?}: {took:?}");
        stage.proxy.heal();
        assert_eq!(stage.repo.sound(), ["there"]);
    }
}

/// Each operation that a push consists of fails once, in each way; then the
/// same push is tried again by a client that was refused.
#[test]
fn whichever_answer_of_the_store_is_lost_nothing_is_seen_by_half() {
    if !S3Engine::needs().met() {
        return;
    }
    let stage = Stage::new();
    let mut random = Random::of(6, 1);
    // What a push of this size consists of.
    stage.proxy.forget();
    let large = 17_000_000;
    assert_eq!(
        stage.repo.push("first", &random.bytes(large)),
        Outcome::Done
    );
    let mut operations: Vec<&str> = stage.proxy.seen().iter().map(Seen::operation).collect();
    operations.sort_unstable();
    operations.dedup();
    say(&format!("faults in each of {operations:?}"));
    for operation in operations {
        for fault in [
            Fault::LoseAnswer,
            Fault::Cut,
            Fault::s3("500 Internal Server Error", "InternalError"),
        ] {
            stage.spoil(operation, 1, fault, random.bytes(large));
        }
    }
    for operation in ["CompleteMultipartUpload", "CopyObject", "UploadPartCopy"] {
        stage.spoil(operation, 1, Fault::error_in_200(), random.bytes(large));
        stage.spoil(operation, 99, Fault::error_in_200(), random.bytes(large));
    }
}

#[test]
fn a_pull_whose_connection_to_the_store_breaks_is_never_wrong() {
    if !S3Engine::needs().met() {
        return;
    }
    let stage = Stage::new();
    let layer = Random::of(7, 1).bytes(24_000_000);
    assert_eq!(stage.repo.push("cut", &layer), Outcome::Done);
    for after in [1, 70_000, 1_000_000, 9_000_000] {
        stage.proxy.cut_after(after);
        // Careful compares what came; broken is as good as done.
        let outcome = stage.repo.pull("cut", &layer);
        say(&format!("connections cut after {after} bytes: {outcome:?}"));
        stage.proxy.heal();
        assert_eq!(stage.repo.pull("cut", &layer), Outcome::Done);
    }
    stage.proxy.cut_after(3_000_000);
    let outcome = stage
        .repo
        .push("cut-push", &Random::of(8, 1).bytes(20_000_000));
    assert_ne!(outcome, Outcome::Broken);
    stage.proxy.heal();
    stage.repo.sound();
}

/// A registry that reaches its store through a proxy.
struct Stage {
    proxy: Proxy,
    repo: Careful,
    _registry: Registry,
}

impl Stage {
    fn new() -> Stage {
        let engine = S3Engine::shared();
        let proxy = Proxy::to(&engine.host());
        let bucket = engine.bucket().through(&proxy);
        let registry = Registry::with().s3(&bucket).start();
        Stage {
            repo: Careful::on(&registry, "faulty"),
            _registry: registry,
            proxy,
        }
    }

    /// A push while `count` requests of one operation fail.
    fn spoil(&self, operation: &'static str, count: usize, fault: Fault, layer: Vec<u8>) {
        let what = format!("{count} x {fault:?} of {operation}");
        self.proxy
            .fault(count, move |seen| seen.operation() == operation, fault);
        let outcome = self.repo.push("spoiled", &layer);
        self.proxy.heal();
        assert_ne!(outcome, Outcome::Broken, "{what}");
        self.repo.sound();
        if outcome == Outcome::Unavailable {
            assert_eq!(self.repo.push("spoiled", &layer), Outcome::Done, "{what}");
        }
        assert_eq!(self.repo.pull("spoiled", &layer), Outcome::Done, "{what}");
    }
}

/// A file system in memory that is soon full.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> SmallDisk {
        let dir = tempfile::TempDir::with_prefix("wharf-small-").unwrap();
        let mount = run("mount").args(["-t", "tmpfs", "-o", "size=160m", "none"]);
        mount.arg(dir.path()).ok();
        SmallDisk(dir)
    }

    fn enlarge(&self) {
        let mount = run("mount").args(["-o", "remount,size=600m"]);
        mount.arg(self.0.path()).ok();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount").arg("-l").arg(self.0.path()).output();
    }
}

fn ready(registry: &Registry) -> u16 {
    ask(registry, "/readyz")
}

fn ask(registry: &Registry, path: &str) -> u16 {
    Request::new(registry.host(), "GET", path).send().status
}
