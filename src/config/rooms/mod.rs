//! A checked tree into each room's own settings.

mod access;
mod audit;
mod auth;
mod http;
mod limits;
mod objects;
mod observe;
mod registry;
mod rules;
mod scrub;
mod storage;
mod tls;

pub(super) use storage::DEFAULT_THREADS;

use super::Config;
use super::report::Report;
use super::section::Section;
use super::tree::Node;
use super::values;

/// The configuration that the tree describes. Where a value is bad, the
/// report says so and the configuration holds the default: whoever asks must
/// look at the report first.
pub(super) fn config(root: &Node, report: &Report) -> Config {
    let root = Section::root(root, report);
    version(&root);
    let storage = storage::storage(&root.section("storage"));
    let mut auth = auth::logins(&root);
    let access = access::access(&root.section("access"), !auth.is_open());
    auth.tokens = auth::own_tokens(&root, access.welcomes_anonymous(), &auth);
    Config {
        log: observe::log(&root),
        audit: audit::audit(&root.section("audit")),
        registry: registry::registry(&root, &storage),
        storage,
        auth,
        access,
        http: http::wire(&root.section("http"), limits::wire(&root.section("limits"))),
        server: http::server(&root.section("http")),
        limits: limits::server(&root.section("limits")),
        pause: http::pause(&root.section("http")),
        debug: http::debug(&root.section("http").section("debug")),
        health: observe::health(&root.section("health")),
        scrub: scrub::scrub(&root.section("scrub")),
    }
}

fn version(root: &Section<'_>) {
    if !root.has("version") {
        root.problem_of("version", "missing; begin the file with `version: 0.1`");
    }
    root.read("version", |text| {
        values::word(&[("0.1", ())], text)
            .map_err(|_| format!("`{text}` is not supported; write `version: 0.1`"))
    });
}
