//! The object-store back end: registry:2's tree in a bucket.

mod report;
mod settings;

pub use report::{Check, Outcome, Report};
pub use settings::{Azure, AzureCredentials, Engine, Gcs, GcsKey, S3, Secret, Settings};
