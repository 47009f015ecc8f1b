//! What lies in the tree and no reader sees: notes.

use super::finding::{Finding, Kind, Place};
use super::run::{Run, Stop};

/// The most that is told.
const TOLD: usize = 10_000;

impl Run<'_> {
    /// Tells of temporary and strange files, where the store has such.
    pub(super) async fn strange(&mut self) -> Result<(), Stop> {
        let Some(survey) = self.checker.options().survey.clone() else {
            return Ok(());
        };
        let stop = self.checker.options().stop.clone();
        let walk = tokio::task::spawn_blocking(move || {
            let mut oddities = Vec::new();
            survey.walk(&mut |oddity| {
                oddities.push(oddity);
                oddities.len() < TOLD && !stop.is_cancelled()
            });
            oddities
        });
        let oddities = self.unless_stopped(walk).await?.unwrap_or_default();
        for oddity in oddities {
            let kind = if oddity.temporary {
                Kind::TemporaryFile
            } else {
                Kind::StrangeFile
            };
            let place = Place::File(oddity.path);
            self.report(Finding::new(kind, &place, oddity.what)).await?;
        }
        Ok(())
    }
}
