//! An upload's content on its way in, held against the quota: cut at the first
//! bytes that exceed it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use crate::registry::{Error, Repository};
use crate::storage::{ByteStream, Stage};

/// Why content was cut, once it was.
#[derive(Clone, Default)]
pub(in crate::registry) struct Refusal(Arc<Mutex<Option<Error>>>);

/// Content that reserves room as it comes.
pub(in crate::registry) struct Metered {
    content: ByteStream,
    repository: Repository,
    stage: Stage,
    /// The upload's size with what came so far.
    size: u64,
    /// Up to this size nothing is counted: the repository holds it already.
    free: u64,
    refusal: Refusal,
}

impl Refusal {
    /// Why, if it was cut.
    pub(in crate::registry) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Repository {
    /// Holds an upload's content against the quota. `size` is how much there is
    /// already, `free` what costs nothing in all. Content that is announced as
    /// too much is refused before any of it is read.
    pub(in crate::registry) async fn metered(
        &self,
        stage: &Stage,
        size: u64,
        free: u64,
        content: ByteStream,
    ) -> Result<(ByteStream, Refusal), Error> {
        let refusal = Refusal::default();
        if self.settings().quotas.is_empty() {
            return Ok((content, refusal));
        }
        self.registry.usage().ready(&self.registry).await?;
        {
            let mut state = self.quotas_known();
            if !state.ledger.has_quota(self.name()) {
                return Ok((content, refusal));
            }
            state.ledger.settle(stage.as_str(), self.name(), size);
            let expected = size.saturating_add(self.announced.unwrap_or_default());
            if expected > free {
                let name = self.name();
                state.ledger.reserve(stage.as_str(), name, true, expected)?;
            }
        }
        let metered = Metered {
            content,
            repository: self.clone(),
            stage: stage.clone(),
            size,
            free,
            refusal: refusal.clone(),
        };
        Ok((Box::pin(metered), refusal))
    }

    /// An upload has so many bytes, and nobody is sending more at the moment.
    pub(in crate::registry) fn settle_upload(&self, stage: &Stage, size: u64) {
        let mut state = self.registry.usage().lock();
        state.ledger.settle(stage.as_str(), self.name(), size);
    }
}

impl Metered {
    /// Reserves room for what just came.
    fn admit(&mut self, bytes: &Bytes) -> Result<(), Error> {
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size <= self.free {
            return Ok(());
        }
        let (name, mut state) = (
            self.repository.name(),
            self.repository.registry.usage().lock(),
        );
        state
            .ledger
            .reserve(self.stage.as_str(), name, true, self.size)
    }
}

impl Stream for Metered {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.content.poll_next_unpin(context));
        if let Some(Ok(bytes)) = &next
            && let Err(refused) = self.admit(bytes)
        {
            let told = io::Error::other(refused.to_string());
            let mut refusal = self
                .refusal
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *refusal = Some(refused);
            drop(refusal);
            return Poll::Ready(Some(Err(told)));
        }
        Poll::Ready(next)
    }
}
