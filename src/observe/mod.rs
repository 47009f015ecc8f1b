//! What the outside can see of a running registry: logs, metrics, health.

pub mod audit;
pub mod broken;
pub mod debug;
#[cfg(test)]
mod fake_store;
pub mod health;
pub mod log;
pub mod metered;
pub mod metrics;
pub mod readiness;
