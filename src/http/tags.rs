//! `tags/list` (distribution-spec, "Listing Tags").

use axum::response::Response;
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
    let most = state.registry.settings().tags_page;
    let n = limit.map(|limit| limit.min(most));
    let page = state.registry.repository(name).tags(after, n).await?;
    let mut response = answer::json(
        "application/json",
        &json!({"name": name.as_str(), "tags": page.items}),
    )?;
    if let Some(last) = &page.next {
        let path = format_args!("{name}/tags/list");
        state.continue_after(&mut response, path, last, n.unwrap_or(most), limit)?;
    }
    Ok(response)
}
