//! How long the storage takes, by verb.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// registry:2's, which are those of Prometheus's Go library.
const SECONDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// `registry_storage_action_seconds{driver,action}`.
#[derive(Clone)]
pub(in crate::observe) struct StorageTimes(Family<Action, Histogram, fn() -> Histogram>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Action {
    driver: &'static str,
    action: &'static str,
}

impl StorageTimes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        registry.register_with_unit(
            "registry_storage_action",
            "Time that the storage takes",
            Unit::Seconds,
            family.clone(),
        );
        Self(family)
    }

    pub(in crate::observe) fn observe(
        &self,
        driver: &'static str,
        action: &'static str,
        duration: Duration,
    ) {
        self.0
            .get_or_create(&Action { driver, action })
            .observe(duration.as_secs_f64());
    }
}
