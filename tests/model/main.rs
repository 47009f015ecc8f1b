//! The protocol of garbage collection, searched exhaustively: every interleaving
//! of two pushes with their uploads, collections, the removal of links, a user's
//! delete, and whoever clears up after processes that seem dead; each operation
//! of the store is one step, and any process may stop for ever at any step.
//!
//! An acknowledged image that nobody deleted is linked and whole, in every state
//! that can be reached. Each known protocol, and ours with any one thing left
//! out, breaks that, and the search finds how. Normally the smaller searches run;
//! `WHARF_LONG=1` adds a second try for each push, several marks and runs, two
//! collectors at once; docs/garbage-collection.md has the figures.

#![allow(clippy::indexing_slicing, clippy::panic)]

mod collect;
mod push;
mod search;
mod world;

use search::{Outcome, Seen};
use world::{Config, Scenario, Sealer, Start, Sweeps, Weak};

/// More states than any search in the list of weaknesses needs.
const MOST: usize = 3_000_000;

const SCENARIOS: [Scenario; 3] = [Scenario::Shared, Scenario::Same, Scenario::Index];
const STARTS: [Start; 3] = [Start::Empty, Start::Garbage, Start::Deleting];

const OURS: Config = Config {
    weak: Weak::Nothing,
    scenario: Scenario::Shared,
    start: Start::Garbage,
    collectors: 1,
    marks: 1,
    batches: 1,
    retries: 0,
    sweeps: Sweeps::Nobody,
    sealer: Sealer::Nobody,
    resumes: false,
};

/// What is left out, and where the shortest way to a loss begins.
fn weaknesses() -> Vec<Config> {
    use Scenario::{Index, Shared};
    use Start::{Deleting, Empty, Garbage};
    let of = |weak, scenario, start| Config {
        weak,
        scenario,
        start,
        ..OURS
    };
    let sweeping = |weak, scenario, start, sweeps| Config {
        sweeps,
        collectors: 0,
        ..of(weak, scenario, start)
    };
    let seeming_dead = |weak| Config {
        sealer: Sealer::All,
        ..of(weak, Shared, Garbage)
    };
    let resuming = |weak| Config {
        resumes: true,
        sealer: Sealer::Marks,
        ..of(weak, Shared, Garbage)
    };
    vec![
        of(Weak::Naive, Shared, Garbage),
        of(Weak::ListFirst, Shared, Garbage),
        of(Weak::Touch, Shared, Garbage),
        of(Weak::NoIntent, Shared, Garbage),
        of(Weak::MarkRegisteredLate, Shared, Garbage),
        of(Weak::RunRegisteredLate, Shared, Garbage),
        of(Weak::LinksBeforeIntents, Shared, Garbage),
        of(Weak::PushedBeforeIntents, Shared, Garbage),
        of(Weak::RunWithoutIntents, Shared, Garbage),
        of(Weak::NothingPushed, Shared, Garbage),
        of(Weak::PushedAfterLook, Shared, Garbage),
        of(Weak::UndecidedIsEmpty, Shared, Garbage),
        of(Weak::CheckBeforeDecision, Shared, Garbage),
        of(Weak::NoLastLook, Shared, Garbage),
        of(Weak::IntentDroppedEarly, Shared, Garbage),
        of(Weak::RunWithdrawnEarly, Shared, Garbage),
        of(Weak::DoomedNameReused, Shared, Empty),
        of(Weak::OwnNameUnchecked, Shared, Deleting),
        of(Weak::NoFreshNames, Shared, Deleting),
        of(Weak::DirectChildrenOnly, Index, Garbage),
        seeming_dead(Weak::MarkNotLookedAt),
        seeming_dead(Weak::RunNotLookedAt),
        resuming(Weak::ResumesAnew),
        sweeping(Weak::PushDoesNotWait, Shared, Garbage, Sweeps::Layers),
        sweeping(
            Weak::SweepLinksBeforeIntents,
            Shared,
            Garbage,
            Sweeps::Layers,
        ),
        sweeping(Weak::SweepWithoutIntents, Shared, Garbage, Sweeps::Layers),
        sweeping(Weak::SweepEndsEarly, Shared, Garbage, Sweeps::Layers),
        sweeping(Weak::PushDoesNotWait, Index, Deleting, Sweeps::Untagged),
        sweeping(
            Weak::SweepLinksBeforeIntents,
            Index,
            Deleting,
            Sweeps::Untagged,
        ),
        sweeping(Weak::SweepWithoutIntents, Index, Deleting, Sweeps::Untagged),
        sweeping(Weak::SweepEndsEarly, Index, Deleting, Sweeps::Untagged),
    ]
}

/// What must not lose anything; with `long` all of it.
fn ours(long: bool) -> Vec<Config> {
    let mut configs = Vec::new();
    for scenario in SCENARIOS {
        for start in STARTS {
            if !long && scenario == Scenario::Same && start != Start::Deleting {
                continue;
            }
            let base = Config {
                scenario,
                start,
                ..OURS
            };
            let sweeps = |sweeps, collectors| Config {
                sweeps,
                collectors,
                ..base
            };
            configs.extend([base, sweeps(Sweeps::Layers, 0)]);
            if scenario == Scenario::Index && start == Start::Deleting {
                configs.push(sweeps(Sweeps::Untagged, 0));
            }
            let resumed = Config {
                resumes: true,
                ..base
            };
            if long || (scenario == Scenario::Index && start == Start::Empty) {
                configs.push(resumed);
            }
            // With layers of its own for each push that is beyond any memory.
            if long && scenario == Scenario::Index {
                configs.push(sweeps(Sweeps::Nobody, 2));
                configs.push(Config {
                    resumes: true,
                    ..sweeps(Sweeps::Nobody, 2)
                });
            }
            if long {
                configs.push(Config {
                    sealer: Sealer::Marks,
                    ..resumed
                });
                configs.extend([
                    Config { batches: 2, ..base },
                    Config { marks: 2, ..base },
                    Config { retries: 1, ..base },
                    Config {
                        sealer: Sealer::All,
                        ..base
                    },
                    sweeps(Sweeps::Layers, 1),
                ]);
            }
        }
    }
    configs
}

#[test]
fn every_weakness_loses_something_and_is_found() {
    for config in weaknesses() {
        let outcome = config.search(MOST);
        let Outcome { states, broken, .. } = outcome;
        let way = broken.unwrap_or_else(|| panic!("nothing found of {config:?}, {states} states"));
        println!(
            "| {:?} | {:?}, {:?} | {states} | {} |",
            config.weak,
            config.scenario,
            config.start,
            way.len()
        );
        if std::env::var_os("WHARF_LONG").is_some() {
            println!("{}", way.join("\n"));
        }
    }
}

#[test]
fn ours_loses_nothing() {
    let long = std::env::var_os("WHARF_LONG").is_some();
    let mut seen = Seen::default();
    for config in ours(long) {
        let outcome = config.search(usize::MAX);
        println!(
            "| {:?}, {:?} | {} collectors, {} marks, {} runs, {} retries, {:?}{}{} | {} | {} |",
            config.scenario,
            config.start,
            config.collectors,
            config.marks,
            config.batches,
            config.retries,
            config.sweeps,
            match config.sealer {
                Sealer::Nobody => "",
                Sealer::Marks => ", marks sealed",
                Sealer::All => ", sealed",
            },
            if config.resumes { ", resumed" } else { "" },
            outcome.states,
            outcome.depth
        );
        if let Some(way) = outcome.broken {
            panic!("{config:?} loses an image:\n{}", way.join("\n"));
        }
        seen.add(outcome.seen);
    }
    // A model in which nothing happens is safe too.
    assert!(seen.everything(), "{seen:?}");
}
