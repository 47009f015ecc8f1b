//! What a registry does, in its own words: repositories, manifests, tags,
//! referrers, uploads. Knows neither headers nor paths.

mod settings;

pub use settings::{IndexChildren, Platform, Purging, Settings, Validation};
