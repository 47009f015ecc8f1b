//! The API's tests once more, on three replicas behind a balancer that sends
//! each request to the next one. This binary runs itself for that: which
//! servers a test gets is one setting for the whole process.

use std::time::Duration;

use crate::support::{Balancer, S3Engine, run, say};

/// The modules that look at answers and not at the wire they come over.
const MODULES: [&str; 20] = [
    "blobs",
    "catalog",
    "chunks",
    "concurrency",
    "conditions",
    "deletes",
    "errors",
    "immutable",
    "limits",
    "manifest_pulls",
    "manifest_pushes",
    "media_types",
    "modes",
    "mounts",
    "names",
    "ranges",
    "referrer_pages",
    "referrers",
    "sessions",
    "single_uploads",
];

/// What a balancer changes: it ends the connection of a client that goes on
/// sending after its answer, and waits for a body that was announced; and a
/// second writer is at another replica, which `writers` is about.
const NOT_BEHIND_A_BALANCER: [&str; 5] = [
    "limits::a_manifest_one_byte_larger_is_413",
    "limits::what_is_announced_as_too_large_is_refused_before_it_is_sent",
    "sessions::a_client_that_is_still_sending_learns_why_it_was_refused",
    "sessions::a_second_writer_is_429_and_told_when_to_come_back",
    "sessions::what_a_broken_connection_delivered_can_be_continued",
];

#[test]
fn the_api_is_the_same_on_three_replicas() {
    if !S3Engine::needs().met() || !Balancer::needs().met() {
        return;
    }
    let mut again = run(std::env::current_exe().unwrap())
        .env("WHARF_TEST_REPLICAS", "3")
        .limit(Duration::from_secs(500))
        .args(MODULES.map(|module| format!("{module}::")))
        .args(["tag_lists::", "--test-threads", "4"]);
    for name in NOT_BEHIND_A_BALANCER {
        again = again.args(["--skip", name]);
    }
    let done = again.output();
    assert!(done.success(), "{done}");
    let result = done
        .stdout
        .lines()
        .find(|line| line.starts_with("test result: ok"));
    let result = result.unwrap_or_else(|| panic!("no result in {done}"));
    say(&format!("the API on three replicas: {result}"));
    let passed = result.split_whitespace().nth(3);
    let passed: u32 = passed.and_then(|word| word.parse().ok()).unwrap();
    assert!(passed > 100, "too few tests ran: {done}");
}
