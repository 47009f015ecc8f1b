//! Where things are: `Location` and `Link` values.

use std::fmt::Display;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Settings;
use super::error::Problem;
use crate::oci::{Digest, RepositoryName, UploadId};
use crate::registry::StoreId;

/// What stays as it is in a query value.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':');

/// Makes addresses: relative ones, which are right behind every proxy, unless
/// the configuration names the registry's own (`http.host`).
pub(super) struct Locations<'a> {
    settings: &'a Settings,
    store: Option<StoreId>,
}

impl<'a> Locations<'a> {
    pub(super) fn new(settings: &'a Settings, store: Option<StoreId>) -> Self {
        Self { settings, store }
    }

    pub(super) fn blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<HeaderValue, Problem> {
        self.at(format_args!("{name}/blobs/{digest}"))
    }

    pub(super) fn manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<HeaderValue, Problem> {
        self.at(format_args!("{name}/manifests/{digest}"))
    }

    /// Where an upload goes on, and on which store: whoever answers there can
    /// tell that it uses another one.
    pub(super) fn upload(
        &self,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<HeaderValue, Problem> {
        match self.store {
            Some(store) => self.at(format_args!("{name}/blobs/uploads/{id}?store={store}")),
            None => self.at(format_args!("{name}/blobs/uploads/{id}")),
        }
    }

    /// `Link: <…>; rel="next"` (RFC 8288) with these query parameters. Always
    /// relative, as registry:2's is.
    pub(super) fn next(
        &self,
        path: impl Display,
        query: &[(&str, &str)],
    ) -> Result<HeaderValue, Problem> {
        let query: Vec<String> = query
            .iter()
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, QUERY)))
            .collect();
        let text = format!(
            "<{}/v2/{path}?{}>; rel=\"next\"",
            self.settings.prefix,
            query.join("&")
        );
        HeaderValue::try_from(text).map_err(Problem::internal)
    }

    fn at(&self, path: impl Display) -> Result<HeaderValue, Problem> {
        let base = self.settings.external_url.as_deref().unwrap_or_default();
        HeaderValue::try_from(format!("{base}{}/v2/{path}", self.settings.prefix))
            .map_err(Problem::internal)
    }
}
