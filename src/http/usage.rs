//! `_wharf/usage`: what repositories hold, for whoever may list them.

use axum::response::Response;
use serde_json::{Value, json};

use super::State;
use super::answer;
use super::error::Problem;
use crate::access::{Allowed, Pull, Visible};
use crate::registry::usage::RepositoryUsage;

/// Without `n` a page has as many entries as one of the catalog.
const DEFAULT_PAGE: usize = 100;

/// All repositories, page by page.
pub(super) async fn list(
    state: &State,
    visible: &Visible,
    after: Option<&str>,
    limit: Option<usize>,
) -> Result<Response, Problem> {
    let most = state.registry.settings().catalog_page;
    let n = limit.unwrap_or(DEFAULT_PAGE).min(most);
    let page = state.registry.usage_page(after, n, visible).await?;
    let mut response = answer(state, visible, &page.items).await?;
    if let Some(last) = &page.next {
        state.continue_after(&mut response, "_wharf/usage", last, n, limit)?;
    }
    Ok(response)
}

/// One repository.
pub(super) async fn one(
    state: &State,
    visible: &Visible,
    allowed: &Allowed<Pull>,
) -> Result<Response, Problem> {
    let usage = state.registry.usage_of(allowed.repository()).await?;
    answer(state, visible, &[usage]).await
}

/// What repositories that the caller doesn't see hold is not in it, not even in
/// a sum.
async fn answer(
    state: &State,
    visible: &Visible,
    repositories: &[RepositoryUsage],
) -> Result<Response, Problem> {
    let repositories: Vec<Value> = repositories.iter().map(repository).collect();
    if !visible.everything() {
        let own = json!({ "repositories": repositories });
        return answer::json("application/json", &own);
    }
    let summary = state.registry.usage_summary().await?;
    answer::json(
        "application/json",
        &json!({
            "measured": summary.measured_at(),
            "used": summary.used,
            "waiting": summary.waiting,
            "uploads": {
                "sessions": summary.sessions.count,
                "bytes": summary.sessions.bytes,
            },
            "repositories": repositories,
        }),
    )
}

fn repository(usage: &RepositoryUsage) -> Value {
    json!({
        "name": usage.name,
        "manifests": usage.manifests,
        "tags": usage.tags,
        "size": usage.size(),
        "unique": usage.unique,
        "shared": usage.shared,
    })
}
