//! Breadth first through everything that can happen: the first broken promise
//! that is found is one of the shortest.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::push::Steps;
use crate::world::{Config, State};

/// What a search has found.
pub struct Outcome {
    /// Different states that were seen.
    pub states: usize,
    /// Steps of the longest way.
    pub depth: usize,
    /// The steps to a broken promise.
    pub broken: Option<Vec<String>>,
    /// That the model does something at all.
    pub seen: Seen,
}

/// What happened somewhere in the search.
#[derive(Default, Debug, Clone, Copy)]
pub struct Seen {
    pub collected: bool,
    pub acknowledged_during_a_run: bool,
    pub acknowledged_during_a_mark: bool,
    pub fresh_name: bool,
    pub made_void: bool,
}

impl Config {
    fn next(&self, state: &State, told: bool, steps: &mut Steps) {
        for p in 0..state.pushers.len() {
            self.push(state, p, told, steps);
        }
        for c in 0..self.collectors {
            self.collect(state, c, told, steps);
        }
        self.sweep(state, told, steps);
        self.others(state, told, steps);
    }

    /// Looks at every state that can be reached, or until a promise is broken,
    /// or until `most` states were seen.
    pub fn search(&self, most: usize) -> Outcome {
        let begin = self.begin();
        let mut known: HashSet<u64, BuildHasherDefault<Plain>> = HashSet::default();
        known.insert(fingerprint(&begin));
        let mut queue = VecDeque::from([(begin, 0_usize)]);
        let (mut steps, mut depth, mut seen) = (Vec::new(), 0, Seen::default());
        while let Some((state, at)) = queue.pop_front() {
            depth = at;
            steps.clear();
            self.next(&state, false, &mut steps);
            for (_, next) in &steps {
                if self.is_broken(next) {
                    let broken = Some(self.way_to_a_break(at + 1));
                    return Outcome {
                        states: known.len(),
                        depth: at + 1,
                        broken,
                        seen,
                    };
                }
                if known.insert(fingerprint(next)) {
                    seen.note(&state, next);
                    queue.push_back((*next, at + 1));
                }
            }
            if known.len() > most {
                break;
            }
        }
        Outcome {
            states: known.len(),
            depth,
            broken: None,
            seen,
        }
    }

    /// The steps of the shortest break: searched again, with the way kept.
    fn way_to_a_break(&self, length: usize) -> Vec<String> {
        let begin = self.begin();
        let mut from: HashMap<State, Option<State>> = HashMap::from([(begin, None)]);
        let mut queue = VecDeque::from([(begin, 0_usize)]);
        let mut steps = Vec::new();
        while let Some((state, at)) = queue.pop_front() {
            steps.clear();
            self.next(&state, false, &mut steps);
            for (_, next) in &steps {
                if at < length && !from.contains_key(next) {
                    from.insert(*next, Some(state));
                    queue.push_back((*next, at + 1));
                }
                if self.is_broken(next) {
                    return self.told(&from, *next);
                }
            }
        }
        Vec::new()
    }

    fn told(&self, from: &HashMap<State, Option<State>>, end: State) -> Vec<String> {
        let mut way = Vec::new();
        let mut state = end;
        while let Some(Some(before)) = from.get(&state) {
            let mut steps = Vec::new();
            self.next(before, true, &mut steps);
            way.extend(
                steps
                    .into_iter()
                    .find(|(_, next)| *next == state)
                    .map(|(text, _)| text),
            );
            state = *before;
        }
        way.reverse();
        way
    }
}

impl Seen {
    /// What another search saw too.
    pub fn add(&mut self, other: Self) {
        self.collected |= other.collected;
        self.acknowledged_during_a_run |= other.acknowledged_during_a_run;
        self.acknowledged_during_a_mark |= other.acknowledged_during_a_mark;
        self.fresh_name |= other.fresh_name;
        self.made_void |= other.made_void;
    }

    /// Whether all of it happened.
    pub fn everything(&self) -> bool {
        self.collected
            && self.acknowledged_during_a_run
            && self.acknowledged_during_a_mark
            && self.fresh_name
            && self.made_void
    }

    fn note(&mut self, before: &State, after: &State) {
        for (before, after) in before.data.iter().zip(after.data) {
            self.collected |= before & !after != 0;
            self.fresh_name |= after & !before & !1 != 0;
        }
        let acked = before.acked != after.acked && after.acked.iter().any(|acked| *acked);
        self.acknowledged_during_a_run |= acked && after.runs != 0;
        self.acknowledged_during_a_mark |= acked && after.marks != 0;
        self.made_void |=
            after.decided & !before.decided != 0 && after.decisions == before.decisions;
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = Mixed(0x9e37_79b9_7f4a_7c15);
    state.hash(&mut hasher);
    hasher.finish()
}

/// 64 bits of a state.
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 60);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u64(&mut self, word: u64) {
        let mixed =
            u128::from(self.0 ^ word).wrapping_mul(0xda94_2042_e4dd_58b5_9e6c_63d0_a7f3_2c85);
        self.0 = (mixed ^ mixed >> 64) as u64 ^ self.0.rotate_left(23);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ mixed >> 32
    }
}

/// A set of fingerprints needs no hash of its own.
#[derive(Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
