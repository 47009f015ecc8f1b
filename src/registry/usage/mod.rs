//! How much repositories hold, and may hold.

mod quota;

pub use quota::Quota;
