//! `storage.s3`, `storage.gcs` and `storage.azure` of the configuration.

use std::path::PathBuf;

use zeroize::Zeroizing;

/// A bucket or container, and how to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which engine, and how to reach it.
    pub engine: Engine,
    /// `rootdirectory`: what every key begins with, without slashes at its
    /// ends; may be empty.
    pub root: String,
    /// `chunksize`: bytes of an upload that are sent at once, from
    /// [`Settings::LEAST_CHUNK`] on. An upload holds a few of them in memory.
    pub chunk_size: usize,
    /// `multipartcopymaxconcurrency`: parts that the store copies at once when an
    /// upload is closed.
    pub copies: usize,
    /// Whether clients are sent to the store for blobs
    /// (`storage.redirect.disable: false`).
    pub redirect: bool,
}

impl Settings {
    /// The least that S3 takes as a part of a large object, in bytes.
    pub const LEAST_CHUNK: usize = 5 * 1024 * 1024;
    /// Bytes of a part unless the configuration says otherwise, as registry:2.
    pub const CHUNK: usize = 10 * 1024 * 1024;
    /// Copies at once unless the configuration says otherwise.
    pub const COPIES: usize = 16;
}

/// An engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Amazon S3 and what speaks its protocol.
    S3(S3),
    /// Google Cloud Storage.
    Gcs(Gcs),
    /// Azure Blob Storage.
    Azure(Azure),
}

/// A secret of the configuration: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// `storage.s3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// `bucket`
    pub bucket: String,
    /// `region`; `us-east-1` if only an endpoint is given, and mostly without
    /// meaning then.
    pub region: Option<String>,
    /// `regionendpoint`: where the engine listens, if it isn't Amazon's; with or
    /// without `http://` or `https://`.
    pub endpoint: Option<String>,
    /// `redirectendpoint`: where clients reach it, if that is elsewhere.
    pub redirect_endpoint: Option<String>,
    /// `accesskey` and `secretkey`; else the environment, a web identity, or the
    /// machine's own role.
    pub keys: Option<(String, Secret)>,
    /// `forcepathstyle`: the bucket in the path rather than in the host's name.
    pub path_style: bool,
    /// `secure`: HTTPS if `regionendpoint` names no scheme.
    pub secure: bool,
    /// `skipverify`: any certificate will do.
    pub skip_verify: bool,
    /// `encrypt`: ask the engine to encrypt what it keeps.
    pub encrypt: bool,
    /// `keyid`: with which KMS key.
    pub key_id: Option<String>,
    /// `storageclass`, unless it is the engine's own default.
    pub storage_class: Option<String>,
    /// `useragent`
    pub user_agent: Option<String>,
}

/// `storage.gcs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gcs {
    /// `bucket`
    pub bucket: String,
    /// `keyfile` or `credentials`; else the application's default credentials.
    pub key: Option<GcsKey>,
}

/// A service account's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GcsKey {
    /// `keyfile`: its JSON file.
    File(PathBuf),
    /// `credentials`: the JSON itself.
    Json(Secret),
}

/// `storage.azure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Azure {
    /// `accountname`
    pub account: String,
    /// `container`
    pub container: String,
    /// Who we are.
    pub credentials: AzureCredentials,
    /// `serviceurl`, or made of `realm`; else Azure's own.
    pub endpoint: Option<String>,
    /// `skipverify`: any certificate will do.
    pub skip_verify: bool,
}

/// How to log in to Azure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureCredentials {
    /// `accountkey`
    Key(Secret),
    /// `credentials.type: client_secret`
    Client {
        /// `tenantid`
        tenant: String,
        /// `clientid`
        client: String,
        /// `secret`
        secret: Secret,
    },
    /// `credentials.type: default_credentials`: the environment, a workload
    /// identity or the machine's own identity.
    Default,
}
