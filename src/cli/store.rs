//! Where the images lie that a command works on: beside a configuration, or in
//! the data directory of a server without one. For commands that work on the
//! store itself, whether or not a server runs.

use std::path::PathBuf;

use clap::Args;

use super::config::{environment, found, variable};
use crate::config::{Config, Found};
use crate::registry;
use crate::storage::{Settings, files};

/// File operations at once, for the directory of `--data`.
const THREADS: usize = 25;

/// What names the images.
#[derive(Debug, Args)]
pub struct StoreArgs {
    /// The configuration that the server is started with; else the one that
    /// REGISTRY_CONFIGURATION_PATH names; without either, the data directory
    #[arg(conflicts_with = "data")]
    config: Option<PathBuf>,
    /// The data directory of a server without a configuration
    #[arg(long, default_value = "wharf-data")]
    data: PathBuf,
}

/// The images, and how the server treats them.
pub(super) struct Place {
    pub(super) storage: Settings,
    pub(super) registry: registry::Settings,
}

impl StoreArgs {
    /// For commands that name the configuration in another way.
    pub(super) fn of(config: Option<PathBuf>, data: PathBuf) -> Self {
        Self { config, data }
    }

    /// What the configuration or the data directory says. Nothing is opened.
    ///
    /// # Errors
    /// What is wrong with it, for people: the command ends with
    /// [`super::CONFIGURATION`].
    pub(super) fn place(&self) -> Result<Place, String> {
        let Some(found) = found(self.config.as_deref(), variable) else {
            if !self.data.is_dir() {
                return Err(format!(
                    "there is no data directory {}; name another with --data, or a configuration",
                    self.data.display()
                ));
            }
            let files = files::Settings {
                root: self.data.clone(),
                max_threads: THREADS,
                sync: files::SyncMode::Full,
            };
            return Ok(Place {
                storage: Settings::Files(files),
                registry: registry::Settings::default(),
            });
        };
        Place::configured(&found)
    }
}

impl Place {
    /// What a configuration says. Nothing is opened.
    ///
    /// # Errors
    /// Like [`StoreArgs::place`].
    pub(super) fn configured(found: &Found) -> Result<Self, String> {
        let loaded = Config::read(&found.path, environment()).map_err(|error| error.to_string())?;
        let config = loaded.config;
        if let Settings::Files(files) = &config.storage
            && !files.root.is_dir()
        {
            return Err(format!("there is no directory {}", files.root.display()));
        }
        Ok(Self {
            storage: config.storage,
            registry: config.registry,
        })
    }
}
