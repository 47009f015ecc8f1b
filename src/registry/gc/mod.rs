//! Garbage collection.

mod settings;

pub use settings::Settings;
