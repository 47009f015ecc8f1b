//! registry:2's configuration (`version: 0.1`): file and environment into each
//! room's own settings.

use crate::{auth, http, observe, registry, server, storage};

/// Everything that `wharf serve` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// `log`
    pub log: observe::log::Settings,
    /// `storage.filesystem`
    pub storage: storage::files::Settings,
    /// `storage.delete`, `storage.maintenance`, `validation`, `catalog`, `tags`
    pub registry: registry::Settings,
    /// `auth`
    pub auth: auth::Settings,
    /// `http.prefix`, `http.host`, `http.headers`
    pub http: http::Settings,
    /// `http.addr`, `http.tls`, …
    pub server: server::Settings,
    /// `http.debug`
    pub debug: Option<observe::debug::Settings>,
    /// `health`
    pub health: observe::health::Settings,
}
