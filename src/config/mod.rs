//! registry:2's configuration (`version: 0.1`): file and environment into each
//! room's own settings.
//!
//! A file becomes a tree that remembers where everything was written (`yaml`),
//! the environment is laid over it (`environment`), the schema says what is
//! known, ignored and refused (`schema`, `check`), and what is left becomes
//! settings (`rooms`). Everything that is wrong is told at once.

mod check;
mod environment;
mod find;
mod nearest;
mod reference;
mod report;
mod rooms;
mod schema;
mod section;
#[cfg(test)]
mod tests;
mod tree;
mod values;
mod yaml;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use find::{Found, find};
pub use reference::reference;
pub use report::{Note, Origin, Problem, Problems};
pub use values::age;

use crate::{access, auth, http, observe, registry, server, storage};
use report::Report;

/// registry:2 stops at once; docker waits for 10 s before it kills, Kubernetes
/// for 30 s.
const DEFAULT_DRAIN: Duration = Duration::from_secs(25);

/// What a login is asked for without a configuration file.
const EMBEDDED_REALM: &str = "wharf";

/// Everything that `wharf serve` needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `log`
    pub log: observe::log::Settings,
    /// `audit`
    pub audit: observe::audit::Settings,
    /// The driver in `storage`, and `storage.redirect`
    pub storage: storage::Settings,
    /// `storage.delete`, `storage.maintenance`, `validation`, `catalog`, `tags`,
    /// `immutable`, `gc`, `retention`, `quotas` and their part of `limits`
    pub registry: registry::Settings,
    /// `auth`
    pub auth: auth::Settings,
    /// `access`
    pub access: access::Settings,
    /// `http.prefix`, `http.host`, `http.headers`
    pub http: http::Settings,
    /// `http.addr`, `http.tls`, …
    pub server: server::Settings,
    /// `limits`: those of connections.
    pub limits: server::Limits,
    /// `http.drainpause`: how long everything is still accepted after SIGTERM.
    pub pause: Duration,
    /// `http.debug`
    pub debug: Option<observe::debug::Settings>,
    /// `health`
    pub health: observe::health::Settings,
    /// `scrub`
    pub scrub: registry::check::Scrubbing,
}

/// A configuration and what to tell the operator about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What to do.
    pub config: Config,
    /// Keys that are unknown or without effect, in the order of the file.
    pub notes: Vec<Note>,
}

impl Config {
    /// Reads the file `path` and lays the `REGISTRY_*` variables of
    /// `environment` over it.
    ///
    /// Errors: all [`Problems`] at once, an unreadable file among them.
    pub fn read(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, Problems> {
        match fs::read_to_string(path) {
            Ok(text) => Self::load(path, &text, environment),
            Err(error) => {
                let report = Report::default();
                let reason = format!("cannot read the configuration: {error}");
                report.problem(&Origin::whole(&name(path)), reason);
                Err(report.into_problems())
            }
        }
    }

    /// The configuration that `text`, the content of the file `path`, and the
    /// `REGISTRY_*` variables of `environment` describe.
    ///
    /// Errors: all [`Problems`] at once.
    pub fn load(
        path: &Path,
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, Problems> {
        let report = Report::default();
        let name = name(path);
        let mut root = match yaml::parse(&name, text) {
            Ok(root) => root,
            Err(error) => {
                let origin = Origin::File {
                    name,
                    line: error.line,
                    column: error.column,
                };
                report.problem(&origin, format!("not YAML: {}", error.reason));
                return Err(report.into_problems());
            }
        };
        // What is missing is missing from the file, not from its first key.
        root.origin = Origin::whole(&name);
        environment::overlay(&mut root, environment, &report);
        check::normalise(&mut root);
        check::check(&root, &report);
        let config = rooms::config(&root, &report);
        let notes = report.into_result()?;
        Ok(Loaded { config, notes })
    }

    /// The settings of `wharf serve` without a file: what is secure from the
    /// first second. `addr` is `host:port`, `users` the htpasswd file.
    pub fn embedded(
        root: PathBuf,
        addr: String,
        tls: server::tls::Settings,
        users: PathBuf,
    ) -> Self {
        Self {
            log: observe::log::Settings {
                level: tracing::Level::INFO,
                format: observe::log::Format::Text,
                fields: Vec::new(),
                requests: true,
            },
            audit: observe::audit::Settings::default(),
            storage: storage::Settings::Files(storage::files::Settings {
                root,
                max_threads: rooms::DEFAULT_THREADS,
                sync: storage::files::SyncMode::Full,
            }),
            registry: registry::Settings {
                delete: true,
                gc: registry::gc::Settings {
                    enabled: true,
                    ..registry::gc::Settings::default()
                },
                ..registry::Settings::default()
            },
            auth: auth::Settings {
                htpasswd: Some(auth::htpasswd::Settings {
                    realm: EMBEDDED_REALM.to_owned(),
                    path: users,
                    queue: auth::htpasswd::Settings::QUEUE,
                    backoff: auth::backoff::Limits::default(),
                }),
                ..auth::Settings::default()
            },
            access: access::Settings::default(),
            http: http::Settings::default(),
            server: server::Settings {
                listen: server::Listen::Tcp(addr),
                tls: Some(tls),
                http2: true,
                h2c: false,
                drain: DEFAULT_DRAIN,
            },
            limits: server::Limits::default(),
            pause: Duration::ZERO,
            debug: None,
            health: observe::health::Settings::default(),
            scrub: registry::check::Scrubbing {
                enabled: true,
                ..registry::check::Scrubbing::default()
            },
        }
    }
}

fn name(path: &Path) -> Arc<str> {
    path.display().to_string().into()
}
