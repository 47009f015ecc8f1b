//! Pushes beside a process that applies retention all the time: an index that
//! was acknowledged has its children, though their own tags were just going.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::check::clean;
use crate::content::{self, IMAGE, INDEX, bytes, sha256};
use crate::process::binary;
use crate::repo::Repo;
use crate::support::{Finished, Needs, Registry, run, say};

/// What was pushed within it stays in any case.
const MOMENT: Duration = Duration::from_secs(2);

/// How long before that the first indexes come.
const LEAD: Duration = Duration::from_millis(700);

const PUSHERS: usize = 8;

/// An index that was acknowledged: its tag and children.
type Acknowledged = (String, Vec<String>);

#[test]
fn an_acknowledged_index_keeps_children_that_were_just_going() {
    let needs = Needs::of("strace").program("strace", "apt install strace");
    if !needs.met() {
        return;
    }
    let long = std::env::var_os("WHARF_LONG").is_some();
    let time = Duration::from_secs(if long { 180 } else { 8 });
    let server = Registry::with()
        .section(
            "retention: {interval: 24h, rules: [{repositories: '**', keep: {tags: [keep-*]}}]}",
        )
        .start();
    let (ends, runs) = (Instant::now() + time, AtomicU64::new(0));
    let (pushing, refused) = (AtomicBool::new(true), AtomicU64::new(0));
    let acknowledged: Vec<Acknowledged> = thread::scope(|scope| {
        let pushers: Vec<_> = (0..PUSHERS)
            .map(|pusher| {
                let (repo, refused) = (Repo::on(&server, "raced"), &refused);
                scope.spawn(move || push(&repo, pusher, ends, refused))
            })
            .collect();
        scope.spawn(|| {
            while pushing.load(Ordering::Relaxed) {
                let applied = slowly(&server);
                assert!(applied.success(), "{applied}");
                runs.fetch_add(1, Ordering::Relaxed);
            }
        });
        let all: Vec<_> = pushers.into_iter().map(|one| one.join()).collect();
        pushing.store(false, Ordering::Relaxed);
        all.into_iter().flat_map(Result::unwrap).collect()
    });
    say(&format!(
        "{} indexes acknowledged and {} refused beside {} runs of retention",
        acknowledged.len(),
        refused.load(Ordering::Relaxed),
        runs.load(Ordering::Relaxed)
    ));
    assert!(acknowledged.len() > 1 && runs.load(Ordering::Relaxed) > 1);
    let repo = Repo::on(&server, "raced");
    for (tag, children) in &acknowledged {
        repo.get(&format!("manifests/{tag}")).expect(200);
        for child in children {
            repo.get(&format!("manifests/{child}")).expect(200);
        }
    }
    clean(&server);
}

/// Applies retention, with some time between the plan and its announcement.
fn slowly(server: &Registry) -> Finished {
    const RENAMES: &str = "rename,renameat,renameat2,linkat";
    let delay = format!("inject={RENAMES}:delay_enter=200000");
    run("strace")
        .dir(server.dir())
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &delay])
        .arg(binary())
        .args(["retention", "apply", "config.yml", "--yes"])
        .limit(Duration::from_secs(60))
        .output()
}

/// Pushes children under tags that go, and an index of them about when they do.
fn push(repo: &Repo, pusher: usize, ends: Instant, refused: &AtomicU64) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if Instant::now() >= ends {
            break;
        }
        let mut pushed = Instant::now();
        let children = ["a", "b"].map(|part| {
            let name = format!("{pusher}-{number}-{part}");
            let image = repo.image(&name);
            repo.put(&format!("goes-{name}"), IMAGE, &image).expect(201);
            pushed = Instant::now();
            image
        });
        // A run comes every few hundred milliseconds: some are before it, some
        // behind it.
        let step = Duration::from_millis((number * 7 + pusher as u64 * 3) % 10 * 100);
        thread::sleep((MOMENT - LEAD + step).saturating_sub(pushed.elapsed()));
        let parts: Vec<_> = children.iter().map(|one| (IMAGE, &one[..])).collect();
        let index = bytes(&content::index(&parts));
        let tag = format!("keep-{pusher}-{number}");
        match repo.put(&tag, INDEX, &index).status {
            201 => acknowledged.push((tag, children.iter().map(|one| sha256(one)).collect())),
            // A child had gone: its pusher knows, and would push it again.
            400 | 404 => drop(refused.fetch_add(1, Ordering::Relaxed)),
            other => panic!("{tag}: {other}"),
        }
    }
    acknowledged
}
