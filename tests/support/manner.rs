//! How this run starts its servers, unless a test says otherwise: on volumes,
//! or on buckets with one replica or several. The same tests run in each
//! manner.
//!
//! The test binaries whose names begin with `s3` are about buckets;
//! `WHARF_TEST_STORE=s3` makes every other one so, `WHARF_TEST_REPLICAS=3` puts
//! as many servers behind a balancer, and `WHARF_TEST_REDIRECTS=on` lets them
//! redirect pulls to the store, which is their default but nothing for clients
//! that read raw answers.

use std::env;

use super::S3Engine;

/// How a server is started.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Its content is in a bucket.
    pub s3: bool,
    /// How many of them.
    pub replicas: usize,
    /// Whether pulls may lead to the store.
    pub redirects: bool,
}

impl Manner {
    /// What the environment and this binary's name say.
    pub fn of_this_run() -> Manner {
        let set = |name: &str| env::var(name).unwrap_or_default();
        let about_s3 = env!("CARGO_CRATE_NAME").starts_with("s3");
        let wanted = about_s3 || set("WHARF_TEST_STORE") == "s3";
        Manner {
            // Without an engine the line about it is said, and the test runs on
            // a volume.
            s3: wanted && S3Engine::needs().met(),
            replicas: set("WHARF_TEST_REPLICAS").parse().unwrap_or(1),
            redirects: set("WHARF_TEST_REDIRECTS") == "on",
        }
    }
}
