//! The repositories, in the order of their names, several at once.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Checker;
use super::blobs::digest_of;
use super::finding::{Finding, Kind, Place};
use super::inspect::{Seen, unreadable};
use super::run::{Run, Stop};
use crate::oci::{Algorithm, Digest, RepositoryName};
use crate::storage::{Prefix, StorageError, layout};

/// Repositories that one look fetches.
const AT_ONCE: usize = 1000;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// What a first look at a repository told.
#[derive(Default)]
struct Look {
    findings: Vec<Finding>,
    manifests: u64,
    tags: u64,
}

impl Run<'_> {
    /// Looks at every repository behind the checkpoint.
    pub(super) async fn repositories(&mut self) -> Result<(), Stop> {
        let checker = self.checker.clone();
        let mut after = self.reached.repository.clone();
        loop {
            let registry = checker.inner.registry.clone();
            let page = self
                .unless_stopped(registry.directories(after.as_deref(), AT_ONCE))
                .await??;
            let Some(last) = page.last() else { break };
            after = Some(last.to_string());
            let mut looks = stream::iter(page)
                .map(|name| {
                    let checker = checker.clone();
                    async move {
                        let look = checker.repository(&name).await;
                        (name, look)
                    }
                })
                .buffered(checker.jobs());
            while let Some((name, look)) = self.unless_stopped(looks.next()).await? {
                checker.inner.meter.repository(look.manifests, look.tags);
                self.suspect(look.findings);
                self.settle(false).await?;
                self.passed_repository(name.to_string());
            }
        }
        self.settle(true).await?;
        self.save();
        Ok(())
    }

    /// Tells what earlier repairs have set aside.
    pub(super) async fn set_aside_before(&mut self) -> Result<(), Stop> {
        let checker = self.checker.clone();
        let mut names = checker.names(layout::quarantine(Algorithm::Sha256), None);
        while let Some(name) = names.next().await {
            let Some(digest) = digest_of(Algorithm::Sha256, &name?) else {
                continue;
            };
            let place = Place::File(layout::quarantined(&digest).as_str().to_owned());
            let what = "damaged bytes that a repair has set aside";
            self.report(Finding::new(Kind::Quarantined, &place, what))
                .await?;
        }
        Ok(())
    }
}

impl Checker {
    /// A first look at everything in a repository.
    async fn repository(&self, name: &RepositoryName) -> Look {
        let mut look = Look::default();
        let seen = Seen::default();
        for algorithm in ALGORITHMS {
            let prefix = layout::layers_by(name, algorithm);
            let place = |hex: &str| Some(Place::Layer(name.clone(), digest_of(algorithm, hex)?));
            self.each(&prefix, place, &seen, &mut look.findings).await;
        }
        for algorithm in ALGORITHMS {
            let prefix = layout::revisions_by(name, algorithm);
            let place = |hex: &str| Some(Place::Manifest(name.clone(), digest_of(algorithm, hex)?));
            look.manifests += self.each(&prefix, place, &seen, &mut look.findings).await;
        }
        let place = |tag: &str| Some(Place::Tag(name.clone(), tag.parse().ok()?));
        look.tags = self
            .each(&layout::tags(name), place, &seen, &mut look.findings)
            .await;
        self.referrers(name, &seen, &mut look.findings).await;
        let place = |id: &str| Some(Place::Upload(name.clone(), id.parse().ok()?));
        self.each(&layout::uploads(name), place, &seen, &mut look.findings)
            .await;
        let place = |id: &str| Some(Place::Delete(name.clone(), id.to_owned()));
        self.each(&layout::deletes(name), place, &seen, &mut look.findings)
            .await;
        look
    }

    /// The recorded referrers that weren't found in order with their manifests.
    async fn referrers(&self, name: &RepositoryName, seen: &Seen, findings: &mut Vec<Finding>) {
        for algorithm in ALGORITHMS {
            let prefix = layout::subjects_by(name, algorithm);
            let mut subjects = self.names(prefix.clone(), None);
            loop {
                let subject = match subjects.try_next().await {
                    Ok(Some(hex)) => digest_of(algorithm, &hex),
                    Ok(None) => break,
                    Err(error) => {
                        findings.push(unlisted(&prefix, &error));
                        break;
                    }
                };
                if let Some(subject) = subject {
                    self.referrers_of(name, &subject, seen, findings).await;
                }
            }
        }
    }

    async fn referrers_of(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        seen: &Seen,
        findings: &mut Vec<Finding>,
    ) {
        for algorithm in ALGORITHMS {
            let prefix = layout::referrers_by(name, subject, algorithm);
            let place = |hex: &str| {
                let digest = digest_of(algorithm, hex)?;
                let pair = (subject.clone(), digest.clone());
                let known = seen.referrers.lock();
                if known.is_ok_and(|known| known.contains(&pair)) {
                    return None;
                }
                Some(Place::Referrer {
                    repository: name.clone(),
                    subject: subject.clone(),
                    digest,
                })
            };
            self.each(&prefix, place, seen, findings).await;
        }
    }

    /// Looks at everything that a listing names; says how much that was.
    async fn each(
        &self,
        prefix: &Prefix,
        place: impl Fn(&str) -> Option<Place> + Send + Sync,
        seen: &Seen,
        findings: &mut Vec<Finding>,
    ) -> u64 {
        let mut looks = self
            .names(prefix.clone(), None)
            .try_filter_map(|name| std::future::ready(Ok(place(&name))))
            .map_ok(|place| async move { Ok(self.inspect(&place, Some(seen)).await) })
            .try_buffered(self.jobs());
        let mut count = 0;
        loop {
            match looks.try_next().await {
                Ok(Some(found)) => {
                    count += 1;
                    findings.extend(found);
                }
                Ok(None) => return count,
                Err(error) => {
                    findings.push(unlisted(prefix, &error));
                    return count;
                }
            }
        }
    }
}

fn unlisted(prefix: &Prefix, error: &StorageError) -> Finding {
    unreadable(&Place::File(prefix.as_str().to_owned()), error)
}
