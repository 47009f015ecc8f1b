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
    if let Some(last) = &page.next {
        let most = state.registry.settings().tags_page;
        let n = limit.map_or(most, |limit| limit.min(most));
        let query = [("last", last.as_str()), ("n", &n.to_string())];
        let link = state
            .locations()
            .next(format_args!("{name}/tags/list"), &query)?;
        response.headers_mut().insert(LINK, link);
        answer::warn_if_clamped(&mut response, limit, n);
    }
    Ok(response)
}
