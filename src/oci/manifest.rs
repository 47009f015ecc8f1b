//! Manifests and indexes, as far as a registry reads them.
