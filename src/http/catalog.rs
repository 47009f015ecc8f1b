//! `_catalog`: Docker's list of repositories.

use axum::response::Response;
use serde_json::json;

use super::State;
use super::answer;
use super::error::Problem;
use crate::access::Visible;
use crate::oci::{RepositoryName, Span};
use crate::registry::Sight;

/// Without `n` registry:2 answers with this many.
const DEFAULT_PAGE: usize = 100;

pub(super) async fn list(
    state: &State,
    visible: &Visible,
    after: Option<&str>,
    limit: Option<usize>,
) -> Result<Response, Problem> {
    let most = state.registry.settings().catalog_page;
    let n = limit.unwrap_or(DEFAULT_PAGE).min(most);
    let page = state.registry.catalog(after, n, visible).await?;
    let names: Vec<&str> = page.items.iter().map(RepositoryName::as_str).collect();
    let mut response = answer::json("application/json", &json!({ "repositories": names }))?;
    if let Some(last) = &page.next {
        state.continue_after(&mut response, "_catalog", last, n, limit)?;
    }
    Ok(response)
}

impl Sight for Visible {
    fn sees(&self, repository: &RepositoryName) -> bool {
        Visible::sees(self, repository)
    }

    fn spans(&self) -> Vec<Span> {
        Visible::spans(self)
    }

    fn sees_below(&self, directory: &RepositoryName) -> bool {
        Visible::sees_below(self, directory)
    }
}
