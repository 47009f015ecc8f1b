//! A run over all repositories, one after another.

use std::time::Duration;

use super::decide::Policy;
use super::plan::{Plan, plan};
use super::record::Clock;
use super::remove::{Removal, Removed};
use super::settings::Rule;
use super::view::View;
use super::{Failure, Observer, Options, Report};
use crate::oci::RepositoryName;
use crate::registry::{Error, Registry};

/// Repositories that one look fetches.
const AT_ONCE: usize = 1000;

/// What decides.
#[derive(Clone, Copy)]
enum By {
    /// The rules of the configuration.
    Rules,
    /// Nothing but a manifest's age: tags stay.
    Age(Duration),
}

impl Registry {
    /// Applies the rules of `retention`, or with [`Options::dry_run`] only tells
    /// what would go.
    ///
    /// # Errors
    /// The store failed altogether, or the registry is read-only; what is wrong
    /// with one repository is told to the observer.
    pub async fn retain(
        &self,
        options: &Options,
        observer: &dyn Observer,
    ) -> Result<Report, Error> {
        self.each_repository(By::Rules, options, observer).await
    }

    /// Removes the manifests that no tag names, that are no child of an index
    /// and no referrer of a manifest that stays, and that were neither pushed
    /// nor pulled within `age`; of all repositories.
    ///
    /// # Errors
    /// Like [`Registry::retain`].
    pub async fn remove_untagged(
        &self,
        age: Duration,
        options: &Options,
        observer: &dyn Observer,
    ) -> Result<Report, Error> {
        self.each_repository(By::Age(age), options, observer).await
    }

    async fn each_repository(
        &self,
        by: By,
        options: &Options,
        observer: &dyn Observer,
    ) -> Result<Report, Error> {
        if self.settings().read_only && !options.dry_run {
            return Err(Error::ReadOnly);
        }
        let run = Run {
            registry: self,
            clock: Clock::of(self, !options.dry_run).await?,
            by,
            options,
            observer,
        };
        let report = run.all().await?;
        if !options.dry_run {
            self.flush_usage().await?;
        }
        Ok(report)
    }
}

struct Run<'a> {
    registry: &'a Registry,
    clock: Clock,
    by: By,
    options: &'a Options,
    observer: &'a dyn Observer,
}

impl Run<'_> {
    async fn all(&self) -> Result<Report, Error> {
        let mut report = Report::default();
        if let Some(name) = &self.options.repository {
            self.repository(name, &mut report).await;
            return Ok(report);
        }
        let mut after: Option<RepositoryName> = None;
        loop {
            let after_name = after.as_ref().map(RepositoryName::as_str);
            let page = self.registry.directories(after_name, AT_ONCE).await?;
            for name in &page {
                if self.options.stop.is_cancelled() {
                    return Ok(report);
                }
                self.repository(name, &mut report).await;
            }
            match page.into_iter().nth(AT_ONCE - 1) {
                Some(last) => after = Some(last),
                None => return Ok(report),
            }
        }
    }

    async fn repository(&self, name: &RepositoryName, report: &mut Report) {
        report.repositories += 1;
        let rule = match self.by {
            By::Rules => match self.registry.settings().retention.rule(name) {
                Some(rule) => Some(rule),
                None => return,
            },
            By::Age(_) => None,
        };
        let (removed, outcome) = self.decide(name, rule).await;
        report.removed.tags += removed.tags;
        report.removed.manifests += removed.manifests;
        report.removed.spared += removed.spared;
        if let Err(failure) = outcome {
            report.failed += 1;
            self.observer.failed(name, &failure);
        }
    }

    async fn decide(
        &self,
        name: &RepositoryName,
        rule: Option<&Rule>,
    ) -> (Removed, Result<(), Failure>) {
        let policy = Policy {
            repository: name,
            keep: rule.map(|rule| &rule.keep),
            untagged: match self.by {
                By::Rules => rule.and_then(|rule| rule.untagged),
                By::Age(age) => Some(age),
            },
            immutable: &self.registry.settings().immutable,
            now: self.clock.now(),
        };
        let (view, plan) = match self.plan(&policy, rule).await {
            Ok(planned) => planned,
            Err(failure) => return (Removed::default(), Err(failure)),
        };
        if rule.is_some() || !plan.is_empty() {
            self.observer.planned(&plan);
        }
        if plan.is_empty() {
            return (Removed::default(), Ok(()));
        }
        if self.options.dry_run {
            return (counted(&plan), Ok(()));
        }
        let repository = self.registry.repository(name);
        let removal = Removal::new(&repository, &policy, &plan, view, self.options.batch);
        let (removed, outcome) = removal.run(&self.options.stop).await;
        self.observer.removed(name, &removed);
        (removed, outcome)
    }

    /// What would go. The manifests are read only if that can be anything.
    async fn plan(
        &self,
        policy: &Policy<'_>,
        rule: Option<&Rule>,
    ) -> Result<(View, Plan), Failure> {
        let place = || rule.map(|rule| rule.place.clone());
        let repository = self.registry.repository(policy.repository);
        let view = View::of_tags(&repository).await?;
        let first = plan(&view, policy, place());
        if first.is_empty() && policy.untagged.is_none() {
            return Ok((view, first));
        }
        let view = View::of(&repository).await?;
        let plan = plan(&view, policy, place());
        Ok((view, plan))
    }
}

/// What a plan would remove.
fn counted(plan: &Plan) -> Removed {
    Removed {
        tags: plan.going().count() as u64,
        manifests: plan.manifests.len() as u64,
        spared: 0,
    }
}
