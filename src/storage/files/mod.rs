//! The filesystem back end: registry:2's tree under one root directory.

use std::path::PathBuf;

/// `storage.filesystem` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `rootdirectory`: where the tree begins.
    pub root: PathBuf,
    /// `maxthreads`: the most file operations at once.
    pub max_threads: usize,
}
