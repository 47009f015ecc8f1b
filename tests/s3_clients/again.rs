//! This binary's own tests in its other manners: each is one setting for the
//! whole process, so it runs itself.

use std::time::Duration;

use crate::support::{Balancer, Finished, S3Engine, run, say};

#[test]
fn the_clients_pull_through_the_registry_where_redirects_are_off() {
    if met() {
        let done = again("3", "off", &["pushes_pulls_and_is_refused"]);
        assert!(tests(&done) >= 8, "{done}");
    }
}

#[test]
fn the_conformance_suites_pass_on_one_replica() {
    if met() {
        again("1", "off", &["conformance::"]);
    }
}

#[test]
fn the_conformance_suites_pass_on_one_replica_with_redirects() {
    if met() {
        again("1", "on", &["conformance::"]);
    }
}

fn met() -> bool {
    S3Engine::needs().met() && Balancer::needs().met()
}

fn again(replicas: &str, redirects: &str, filters: &[&str]) -> Finished {
    let done = run(std::env::current_exe().unwrap())
        .env("WHARF_TEST_REPLICAS", replicas)
        .env("WHARF_TEST_REDIRECTS", redirects)
        .limit(Duration::from_secs(500))
        .args(filters)
        .args(["--test-threads", "2"])
        .output();
    assert!(done.success(), "{done}");
    for line in done.stderr.lines() {
        // What was skipped there was skipped here, and is said as loudly.
        if line.starts_with("SKIPPED") || line.starts_with("conformance ") {
            say(&format!(
                "{replicas} replicas, redirects {redirects}: {line}"
            ));
        }
    }
    done
}

fn tests(done: &Finished) -> u32 {
    let line = done
        .stdout
        .lines()
        .find(|line| line.starts_with("running "));
    let count = line.and_then(|line| line.split(' ').nth(1));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
