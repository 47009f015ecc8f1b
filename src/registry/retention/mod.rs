//! Retention: which tags stay.

mod settings;

pub use settings::{Keep, Newest, Order, Rule, Settings};
