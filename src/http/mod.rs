//! The wire: paths, headers, bodies and errors of distribution-spec, and
//! nothing of storage.

pub mod log;
mod settings;

pub use settings::Settings;
