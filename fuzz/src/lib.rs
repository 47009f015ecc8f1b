//! The bodies of wharf's fuzz targets: ordinary functions from bytes to nothing,
//! which panic when a promise is broken. cargo-fuzz calls them from
//! `fuzz_targets/`; `tests/corpus.rs` plays the corpus and the regressions
//! through them on a stable toolchain.

pub mod authorization;
pub mod configuration;
pub mod htpasswd;
pub mod manifests;
pub mod names;
pub mod ranges;
pub mod router;
mod site;
pub mod volume;
