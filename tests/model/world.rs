//! What the model knows: the store as its processes see it, who they are and how
//! far each is. Names of steps are those of `registry::gc`.

use std::ops::Range;

/// The cells: two layers, two manifests' own bytes.
pub const CELLS: usize = 4;
/// The names of each cell: `data`, and `data.<id>` of each pusher.
pub const NAMES: usize = 3;
/// Pushers, and the most collectors.
pub const TWO: usize = 2;
/// Runs that one collector may make.
pub const RUNS: u8 = 4;

/// A protocol that is known, or ours with one thing left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weak {
    /// Ours.
    Nothing,
    /// Mark, list, sweep.
    Naive,
    /// List, mark, sweep what was listed (distribution's pull request 3544).
    ListFirst,
    /// Pushes touch what they find, the sweep leaves what was touched.
    Touch,
    NoIntent,
    MarkRegisteredLate,
    RunRegisteredLate,
    LinksBeforeIntents,
    PushedBeforeIntents,
    RunWithoutIntents,
    NothingPushed,
    PushedAfterLook,
    UndecidedIsEmpty,
    CheckBeforeDecision,
    NoLastLook,
    IntentDroppedEarly,
    RunWithdrawnEarly,
    DoomedNameReused,
    OwnNameUnchecked,
    DirectChildrenOnly,
    MarkNotLookedAt,
    RunNotLookedAt,
    /// Whoever goes on with a mark registers it anew, if it is gone.
    ResumesAnew,
    NoFreshNames,
    /// Of the removal of links.
    PushDoesNotWait,
    SweepLinksBeforeIntents,
    SweepWithoutIntents,
    SweepEndsEarly,
}

/// What the two pushers push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// m0 needs b0, m1 needs b0 and b1.
    Shared,
    /// Both push m0, which needs b0 and b1.
    Same,
    /// m1 is an index of m0, which needs b0.
    Index,
}

/// What is there at the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    Empty,
    /// The layers, which nothing needs.
    Garbage,
    /// m0, acknowledged, which a user deletes at some moment.
    Deleting,
}

/// Who removes links beside the pushes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sweeps {
    Nobody,
    /// Layer links that no manifest needs.
    Layers,
    /// The manifest m0, unless an index names it.
    Untagged,
}

/// Which registrations are taken for those of the dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sealer {
    Nobody,
    Marks,
    /// Marks, and runs that nobody has decided.
    All,
}

#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub weak: Weak,
    pub scenario: Scenario,
    pub start: Start,
    pub collectors: usize,
    /// Marks that each collector makes, one after the other.
    pub marks: u8,
    /// Runs of each mark: 1 or 2.
    pub batches: u8,
    pub retries: u8,
    pub sweeps: Sweeps,
    /// Which registrations somebody takes for those of the dead.
    pub sealer: Sealer,
    /// Whether the first collector saves checkpoints, from which one that
    /// follows it goes on; with a second one that does it, whether or not the
    /// first still lives. Links are read in two steps then.
    pub resumes: bool,
}

/// Where a push is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Push {
    Head(u8),
    Look(u8),
    Put(u8, u8),
    LinkLayer(u8),
    P1,
    P2,
    P2Wait,
    P3Decisions,
    P3Check(u8, u8),
    P4Own,
    P5,
    P7,
    P6,
    P8,
    P8Withdraw,
    P9,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pusher {
    pub at: Push,
    /// What was registered at P2.
    pub marks: u8,
    pub runs: u8,
    /// The names that their decisions list.
    pub doomed: u16,
    /// The cells that it uploaded.
    pub uploaded: u8,
    pub retries: u8,
    /// A user's delete took its link.
    pub overlapped: bool,
}

/// Where a collection is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Collect {
    /// Waits for a checkpoint to go on from.
    Resume,
    C1,
    C2,
    C3,
    C3Rest,
    C4,
    R1,
    R2,
    R3,
    R4,
    R5,
    R5Look,
    R6,
    R7,
    R8,
    C7,
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Collector {
    pub at: Collect,
    /// Marks begun, runs begun, batches of this mark begun.
    pub mark: u8,
    pub run: u8,
    pub batch: u8,
    /// Whether it went on where another one was.
    pub resumed: bool,
    pub reached: u8,
    pub candidates: u16,
    /// What this run will remove, and what of it is still there.
    pub condemned: u16,
}

/// What a later process needs to go on with a mark.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Checkpoint {
    /// What is to be done next.
    pub at: Collect,
    pub reached: u8,
}

/// Where the removal of links is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sweep {
    D1,
    D2,
    D3,
    D4,
    D5,
    Done,
}

/// Where the sealing of a run that nobody has decided is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Seal {
    Nothing,
    Voided(u8),
    Removed(u8),
    Done,
}

/// Everything at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub data: [u8; CELLS],
    /// Layers that the repository links.
    pub layers: u8,
    pub linked: [bool; TWO],
    pub intents: u8,
    pub marks: u8,
    pub runs: u8,
    /// Which runs have a decision, and what it lists.
    pub decided: u8,
    pub decisions: [u16; TWO * RUNS as usize],
    /// Who left what it pushed, for each mark.
    pub pushed: [u8; TWO * 2],
    pub announced: bool,
    pub touched: u8,
    pub pushers: [Pusher; TWO],
    pub collectors: [Collector; TWO],
    pub saved: Option<Checkpoint>,
    pub sweep: Sweep,
    pub spared: u8,
    pub seal: Seal,
    pub deleted: bool,
    /// Acknowledged, and nobody has deleted it since.
    pub acked: [bool; TWO],
}

impl Config {
    pub fn naive(&self) -> bool {
        matches!(self.weak, Weak::Naive | Weak::ListFirst | Weak::Touch)
    }

    /// The manifest that a pusher pushes.
    pub fn manifest(&self, pusher: usize) -> usize {
        match self.scenario {
            Scenario::Same => 0,
            _ => pusher,
        }
    }

    /// The layers that a client uploads for a manifest.
    pub fn layers(&self, manifest: usize) -> &'static [u8] {
        match (self.scenario, manifest) {
            (Scenario::Shared | Scenario::Index, 0) => &[0],
            (Scenario::Shared, _) | (Scenario::Same, _) => &[0, 1],
            (Scenario::Index, _) => &[],
        }
    }

    /// Every cell that a push looks for.
    pub fn needs(&self, manifest: usize) -> &'static [u8] {
        match (self.scenario, manifest) {
            (Scenario::Index, 1) if self.weak == Weak::DirectChildrenOnly => &[2],
            (Scenario::Index, 1) => &[2, 0],
            _ => self.layers(manifest),
        }
    }

    /// Every cell of an image.
    pub fn reaches(&self, manifest: usize) -> u8 {
        let needs: &[u8] = match (self.scenario, manifest) {
            (Scenario::Index, 1) => &[2, 0],
            _ => self.layers(manifest),
        };
        needs
            .iter()
            .fold(1 << (2 + manifest), |mask, cell| mask | 1 << cell)
    }

    pub fn begin(&self) -> State {
        let mut data = [0; CELLS];
        let mut layers = 0;
        let mut there = [false; TWO];
        match self.start {
            Start::Empty => {}
            Start::Garbage => {
                data[0] = 1;
                data[1] = 1;
                layers = 0b11;
            }
            Start::Deleting => {
                for (cell, names) in data.iter_mut().enumerate() {
                    *names = self.reaches(0) >> cell & 1;
                }
                layers = self.reaches(0) & 0b11;
                there[0] = true;
            }
        }
        let mut begin = State {
            data,
            layers,
            linked: there,
            intents: 0,
            marks: 0,
            runs: 0,
            decided: 0,
            decisions: [0; TWO * RUNS as usize],
            pushed: [0; TWO * 2],
            announced: false,
            touched: 0,
            pushers: [Pusher {
                at: Push::Head(0),
                marks: 0,
                runs: 0,
                doomed: 0,
                uploaded: 0,
                retries: self.retries,
                overlapped: false,
            }; TWO],
            collectors: [Collector {
                at: Collect::C1,
                mark: 0,
                run: 0,
                batch: 0,
                resumed: false,
                reached: 0,
                candidates: 0,
                condemned: 0,
            }; TWO],
            saved: None,
            sweep: if self.sweeps == Sweeps::Nobody {
                Sweep::Done
            } else {
                Sweep::D1
            },
            spared: 0,
            seal: if self.sealer == Sealer::All {
                Seal::Nothing
            } else {
                Seal::Done
            },
            deleted: self.start != Start::Deleting || self.sweeps == Sweeps::Untagged,
            acked: there,
        };
        if self.resumes && self.collectors == 2 {
            begin.collectors[1].at = Collect::Resume;
        }
        if self.sweeps == Sweeps::Untagged {
            // Only the index is pushed: a manifest without a tag has no promise.
            begin.pushers[0].at = Push::Done;
        }
        begin
    }

    /// Whether an image has all that a pull of it needs.
    pub fn is_whole(&self, state: &State, manifest: usize) -> bool {
        let reached = self.reaches(manifest);
        let bytes = (0..CELLS).all(|cell| reached >> cell & 1 == 0 || state.data[cell] != 0);
        let links = self.sweeps != Sweeps::Layers
            || self
                .layers(manifest)
                .iter()
                .all(|layer| state.layers >> layer & 1 == 1);
        let child = self.sweeps != Sweeps::Untagged || manifest == 0 || state.linked[0];
        bytes && links && child
    }

    /// An acknowledged image is not what it was.
    pub fn is_broken(&self, state: &State) -> bool {
        (0..TWO).any(|manifest| {
            state.acked[manifest] && !(state.linked[manifest] && self.is_whole(state, manifest))
        })
    }

    /// A mark's number; a run's number.
    pub fn mark(&self, collector: usize, mark: u8) -> usize {
        if self.resumes {
            // A checkpoint's mark stays what it was.
            return mark as usize;
        }
        collector * 2 + mark as usize
    }

    pub fn run(&self, collector: usize, run: u8) -> usize {
        collector * RUNS as usize + run as usize
    }
}

impl State {
    /// What the manifests whose links are there reach.
    pub fn linked(&self, config: &Config) -> u8 {
        self.linked_of(config, 0..TWO)
    }

    /// What some of them reach.
    pub fn linked_of(&self, config: &Config, manifests: Range<usize>) -> u8 {
        manifests
            .filter(|m| self.linked[*m])
            .fold(0, |mask, m| mask | config.reaches(m))
    }

    /// What the pushes of a set reach.
    pub fn pushes(&self, config: &Config, set: u8) -> u8 {
        (0..TWO)
            .filter(|p| set >> p & 1 == 1)
            .fold(0, |mask, p| mask | config.reaches(config.manifest(p)))
    }

    /// Every name that is there.
    pub fn names(&self) -> u16 {
        (0..CELLS).fold(0, |mask, cell| {
            mask | u16::from(self.data[cell]) << (cell * NAMES)
        })
    }
}

/// What of `names` belongs to none of these cells.
pub fn without(names: u16, cells: u8) -> u16 {
    (0..CELLS)
        .filter(|cell| cells >> cell & 1 == 1)
        .fold(names, |left, cell| left & !(0b111 << (cell * NAMES)))
}

/// One name of one cell.
pub fn name(cell: u8, name: u8) -> u16 {
    1 << (cell as usize * NAMES + name as usize)
}
