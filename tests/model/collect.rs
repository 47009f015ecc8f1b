//! The steps of a collection, of the removal of links, of a user's delete, of
//! whoever clears up after the dead.

use crate::push::Steps;
use crate::world::{
    CELLS, Checkpoint, Collect, Config, NAMES, Push, Seal, Sealer, State, Sweep, Sweeps, TWO, Weak,
    without,
};

impl Config {
    /// Every next step of a collector.
    pub fn collect(&self, state: &State, c: usize, told: bool, steps: &mut Steps) {
        let me = &state.collectors[c];
        let (mark, run) = (self.mark(c, me.mark), self.run(c, me.run));
        let mut go = |what: &dyn Fn() -> String, at: Collect, change: &dyn Fn(&mut State)| {
            let mut next = *state;
            next.collectors[c].at = at;
            change(&mut next);
            let text = if told {
                format!("collection {c}: {}", what())
            } else {
                String::new()
            };
            steps.push((text, next));
        };
        let nothing = |_: &mut State| {};
        let begins = if self.weak == Weak::LinksBeforeIntents {
            Collect::C3
        } else {
            Collect::C2
        };
        let read = matches!(me.at, Collect::C3 | Collect::C3Rest | Collect::C4);
        if self.resumes && read && c == 0 && !me.resumed {
            let checkpoint = Checkpoint {
                at: me.at,
                reached: me.reached,
            };
            go(&|| "saves a checkpoint".into(), me.at, &|next| {
                next.saved = Some(checkpoint);
            });
        }
        let dies = self.resumes && self.collectors == 1 && me.at != Collect::Done;
        if let Some(saved) = state.saved
            && !me.resumed
            && (dies || me.at == Collect::Resume)
        {
            // It looks first whether the mark stands, and R4 does it again: here
            // R4 alone has to do.
            let what = if dies { "dies, and another" } else { "" };
            go(
                &|| format!("{what} goes on with mark {mark}"),
                saved.at,
                &|next| {
                    let me = &mut next.collectors[c];
                    (me.resumed, me.reached, me.batch) = (true, saved.reached, 0);
                    (me.candidates, me.condemned) = (0, 0);
                    me.run += u8::from(dies);
                    next.saved = None;
                    if self.weak == Weak::ResumesAnew {
                        next.marks |= 1 << mark;
                    }
                },
            );
        }
        match me.at {
            Collect::Resume => {}
            Collect::C1 if self.naive() => {
                let at = if self.weak == Weak::ListFirst {
                    Collect::C4
                } else {
                    Collect::C3
                };
                go(&|| "begins".into(), at, &|next| next.touched = 0);
            }
            Collect::C1 if self.weak == Weak::MarkRegisteredLate => {
                go(&|| "begins".into(), begins, &nothing);
            }
            Collect::C1 => go(&|| format!("C1 registers mark {mark}"), begins, &|next| {
                next.marks |= 1 << mark;
            }),
            Collect::C2 => {
                let reached = state.pushes(self, state.intents);
                let at = if self.weak == Weak::LinksBeforeIntents {
                    Collect::C4
                } else {
                    Collect::C3
                };
                go(&|| "C2 reads intents".into(), at, &|next| {
                    next.collectors[c].reached |= reached;
                });
            }
            Collect::C3 if self.resumes => {
                let reached = state.linked_of(self, 0..1);
                go(&|| "C3 reads m0's link".into(), Collect::C3Rest, &|next| {
                    next.collectors[c].reached |= reached;
                });
            }
            Collect::C3Rest => {
                let reached = state.linked_of(self, 1..TWO);
                go(&|| "C3 reads m1's link".into(), Collect::C4, &|next| {
                    next.collectors[c].reached |= reached;
                });
            }
            Collect::C3 => {
                let reached = state.linked(self);
                let at = match self.weak {
                    Weak::LinksBeforeIntents => Collect::C2,
                    Weak::ListFirst => Collect::R6,
                    _ => Collect::C4,
                };
                go(&|| "C3 reads links".into(), at, &|next| {
                    next.collectors[c].reached |= reached;
                    if self.weak == Weak::MarkRegisteredLate {
                        next.marks |= 1 << mark;
                    }
                    if self.weak == Weak::ListFirst {
                        let me = &mut next.collectors[c];
                        me.condemned = without(me.candidates, me.reached);
                    }
                });
            }
            Collect::C4 => {
                let listed = state.names();
                let at = match self.weak {
                    Weak::ListFirst => Collect::C3,
                    _ if self.naive() => Collect::R6,
                    _ => Collect::R1,
                };
                go(&|| "C4 lists".into(), at, &|next| {
                    let me = &mut next.collectors[c];
                    me.candidates = without(listed, me.reached);
                    if self.naive() && self.weak != Weak::ListFirst {
                        me.condemned = me.candidates;
                    }
                });
            }
            Collect::R1 if self.weak == Weak::RunRegisteredLate => {
                let condemned = self.batch(me.candidates, me.batch);
                go(&|| "R1 begins".into(), Collect::R2, &|next| {
                    next.collectors[c].condemned = condemned;
                });
            }
            Collect::R1 => {
                let condemned = self.batch(me.candidates, me.batch);
                let at = match self.weak {
                    Weak::RunWithoutIntents | Weak::PushedBeforeIntents => Collect::R3,
                    _ => Collect::R2,
                };
                go(&|| format!("R1 registers run {run}"), at, &|next| {
                    next.runs |= 1 << run;
                    next.collectors[c].condemned = condemned;
                });
            }
            Collect::R2 => {
                let reached = state.pushes(self, state.intents);
                let at = if self.weak == Weak::PushedBeforeIntents {
                    Collect::R4
                } else {
                    Collect::R3
                };
                go(&|| "R2 reads intents".into(), at, &|next| {
                    let me = &mut next.collectors[c];
                    me.condemned = without(me.condemned, reached);
                });
            }
            Collect::R3 => {
                let reached = state.pushes(self, state.pushed[mark]);
                let at = match self.weak {
                    Weak::PushedBeforeIntents => Collect::R2,
                    Weak::MarkNotLookedAt => Collect::R5,
                    _ => Collect::R4,
                };
                go(&|| "R3 reads what was pushed".into(), at, &|next| {
                    if self.weak == Weak::RunRegisteredLate {
                        next.runs |= 1 << run;
                    }
                    let me = &mut next.collectors[c];
                    me.condemned = without(me.condemned, reached);
                });
            }
            Collect::R4 => {
                let stands = state.marks >> mark & 1 == 1;
                let at = if stands { Collect::R5 } else { Collect::R7 };
                let what = if stands { "stands" } else { "is gone" };
                go(&|| format!("R4 its mark {what}"), at, &|next| {
                    if !stands {
                        next.collectors[c].condemned = 0;
                    }
                });
            }
            Collect::R5 if state.decided >> run & 1 == 1 => {
                go(&|| "R5 it is void".into(), Collect::R7, &|next| {
                    next.collectors[c].condemned = 0;
                });
            }
            Collect::R5 => {
                let condemned = me.condemned;
                let at = if self.weak == Weak::RunNotLookedAt {
                    Collect::R6
                } else {
                    Collect::R5Look
                };
                go(&|| format!("R5 decides {condemned:012b}"), at, &|next| {
                    next.decided |= 1 << run;
                    next.decisions[run] = condemned;
                    if self.weak == Weak::RunWithdrawnEarly {
                        next.runs &= !(1 << run);
                        next.decided &= !(1 << run);
                        next.decisions[run] = 0;
                    }
                });
            }
            Collect::R5Look => {
                let stands = state.runs >> run & 1 == 1 || self.weak == Weak::RunWithdrawnEarly;
                let at = if stands { Collect::R6 } else { Collect::R7 };
                go(
                    &|| format!("R5 its run {}", if stands { "stands" } else { "is gone" }),
                    at,
                    &|next| {
                        if !stands {
                            next.collectors[c].condemned = 0;
                        }
                    },
                );
            }
            Collect::R6 if me.condemned == 0 => {
                let at = if self.naive() {
                    Collect::Done
                } else {
                    Collect::R7
                };
                go(&|| "R6 has removed all".into(), at, &nothing);
            }
            Collect::R6 => {
                let at = me.condemned.trailing_zeros() as usize;
                let (cell, name) = (at / NAMES, at % NAMES);
                let spared = self.weak == Weak::Touch && state.touched >> cell & 1 == 1;
                go(
                    &|| format!("R6 removes cell {cell}, name {name}"),
                    Collect::R6,
                    &|next| {
                        next.collectors[c].condemned &= !(1 << at);
                        if !spared {
                            next.data[cell] &= !(1 << name);
                        }
                    },
                );
            }
            Collect::R7 => go(&|| "R7 withdraws its run".into(), Collect::R8, &|next| {
                next.runs &= !(1 << run);
            }),
            Collect::R8 => {
                let more = me.batch + 1 < self.batches;
                let at = if more { Collect::R1 } else { Collect::C7 };
                go(&|| "R8 withdraws its decision".into(), at, &|next| {
                    next.decided &= !(1 << run);
                    next.decisions[run] = 0;
                    let me = &mut next.collectors[c];
                    me.run += 1;
                    me.batch += 1;
                });
            }
            Collect::C7 => {
                let again = me.mark + 1 < self.marks;
                let at = if again { Collect::C1 } else { Collect::Done };
                go(&|| "C7 withdraws its mark".into(), at, &|next| {
                    next.marks &= !(1 << mark);
                    next.pushed[mark] = 0;
                    let me = &mut next.collectors[c];
                    (me.reached, me.candidates, me.batch) = (0, 0, 0);
                    me.mark += u8::from(again);
                });
            }
            Collect::Done => {}
        }
    }

    /// What of the candidates one run takes.
    fn batch(&self, candidates: u16, batch: u8) -> u16 {
        if self.batches < 2 {
            return candidates;
        }
        let others = (0..CELLS as u8).filter(|cell| cell % 2 != batch);
        without(candidates, others.fold(0, |mask, cell| mask | 1 << cell))
    }

    /// Every next step of whoever removes links.
    pub fn sweep(&self, state: &State, told: bool, steps: &mut Steps) {
        let mut go = |what: &str, at: Sweep, change: &dyn Fn(&mut State)| {
            let mut next = *state;
            next.sweep = at;
            change(&mut next);
            let text = if told {
                format!("removal of links: {what}")
            } else {
                String::new()
            };
            steps.push((text, next));
        };
        let links_first = self.weak == Weak::SweepLinksBeforeIntents;
        match state.sweep {
            Sweep::D1 => {
                let at = if links_first || self.weak == Weak::SweepWithoutIntents {
                    Sweep::D3
                } else {
                    Sweep::D2
                };
                go("D1 announces itself", at, &|next| next.announced = true);
            }
            Sweep::D2 => {
                let pushes = (0..TWO).filter(|p| state.intents >> p & 1 == 1);
                let spared = pushes.fold(0, |mask, p| mask | self.kept(self.manifest(p)));
                let at = if links_first { Sweep::D4 } else { Sweep::D3 };
                go("D2 reads intents", at, &|next| next.spared |= spared);
            }
            Sweep::D3 => {
                let linked = (0..TWO).filter(|m| state.linked[*m]);
                let spared = linked.fold(0, |mask, m| mask | self.kept(m));
                let at = if links_first { Sweep::D2 } else { Sweep::D4 };
                go("D3 reads links", at, &|next| next.spared |= spared);
            }
            Sweep::D4 => {
                if self.weak == Weak::SweepEndsEarly && state.announced {
                    go("withdraws its announcement", Sweep::D4, &|next| {
                        next.announced = false
                    });
                    return;
                }
                match self.sweeps {
                    Sweeps::Layers => {
                        let gone = state.layers & !state.spared & 0b11;
                        if gone == 0 {
                            go("D4 has removed all", Sweep::D5, &|_| ());
                        } else {
                            let one = gone & gone.wrapping_neg();
                            go(
                                &format!("D4 removes layer link {one:02b}"),
                                Sweep::D4,
                                &|next| {
                                    next.layers &= !one;
                                },
                            );
                        }
                    }
                    _ if state.spared & 1 == 1 || !state.linked[0] => {
                        go("D4 leaves m0", Sweep::D5, &|_| ());
                    }
                    // Nobody was promised more: it has no tag.
                    _ => go("D4 removes m0", Sweep::D5, &|next| {
                        next.linked[0] = false;
                        next.acked[0] = false;
                    }),
                }
            }
            Sweep::D5 => go("D5 withdraws its announcement", Sweep::Done, &|next| {
                next.announced = false
            }),
            Sweep::Done => {}
        }
    }

    /// The links that a manifest keeps: of its layers, or bit 0 for m0 as a child.
    fn kept(&self, manifest: usize) -> u8 {
        match self.sweeps {
            Sweeps::Untagged => u8::from(manifest == 1),
            _ => self
                .layers(manifest)
                .iter()
                .fold(0, |mask, layer| mask | 1 << layer),
        }
    }

    /// A user's delete of m0, whoever takes an intent for one of the dead, and
    /// whoever takes a registration for one.
    pub fn others(&self, state: &State, told: bool, steps: &mut Steps) {
        let mut go = |what: &dyn Fn() -> String, change: &dyn Fn(&mut State)| {
            let mut next = *state;
            change(&mut next);
            steps.push((if told { what() } else { String::new() }, next));
        };
        if !state.deleted {
            go(&|| "DELETE m0".into(), &|next| {
                next.deleted = true;
                next.linked[0] = false;
                next.acked[0] = false;
                for p in 0..TWO {
                    let pusher = &mut next.pushers[p];
                    let linked = matches!(pusher.at, Push::P6 | Push::P7 | Push::P8);
                    pusher.overlapped |= linked && self.manifest(p) == 0;
                }
            });
        }
        for p in 0..TWO {
            if state.intents >> p & 1 == 1 {
                go(&|| format!("intent {p} is reaped"), &|next| {
                    next.intents &= !(1 << p)
                });
            }
        }
        if self.sealer == Sealer::Nobody {
            return;
        }
        for mark in 0..TWO * 2 {
            if state.marks >> mark & 1 == 1 {
                go(&|| format!("mark {mark} is taken for dead"), &|next| {
                    next.marks &= !(1 << mark);
                    next.pushed[mark] = 0;
                });
            }
        }
        match state.seal {
            Seal::Nothing => {
                for run in 0..state.decisions.len() {
                    if state.runs >> run & 1 == 1 && state.decided >> run & 1 == 0 {
                        go(
                            &|| format!("run {run} is made void: its process seems dead"),
                            &|next| {
                                next.decided |= 1 << run;
                                next.seal = Seal::Voided(run as u8);
                            },
                        );
                    }
                }
            }
            Seal::Voided(run) => go(&|| format!("void run {run} is removed"), &|next| {
                next.runs &= !(1 << run);
                next.seal = Seal::Removed(run);
            }),
            Seal::Removed(run) => go(&|| format!("void decision {run} is removed"), &|next| {
                next.decided &= !(1 << run);
                next.decisions[usize::from(run)] = 0;
                next.seal = Seal::Done;
            }),
            Seal::Done => {}
        }
    }
}
