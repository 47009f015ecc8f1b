//! `referrers/<digest>` (distribution-spec, "Listing Referrers").

use axum::response::Response;
use http::HeaderValue;
use http::header::LINK;
use serde_json::json;

use super::State;
use super::answer::{self, OCI_FILTERS_APPLIED};
use super::error::Problem;
use crate::access::{Allowed, Pull};
use crate::oci::{Digest, OCI_IMAGE_INDEX};

pub(super) async fn list(
    state: &State,
    allowed: &Allowed<Pull>,
    subject: &Digest,
    artifact_type: Option<&str>,
    after: Option<&Digest>,
    limit: Option<usize>,
) -> Result<Response, Problem> {
    let name = allowed.repository();
    let page = state
        .registry
        .repository(name)
        .referrers(subject, artifact_type, after, limit)
        .await?;
    let index =
        json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX, "manifests": page.descriptors});
    let mut response = answer::json(OCI_IMAGE_INDEX, &index)?;
    if artifact_type.is_some() {
        response.headers_mut().insert(
            OCI_FILTERS_APPLIED,
            HeaderValue::from_static("artifactType"),
        );
    }
    if let Some(last) = page.next {
        let last = last.to_string();
        let n = limit.map(|n| n.to_string());
        let mut query = vec![("last", last.as_str())];
        query.extend(n.as_deref().map(|n| ("n", n)));
        query.extend(artifact_type.map(|wanted| ("artifactType", wanted)));
        let link = state
            .locations()
            .next(format_args!("{name}/referrers/{subject}"), &query)?;
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}
