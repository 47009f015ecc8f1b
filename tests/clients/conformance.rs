//! The conformance suites of the OCI distribution specification: the new one
//! (`conformance`) against version 1.1 (`stable`) and the main branch (`dev`),
//! and the one of release 1.1.1, each over plain HTTP, over TLS with a login,
//! and with HTTP/2 seen on the wire.
//!
//! Manifests whose parts were never pushed are refused by default, as the
//! specification permits, so `OCI_DATA_SPARSE` is off; one run turns both
//! around.

use std::fs;

use tempfile::TempDir;

use crate::support::{Finished, Needs, Registry, Run, run, say};

/// The tests of which a skip is a policy of ours: a blob is mounted only from
/// a repository that the caller names and may pull.
const MAY_SKIP: &str = "mount anonymous";

#[test]
fn the_new_suite_passes_over_plain_http() {
    if new_suite().met() {
        let registry = Registry::start();
        passes(&registry, "stable", false);
        passes(&registry, "dev", false);
    }
}

#[test]
fn the_new_suite_passes_over_tls_and_http_2_with_a_login() {
    if new_suite().met() {
        let registry = with_tls_and_login();
        passes(&registry, "stable", false);
        passes(&registry, "dev", false);
    }
}

#[test]
fn the_new_suite_passes_with_sparse_manifests_where_the_configuration_allows_them() {
    if new_suite().met() {
        let setup = Registry::with().section("validation:\n  disabled: true");
        passes(&setup.start(), "dev", true);
    }
}

#[test]
fn the_old_suite_passes_over_plain_http() {
    if old_suite().met() {
        old_passes(&Registry::start());
    }
}

#[test]
fn the_old_suite_passes_over_tls_and_http_2_with_a_login() {
    if old_suite().met() {
        old_passes(&with_tls_and_login());
    }
}

fn new_suite() -> Needs {
    Needs::of("conformance").program("conformance", "go install, as .ci/run does it")
}

fn old_suite() -> Needs {
    Needs::of("conformance-v1.1.1").program(
        "conformance-v1.1.1.test",
        "built from its module, as .ci/run does it",
    )
}

fn with_tls_and_login() -> Registry {
    Registry::with().tls().user("moby", "gordon").start()
}

/// Runs the new suite in repositories of its own and reads its results. Its
/// exit code alone says little: it is 0 when nothing ran.
fn passes(registry: &Registry, version: &str, sparse: bool) {
    let results = TempDir::new().expect("a temporary directory");
    let mut suite = run("conformance")
        .dir(results.path())
        .env("OCI_REGISTRY", registry.host())
        .env(
            "OCI_TLS",
            if tls(registry) { "enabled" } else { "disabled" },
        )
        .env("OCI_VERSION", version)
        .env("OCI_REPO1", format!("{version}/one"))
        .env("OCI_REPO2", format!("{version}/two"))
        .env("OCI_DATA_SPARSE", sparse.to_string())
        .env("OCI_RESULTS_DIR", results.path());
    if let Some((user, password)) = registry.login() {
        suite = suite
            .env("OCI_USERNAME", user)
            .env("OCI_PASSWORD", password);
    }
    let done = trusting(suite, registry).output();
    let report = fs::read_to_string(results.path().join("results.yaml"));
    assert!(report.is_ok(), "no results.yaml was written: {done}");
    assert!(done.success(), "{done}");
    let counts = Counts::read(&done.stdout);
    say(&format!(
        "conformance {version}, {}: {} passed, {} failed, {} skipped in {:.1} s",
        registry.url(),
        counts.pass,
        counts.fail,
        counts.skip,
        done.took.as_secs_f64()
    ));
    assert!(counts.pass > 600, "too few checks ran: {done}");
    assert_eq!(counts.fail, 0, "{done}");
    let skipped = skipped_tests(&done.stdout);
    assert!(
        skipped.iter().all(|test| test.contains(MAY_SKIP)),
        "skipped: {skipped:?}\n{done}"
    );
    // Counts are checks, and a test that was skipped in part reads Pass.
    assert!(counts.skip <= 2, "{done}");
    assert_http_2(&done, registry);
}

/// Runs the suite of release 1.1.1; its shape never changes: 79 specs, of which
/// 5 are skipped on every server.
fn old_passes(registry: &Registry) {
    let results = TempDir::new().expect("a temporary directory");
    let mut suite = run("conformance-v1.1.1.test")
        .dir(results.path())
        .env("OCI_ROOT_URL", registry.url())
        .env("OCI_NAMESPACE", "old/one")
        .env("OCI_CROSSMOUNT_NAMESPACE", "old/two")
        .env("OCI_TEST_PULL", "1")
        .env("OCI_TEST_PUSH", "1")
        .env("OCI_TEST_CONTENT_DISCOVERY", "1")
        .env("OCI_TEST_CONTENT_MANAGEMENT", "1")
        .env("OCI_REPORT_DIR", "none");
    if let Some((user, password)) = registry.login() {
        suite = suite
            .env("OCI_USERNAME", user)
            .env("OCI_PASSWORD", password);
    }
    let done = trusting(suite, registry).ok();
    let plain = without_colours(&done.stdout);
    let summary = plain.lines().find(|line| line.contains("Passed |"));
    let summary = summary.unwrap_or_default();
    say(&format!(
        "conformance v1.1.1, {}: {summary}",
        registry.url()
    ));
    let numbers = numbers_in(summary);
    // N Passed | N Failed | N Pending | N Skipped
    assert_eq!(numbers, [74, 0, 0, 5], "{done}");
    assert_http_2(&done, registry);
}

fn tls(registry: &Registry) -> bool {
    registry.url().starts_with("https:")
}

/// Go reads its trust from the environment, and tells of HTTP/2 on request.
fn trusting(suite: Run, registry: &Registry) -> Run {
    if !tls(registry) {
        return suite;
    }
    suite
        .env("SSL_CERT_FILE", registry.authority().certificate())
        .env("GODEBUG", "http2debug=1")
}

/// Go offers h2 by ALPN; this shows that the server took it.
fn assert_http_2(done: &Finished, registry: &Registry) {
    if tls(registry) {
        let said = done.stderr.contains("http2: Transport");
        assert!(said, "HTTP/2 was not used: {done}");
    }
}

/// The totals that the new suite prints after its result, one to a line:
/// `Pass..........................:        848`.
struct Counts {
    pass: usize,
    fail: usize,
    skip: usize,
}

impl Counts {
    fn read(stdout: &str) -> Counts {
        let plain = without_colours(stdout);
        let (_, after) = plain
            .split_once("OCI Conformance Result:")
            .unwrap_or_else(|| panic!("no result in:\n{plain}"));
        let block: String = after.lines().take(12).collect::<Vec<_>>().join("\n");
        let count = |word: &str| {
            let lines = block.lines().skip(1);
            let mut found = lines.filter(|line| line.contains(word));
            let line = found.next().unwrap_or_default();
            numbers_in(line).first().copied().unwrap_or(0)
        };
        Counts {
            pass: count("Pass"),
            fail: count("FAIL") + count("Error"),
            skip: count("Skip"),
        }
    }
}

/// The lines of the printed tree (`PATH OF THE TEST: STATUS`) that read Skip.
fn skipped_tests(stdout: &str) -> Vec<String> {
    let plain = without_colours(stdout);
    let tree = plain.split("OCI Conformance Result:").next();
    tree.unwrap_or_default()
        .lines()
        .filter(|line| line.trim_end().ends_with(": Skip"))
        .map(|line| line.trim().to_owned())
        .collect()
}

fn numbers_in(line: &str) -> Vec<usize> {
    line.split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// Drops the terminal's colour sequences.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}
