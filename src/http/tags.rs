//! `tags/list` (distribution-spec, "Listing Tags").

use axum::response::Response;
use http::header::LINK;
use serde_json::json;

use super::State;
use super::answer;
use super::error::Problem;
use crate::access::{Allowed, Pull};

pub(super) async fn list(
    state: &State,
    allowed: &Allowed<Pull>,
    after: Option<&str>,
    limit: Option<usize>,
) -> Result<Response, Problem> {
    let name = allowed.repository();
    let page = state.registry.repository(name).tags(after, limit).await?;
    let mut response = answer::json(
        "application/json",
        &json!({"name": name.as_str(), "tags": page.items}),
    )?;
    if page.more
        && let Some(last) = page.items.last()
    {
        let n = limit
            .unwrap_or(page.items.len())
            .min(page.items.len())
            .to_string();
        let link = state.locations().next(
            format_args!("{name}/tags/list"),
            &[("last", last), ("n", &n)],
        )?;
        response.headers_mut().insert(LINK, link);
        answer::warn_if_clamped(&mut response, limit, page.items.len());
    }
    Ok(response)
}
