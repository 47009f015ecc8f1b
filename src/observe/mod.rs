//! What the outside can see of a running registry: logs, metrics, health.

pub mod debug;
pub mod health;
pub mod log;
