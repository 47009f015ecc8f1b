//! How long the storage takes, by verb, and how often it fails.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::storage::StorageError;

/// registry:2's, which are those of Prometheus's Go library.
const SECONDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// `registry_storage_action_seconds{driver,action}`, and
/// `wharf_storage_errors_total{driver,action,kind}`.
#[derive(Clone)]
pub(in crate::observe) struct StorageTimes {
    seconds: Family<Action, Histogram, fn() -> Histogram>,
    errors: Family<Failure, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Action {
    driver: &'static str,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    driver: &'static str,
    action: &'static str,
    kind: &'static str,
}

impl StorageTimes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let seconds: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        let errors = Family::default();
        registry.register_with_unit(
            "registry_storage_action",
            "Time that the storage takes",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register(
            "wharf_storage_errors",
            "Actions that the storage failed at (failed syncs too), refused or had no room for",
            errors.clone(),
        );
        Self { seconds, errors }
    }

    pub(in crate::observe) fn observe(
        &self,
        driver: &'static str,
        action: &'static str,
        duration: Duration,
    ) {
        self.seconds
            .get_or_create(&Action { driver, action })
            .observe(duration.as_secs_f64());
    }

    /// Counts an action that failed, unless that is the client's doing.
    pub(in crate::observe) fn failed(
        &self,
        driver: &'static str,
        action: &'static str,
        error: &StorageError,
    ) {
        let kind = match error {
            StorageError::Full(_) => "full",
            StorageError::Refused(_) => "refused",
            StorageError::Unavailable(_) => "unavailable",
            StorageError::WrongOffset { .. }
            | StorageError::UnknownStage
            | StorageError::Interrupted { .. }
            | StorageError::TooLarge { .. } => return,
        };
        let failure = Failure {
            driver,
            action,
            kind,
        };
        self.errors.get_or_create(&failure).inc();
    }
}
