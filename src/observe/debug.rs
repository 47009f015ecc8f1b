//! The debug listener: `/debug/health` and `/metrics`.

/// `http.debug` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `addr`: `host:port`
    pub addr: String,
    /// `prometheus.path`, if `prometheus.enabled`.
    pub metrics_path: Option<String>,
}
