//! The steps of a push: HEAD, upload, then the manifest's PUT.

use crate::world::{Config, NAMES, Push, Scenario, State, Sweeps, TWO, Weak, name};

/// Where a step leads: what was done, and what is then.
pub type Steps = Vec<(String, State)>;

impl Config {
    /// Every next step of a pusher.
    pub fn push(&self, state: &State, p: usize, told: bool, steps: &mut Steps) {
        let manifest = self.manifest(p);
        let pusher = &state.pushers[p];
        let (layers, needs) = (self.layers(manifest), self.needs(manifest));
        let own = 2 + manifest as u8;
        let mut go = |what: &dyn Fn() -> String, at: Push, change: &dyn Fn(&mut State)| {
            let mut next = *state;
            change(&mut next);
            next.pushers[p].at = at;
            let text = if told {
                format!("push {p}: {}", what())
            } else {
                String::new()
            };
            steps.push((text, next));
        };
        let nothing = |_: &mut State| {};
        let after_layers = match self.weak {
            _ if self.naive() => Push::P3Check(0, 0),
            Weak::NoIntent => Push::P2,
            _ => Push::P1,
        };
        let after_layer = |i: u8| {
            if usize::from(i) + 1 < layers.len() {
                Push::Head(i + 1)
            } else {
                after_layers
            }
        };
        let checked = |need: u8| {
            if usize::from(need) + 1 < needs.len() {
                Push::P3Check(need + 1, 0)
            } else if self.weak == Weak::CheckBeforeDecision && pusher.runs != 0 {
                Push::P3Decisions
            } else {
                Push::P4Own
            }
        };
        match pusher.at {
            Push::Head(_) if layers.is_empty() => {
                go(&|| "has no layers".into(), after_layers, &nothing)
            }
            Push::Head(i) => {
                let layer = layers[usize::from(i)];
                if state.data[usize::from(layer)] != 0 && state.layers >> layer & 1 == 1 {
                    let touch = |next: &mut State| next.touched |= 1 << layer;
                    go(&|| format!("HEAD b{layer}: there"), after_layer(i), &touch);
                } else {
                    go(
                        &|| format!("HEAD b{layer}: absent"),
                        Push::Look(i),
                        &nothing,
                    );
                }
            }
            Push::Look(i) => {
                let layer = layers[usize::from(i)];
                let to = self.place(p, layer, doomed_now(state));
                go(
                    &|| format!("U b{layer}: will be name {to}"),
                    Push::Put(i, to),
                    &nothing,
                );
            }
            Push::Put(i, to) => {
                let layer = layers[usize::from(i)];
                let write = |next: &mut State| {
                    next.data[usize::from(layer)] |= 1 << to;
                    next.touched |= 1 << layer;
                    next.pushers[p].uploaded |= 1 << layer;
                };
                go(
                    &|| format!("U b{layer}: writes name {to}"),
                    Push::LinkLayer(i),
                    &write,
                );
            }
            Push::LinkLayer(i) => {
                let layer = layers[usize::from(i)];
                let link = |next: &mut State| next.layers |= 1 << layer;
                go(&|| format!("U b{layer}: 201"), after_layer(i), &link);
            }
            Push::P1 => {
                let post = |next: &mut State| next.intents |= 1 << p;
                go(&|| "P1 posts its intent".into(), Push::P2, &post);
            }
            Push::P2 => {
                let (marks, runs) = (state.marks, state.runs);
                let seen = |next: &mut State| {
                    next.pushers[p].marks = marks;
                    next.pushers[p].runs = runs;
                };
                go(
                    &|| format!("P2 sees marks {marks:b}, runs {runs:b}"),
                    Push::P2Wait,
                    &seen,
                );
            }
            Push::P2Wait => {
                let ends = self.weak == Weak::PushDoesNotWait || !state.announced;
                let linked = self.scenario != Scenario::Index || manifest == 0 || state.linked[0];
                let first = if needs.is_empty() {
                    Push::P4Own
                } else {
                    Push::P3Check(0, 0)
                };
                match (ends, linked) {
                    (false, _) => {}
                    (true, false) => {
                        go(&|| "P3: its child is not linked".into(), Push::P9, &nothing)
                    }
                    (true, true) if pusher.runs == 0 || self.weak == Weak::CheckBeforeDecision => {
                        go(&|| "P2 nothing is removed".into(), first, &nothing);
                    }
                    (true, true) => go(
                        &|| "P2 nothing is removed".into(),
                        Push::P3Decisions,
                        &nothing,
                    ),
                }
            }
            Push::P3Decisions => {
                let run = pusher.runs.trailing_zeros() as usize;
                let left = pusher.runs & !(1 << run);
                let last = left == 0;
                let at = match (last, self.weak) {
                    (false, _) => Push::P3Decisions,
                    (true, Weak::CheckBeforeDecision) => Push::P4Own,
                    (true, _) => Push::P3Check(0, 0),
                };
                if state.decided >> run & 1 == 1 {
                    let listed = state.decisions[run];
                    let heed = |next: &mut State| {
                        next.pushers[p].runs = left;
                        next.pushers[p].doomed |= listed;
                    };
                    go(&|| format!("P3 run {run} removes {listed:012b}"), at, &heed);
                } else {
                    let void = |next: &mut State| {
                        next.pushers[p].runs = left;
                        if self.weak != Weak::UndecidedIsEmpty {
                            next.decided |= 1 << run;
                            next.decisions[run] = 0;
                        }
                    };
                    go(&|| format!("P3 makes run {run} void"), at, &void);
                }
            }
            Push::P3Check(need, n) => {
                let cell = needs[usize::from(need)];
                let heeded =
                    !(self.weak == Weak::DoomedNameReused && pusher.uploaded >> cell & 1 == 1);
                let doomed = heeded && pusher.doomed & name(cell, n) != 0;
                let linked = self.sweeps != Sweeps::Layers
                    || cell >= 2
                    || !layers.contains(&cell)
                    || state.layers >> cell & 1 == 1;
                if state.data[usize::from(cell)] >> n & 1 == 1 && !doomed && linked {
                    go(
                        &|| format!("P3 cell {cell}, name {n}: there"),
                        checked(need),
                        &nothing,
                    );
                } else if usize::from(n) + 1 < NAMES && !self.naive() {
                    go(
                        &|| format!("P3 cell {cell}, name {n}: no"),
                        Push::P3Check(need, n + 1),
                        &nothing,
                    );
                } else {
                    go(
                        &|| format!("P3 cell {cell} has no name"),
                        Push::P9,
                        &nothing,
                    );
                }
            }
            Push::P4Own => {
                let doomed = if self.weak == Weak::OwnNameUnchecked {
                    0
                } else {
                    pusher.doomed
                };
                let to = self.place(p, own, doomed);
                let write = |next: &mut State| {
                    next.data[usize::from(own)] |= 1 << to;
                    next.touched |= 1 << own;
                };
                go(
                    &|| format!("P4 writes its bytes, name {to}"),
                    Push::P5,
                    &write,
                );
            }
            Push::P5 if self.weak == Weak::IntentDroppedEarly && state.intents >> p & 1 == 1 => {
                let drop = |next: &mut State| next.intents &= !(1 << p);
                go(&|| "drops its intent".into(), Push::P5, &drop);
            }
            Push::P5 => {
                let link = |next: &mut State| next.linked[manifest] = true;
                let at = match self.weak {
                    _ if self.naive() => Push::P8,
                    Weak::NoIntent => Push::P8,
                    Weak::PushedAfterLook => Push::P6,
                    _ if pusher.marks != 0 && self.weak != Weak::NothingPushed => Push::P7,
                    Weak::NoLastLook | Weak::IntentDroppedEarly => Push::P8,
                    _ => Push::P6,
                };
                go(&|| "P5 links".into(), at, &link);
            }
            Push::P7 => {
                let leave = |next: &mut State| {
                    for mark in 0..TWO * 2 {
                        if pusher.marks >> mark & 1 == 1 {
                            next.pushed[mark] |= 1 << p;
                        }
                    }
                };
                let at = match self.weak {
                    Weak::NoLastLook | Weak::IntentDroppedEarly => Push::P8,
                    Weak::PushedAfterLook => Push::Done,
                    _ => Push::P6,
                };
                go(&|| "P7 leaves what it pushed".into(), at, &leave);
            }
            Push::P6 if state.intents >> p & 1 == 1 => {
                go(&|| "P6 its intent is there".into(), Push::P8, &nothing);
            }
            Push::P6 => go(&|| "P6 its intent is gone".into(), Push::P9, &nothing),
            Push::P8 => {
                // What a delete has taken since was pushed before it.
                let stands = !pusher.overlapped;
                let answer = |next: &mut State| next.acked[manifest] |= stands;
                go(&|| "P8 201".into(), Push::P8Withdraw, &answer);
            }
            Push::P8Withdraw => {
                let late = self.weak == Weak::PushedAfterLook && pusher.marks != 0;
                let withdraw = |next: &mut State| next.intents &= !(1 << p);
                let at = if late { Push::P7 } else { Push::Done };
                go(&|| "P8 withdraws its intent".into(), at, &withdraw);
            }
            Push::P9 => {
                let again = pusher.retries > 0;
                let end = |next: &mut State| {
                    next.intents &= !(1 << p);
                    let pusher = &mut next.pushers[p];
                    pusher.retries = pusher.retries.saturating_sub(1);
                    (pusher.marks, pusher.runs, pusher.doomed, pusher.uploaded) = (0, 0, 0, 0);
                };
                let at = if again { Push::Head(0) } else { Push::Done };
                go(&|| "P9 400".into(), at, &end);
            }
            Push::Done => {}
        }
    }

    /// The name under which a cell's bytes are written.
    fn place(&self, p: usize, cell: u8, doomed: u16) -> u8 {
        let reuse = self.naive() || self.weak == Weak::DoomedNameReused;
        if reuse || doomed & name(cell, 0) == 0 || self.weak == Weak::NoFreshNames {
            0
        } else {
            1 + p as u8
        }
    }
}

/// What the decisions of registered runs list now.
fn doomed_now(state: &State) -> u16 {
    (0..state.decisions.len())
        .filter(|run| state.runs >> run & 1 == 1)
        .fold(0, |doomed, run| doomed | state.decisions[run])
}
