//! The steps of a push that collections must know of: P1 to P3, P6 to P8.

use std::time::Duration;

use tokio::time::Instant;

use super::Condemned;
use super::records::{Decision, Intent, Registered, written};
use crate::oci::{Digest, UploadId};
use crate::registry::{Error, Registry};
use crate::storage::{Created, layout};

/// How long a push waits for a run to decide, before it decides for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A push of a manifest under way.
pub(in crate::registry) struct Pushing {
    registry: Registry,
    id: UploadId,
    intent: Intent,
    marks: Vec<String>,
    condemned: Condemned,
}

impl Pushing {
    /// P1 to P3: says what will be needed, and hears what will be removed.
    pub(in crate::registry) async fn begin(
        registry: &Registry,
        intent: Intent,
    ) -> Result<Self, Error> {
        let mut pushing = Self {
            registry: registry.clone(),
            id: UploadId::random(),
            marks: Vec::new(),
            condemned: Condemned::default(),
            intent,
        };
        let content = written(&pushing.intent)?;
        let key = layout::intent(&pushing.id);
        // P1
        registry.store().post(&key, content).await?;
        if let Err(error) = pushing.hear().await {
            pushing.end().await;
            return Err(error);
        }
        Ok(pushing)
    }

    /// P2, and of P3 what the runs say.
    async fn hear(&mut self) -> Result<(), Error> {
        for registered in self.registry.registered().await? {
            match registered {
                Registered::Mark(name) => self.marks.push(name),
                Registered::Run(name) => {
                    let decision = self.registry.decided(&name).await?;
                    self.condemned.add(decision);
                }
            }
        }
        Ok(())
    }

    /// What this push must do without: names that runs remove.
    pub(in crate::registry) fn condemned(&self) -> &Condemned {
        &self.condemned
    }

    /// Whether its intent names a cell.
    pub(in crate::registry) fn protects(&self, canonical: &Digest) -> bool {
        self.intent.cells.contains(canonical)
    }

    /// P7 and P6: whether the push may be acknowledged, whose links are written.
    ///
    /// # Errors
    /// [`Error::PushTookTooLong`] if its intent is gone.
    pub(in crate::registry) async fn stands(&self) -> Result<(), Error> {
        for mark in &self.marks {
            let key = layout::pushed_by(mark, &self.id);
            // P7
            let content = written(&self.intent)?;
            self.registry.store().post(&key, content).await?;
        }
        // P6
        let intent = layout::intent(&self.id);
        match self.registry.store().head(&intent).await? {
            Some(_) => Ok(()),
            None => Err(Error::PushTookTooLong),
        }
    }

    /// P8, or P9: withdraws the intent. Left there it goes away by itself, later.
    pub(in crate::registry) async fn end(&self) {
        let intent = layout::intent(&self.id);
        if let Err(error) = self.registry.store().withdraw(&intent).await {
            tracing::warn!(%error, "the intent of a push stays for a day");
        }
    }
}

impl Registry {
    /// What the runs that are registered now will remove: for uploads, whose
    /// safety doesn't rest on it.
    pub(in crate::registry) async fn condemned_now(&self) -> Result<Condemned, Error> {
        let mut condemned = Condemned::default();
        for registered in self.registered().await? {
            if let Registered::Run(name) = registered {
                condemned.add(self.decided(&name).await?);
            }
        }
        Ok(condemned)
    }

    /// What a run has decided; whoever waited too long for it makes it void.
    async fn decided(&self, run: &str) -> Result<Decision, Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(decision) = self.json(&layout::decision(run)).await? {
                return Ok(decision);
            }
            let key = layout::run(run);
            if Instant::now() >= deadline || self.store().head(&key).await?.is_none() {
                self.make_void(run).await?;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Decides for a run that it removes nothing, unless it has decided.
    pub(super) async fn make_void(&self, run: &str) -> Result<Created, Error> {
        let content = written(&Decision::default())?;
        Ok(self.store().create(&layout::decision(run), content).await?)
    }
}
