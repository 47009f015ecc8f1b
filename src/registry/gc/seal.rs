//! Whose process is dead: takes away what collections and pushes left behind
//! that will not go on.
//!
//! Marks, runs that have not decided, and intents may be taken from the living
//! too, by mistake: they notice, and begin again. A run that has decided may
//! not, since its removals may still come: on a volume the hold of
//! [`layout::collector`] proves that nobody collects, in a bucket only a long
//! time makes it likely.

use std::time::{Duration, SystemTime};

use super::collection::{Collector, Failure};
use super::records::{Decision, Registered};
use crate::storage::{Created, Key, layout};

/// A mark or an undecided run is taken for dead after this.
const SILENT: Duration = Duration::from_secs(3 * 3600);

/// A push that takes longer has to begin again.
const INTENT: Duration = Duration::from_secs(24 * 3600);

/// How sure it is that nobody else collects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alone {
    /// No other process that lives does.
    Proven,
    /// Nobody can know.
    Unknown,
}

impl Collector {
    /// Takes away what the dead left, but for a mark that this process goes on
    /// with. Nothing else is registered by it.
    pub(super) async fn seal(
        &self,
        alone: Alone,
        now: SystemTime,
        mark: Option<&str>,
    ) -> Result<(), Failure> {
        let registry = self.registry();
        let store = registry.store();
        let proven = alone == Alone::Proven;
        // Before the marks: what is beside one that is registered later stays.
        let pushed = registry.all_names(&layout::all_pushed()).await?;
        let mut marks = Vec::new();
        for registered in registry.registered().await? {
            match registered {
                Registered::Mark(name) if Some(&*name) == mark => marks.push(name),
                Registered::Mark(name) => {
                    let key = layout::run(&name);
                    if proven || self.is_older(&key, SILENT, now).await? {
                        store.withdraw(&key).await?;
                    } else {
                        marks.push(name);
                    }
                }
                Registered::Run(name) => self.seal_run(&name, proven, now).await?,
            }
        }
        for child in pushed {
            if !marks.contains(&child.name) {
                store.delete_all(&layout::pushed(&child.name)).await?;
            }
        }
        for child in registry.all_names(&layout::decisions()).await? {
            if store.head(&layout::run(&child.name)).await?.is_none() {
                store.withdraw(&layout::decision(&child.name)).await?;
            }
        }
        for child in registry.all_names(&layout::intents()).await? {
            let Ok(id) = child.name.parse() else { continue };
            let key = layout::intent(&id);
            if self.is_older(&key, INTENT, now).await? {
                store.withdraw(&key).await?;
            }
        }
        Ok(())
    }

    async fn seal_run(&self, name: &str, proven: bool, now: SystemTime) -> Result<(), Failure> {
        let registry = self.registry();
        let key = layout::run(name);
        let silent = proven || self.is_older(&key, SILENT, now).await?;
        if !silent {
            return Ok(());
        }
        let void = registry.make_void(name).await? == Created::New || {
            let decision: Option<Decision> = registry.json(&layout::decision(name)).await?;
            decision.is_none_or(|decision| decision.condemned.is_empty())
        };
        let given_up = match self.options().dead_after {
            Some(age) => self.is_older(&key, age, now).await?,
            None => false,
        };
        if void || proven || given_up {
            registry.store().withdraw(&key).await?;
            registry.store().withdraw(&layout::decision(name)).await?;
        } else {
            tracing::warn!(
                run = name,
                "a collection died while it removed content: what is pushed of that until gc.deadafter gets another name"
            );
        }
        Ok(())
    }

    async fn is_older(&self, key: &Key, age: Duration, now: SystemTime) -> Result<bool, Failure> {
        let meta = self.registry().store().head(key).await?;
        Ok(meta.is_some_and(|meta| now.duration_since(meta.modified).is_ok_and(|old| old > age)))
    }
}
