//! How this run starts its servers, unless a test says otherwise: on volumes,
//! or on buckets with one replica or several. The same tests run in each
//! manner.
//!
//! The binary `s3` is about buckets, and `s3_clients` about three replicas that
//! redirect pulls to the store, which is their default but nothing for tests
//! that read raw answers. The environment changes that for any of them:
//! `WHARF_TEST_STORE=s3`, `WHARF_TEST_REPLICAS=3`, `WHARF_TEST_REDIRECTS=on`.

use std::env;

use super::{Balancer, S3Engine};

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
    /// What this binary's name and the environment say. Without an engine or a
    /// balancer the line about it is said, and the tests run without.
    pub fn of_this_run() -> Manner {
        let (store, replicas, redirects) = match env!("CARGO_CRATE_NAME") {
            "s3" => ("s3", 1, "off"),
            "s3_clients" => ("s3", 3, "on"),
            _ => ("files", 1, "off"),
        };
        let or = |name: &str, otherwise: &str| env::var(name).unwrap_or(otherwise.to_owned());
        let s3 = or("WHARF_TEST_STORE", store) == "s3" && S3Engine::needs().met();
        let replicas = or("WHARF_TEST_REPLICAS", "").parse().unwrap_or(replicas);
        let several = s3 && replicas > 1 && Balancer::needs().met();
        Manner {
            s3,
            replicas: if several { replicas } else { 1 },
            redirects: or("WHARF_TEST_REDIRECTS", redirects) == "on",
        }
    }

    /// Whether this client moves a layer of gigabytes: each does on a volume,
    /// and one shows that a bucket takes it.
    pub fn moves_large(&self, client: &str) -> bool {
        !self.s3 || client == "skopeo" || is_long()
    }
}

/// Whether this run takes the time for what takes long (`WHARF_LONG=1`).
pub fn is_long() -> bool {
    env::var("WHARF_LONG").is_ok_and(|set| set == "1")
}
