//! `UploadPartCopy` of S3: an object becomes a part of a larger one within the
//! store. The one request that the client library doesn't offer; its signature
//! is the library's.

use std::io;
use std::time::Duration;

use http::{HeaderValue, Method};
use object_store::aws::{AmazonS3, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{
    HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector,
};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{ClientOptions, MultipartId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

/// How often a failing copy is tried.
const TRIES: u32 = 5;

/// The most that such an answer has, in bytes: a few lines of XML.
const ANSWER: usize = 64 * 1024;

/// What stays as it is in a path of a signed request.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// What stays as it is in a query of a signed request.
const QUERY: &AsciiSet = &PATH.add(b'/');

/// Copies parts within one bucket.
#[derive(Debug)]
pub(super) struct PartCopy {
    client: HttpClient,
    credentials: AwsCredentialProvider,
    /// What a key is appended to, without a slash at its end.
    base: String,
    region: String,
    bucket: String,
}

/// The answer that we need: other elements don't matter.
#[derive(Deserialize)]
struct CopyPartResult {
    #[serde(rename = "ETag")]
    e_tag: String,
}

impl PartCopy {
    pub(super) fn new(
        store: &AmazonS3,
        base: String,
        region: String,
        bucket: String,
        options: &ClientOptions,
    ) -> object_store::Result<Self> {
        Ok(Self {
            client: ReqwestConnector::default().connect(options)?,
            credentials: store.credentials().clone(),
            base,
            region,
            bucket,
        })
    }

    /// Makes the whole object `from`, of at most 5 GiB, the part `index`
    /// (counted from 0) of an upload.
    ///
    /// # Errors
    /// What the store said, after some tries.
    pub(super) async fn copy(
        &self,
        from: &Path,
        to: &Path,
        id: &MultipartId,
        index: usize,
    ) -> io::Result<PartId> {
        let mut pause = Duration::from_millis(100);
        let mut tries = 1;
        loop {
            match self.try_copy(from, to, id, index).await {
                Err(Failure::Again(_)) if tries < TRIES => {
                    tokio::time::sleep(pause).await;
                    pause *= 3;
                    tries += 1;
                }
                Err(Failure::Again(error) | Failure::Never(error)) => return Err(error),
                Ok(part) => return Ok(part),
            }
        }
    }

    async fn try_copy(
        &self,
        from: &Path,
        to: &Path,
        id: &MultipartId,
        index: usize,
    ) -> Result<PartId, Failure> {
        let mut request = self.request(from, to, id, index).map_err(Failure::Never)?;
        let credentials = self.credentials.get_credential().await;
        let credentials = credentials.map_err(|error| Failure::Again(io::Error::other(error)))?;
        AwsAuthorizer::new(&credentials, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| Failure::Never(io::Error::other(error)))?;
        let response = self.client.execute(request).await;
        let response = response.map_err(|error| Failure::Again(io::Error::other(error)))?;
        let status = response.status();
        let body = response.into_body().bytes().await;
        let body = body.map_err(|error| Failure::Again(io::Error::other(error)))?;
        let text = String::from_utf8_lossy(body.get(..ANSWER).unwrap_or(&body)).into_owned();
        if status.is_success() {
            // A 200 may bring an error: the store begins to answer before it
            // has copied.
            match quick_xml::de::from_str::<CopyPartResult>(&text) {
                Ok(result) => Ok(PartId {
                    content_id: result.e_tag,
                }),
                Err(_) => Err(Failure::Again(io::Error::other(text))),
            }
        } else {
            let error = io::Error::other(format!("{status}: {text}"));
            if status.is_server_error() || status.as_u16() == 429 {
                Err(Failure::Again(error))
            } else {
                Err(Failure::Never(error))
            }
        }
    }

    fn request(
        &self,
        from: &Path,
        to: &Path,
        id: &MultipartId,
        index: usize,
    ) -> io::Result<HttpRequest> {
        let uri = format!(
            "{}/{}?partNumber={}&uploadId={}",
            self.base,
            utf8_percent_encode(to.as_ref(), PATH),
            index + 1,
            utf8_percent_encode(id, QUERY),
        );
        let source = format!(
            "/{}/{}",
            self.bucket,
            utf8_percent_encode(from.as_ref(), PATH)
        );
        let source = HeaderValue::try_from(source).map_err(io::Error::other)?;
        http::Request::builder()
            .method(Method::PUT)
            .uri(uri)
            .header("x-amz-copy-source", source)
            .header(http::header::CONTENT_LENGTH, 0)
            .body(HttpRequestBody::empty())
            .map_err(io::Error::other)
    }
}

enum Failure {
    /// Trying again may help.
    Again(io::Error),
    /// It won't.
    Never(io::Error),
}
