//! Clients for each engine, as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientOptions, HeaderValue, ObjectStore, RetryConfig};

use super::part_copy::PartCopy;
use super::settings::{Azure, AzureCredentials, Engine, Gcs, GcsKey, S3};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a store may be silent within an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// After so long a failed operation isn't tried again: clients of a registry
/// wait about 30 seconds.
const RETRYING: Duration = Duration::from_secs(10);

/// Amazon's own default; other engines mostly don't care.
const REGION: &str = "us-east-1";

/// One engine, seen from every side that is used.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) lists: Arc<dyn PaginatedListStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
    /// Makes addresses for clients.
    pub(super) signer: Arc<dyn Signer>,
    /// Has parts copied by the store itself, where that is possible.
    pub(super) part_copy: Option<Arc<PartCopy>>,
    /// The storage class of new objects, unless it is the bucket's own.
    pub(super) storage_class: Option<String>,
    /// registry:2's name of the driver.
    pub(super) driver: &'static str,
    /// The section of the configuration below `storage`.
    pub(super) section: &'static str,
    /// The bucket and where it is, for people.
    pub(super) name: String,
}

impl Client {
    /// A client that has not asked the engine anything yet.
    pub(super) fn new(engine: &Engine) -> object_store::Result<Self> {
        match engine {
            Engine::S3(s3) => amazon(s3),
            Engine::Gcs(gcs) => google(gcs),
            Engine::Azure(azure) => microsoft(azure),
        }
    }
}

fn amazon(settings: &S3) -> object_store::Result<Client> {
    // Without keys of our own the environment may say where, too.
    let endpoint = settings.endpoint.clone().or_else(|| {
        let environment = settings.keys.is_none().then(AmazonS3Builder::from_env)?;
        environment.get_config_value(&AmazonS3ConfigKey::Endpoint)
    });
    let endpoint = endpoint.map(|endpoint| with_scheme(&endpoint, settings.secure));
    let store = Arc::new(builder(settings, endpoint.as_deref())?.build()?);
    let signer = match &settings.redirect_endpoint {
        Some(public) => {
            let public = with_scheme(public, settings.secure);
            Arc::new(builder(settings, Some(&public))?.build()?)
        }
        None => store.clone(),
    };
    let region = region(settings);
    let part_copy = PartCopy::new(
        &store,
        base(settings, endpoint.as_deref(), &region),
        region.clone(),
        settings.bucket.clone(),
        &options(settings.skip_verify, settings.user_agent.as_deref())?.with_allow_http(true),
    )?;
    let place = match endpoint {
        Some(endpoint) => endpoint,
        None => region,
    };
    Ok(Client {
        lists: store.clone(),
        parts: store.clone(),
        signer,
        part_copy: Some(Arc::new(part_copy)),
        storage_class: settings.storage_class.clone(),
        driver: "s3aws",
        section: "s3",
        name: format!("bucket {} at {place}", settings.bucket),
        store,
    })
}

fn region(settings: &S3) -> String {
    settings.region.clone().unwrap_or_else(|| REGION.to_owned())
}

fn builder(settings: &S3, endpoint: Option<&str>) -> object_store::Result<AmazonS3Builder> {
    let mut builder = match &settings.keys {
        Some((key, secret)) => AmazonS3Builder::new()
            .with_access_key_id(key)
            .with_secret_access_key(secret.reveal()),
        None => AmazonS3Builder::from_env(),
    };
    builder = builder
        .with_bucket_name(&settings.bucket)
        .with_region(region(settings))
        .with_virtual_hosted_style_request(!settings.path_style)
        // TLS protects what is sent already; hashing it once more for the
        // signature would cost as much as the client's digest.
        .with_unsigned_payload(endpoint.is_none_or(|endpoint| endpoint.starts_with("https://")))
        .with_retry(retry())
        .with_client_options(options(
            settings.skip_verify,
            settings.user_agent.as_deref(),
        )?);
    if let Some(endpoint) = endpoint {
        let address = if settings.path_style {
            endpoint.to_owned()
        } else {
            base(settings, Some(endpoint), "")
        };
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(address);
    }
    if settings.encrypt {
        builder = match &settings.key_id {
            Some(key) => builder.with_sse_kms_encryption(key),
            None => builder.with_config("aws_server_side_encryption".parse()?, "AES256"),
        };
    }
    Ok(builder)
}

/// What a key is appended to: with the bucket in the path or in the host.
fn base(settings: &S3, endpoint: Option<&str>, region: &str) -> String {
    let bucket = &settings.bucket;
    match endpoint {
        Some(endpoint) if settings.path_style => format!("{endpoint}/{bucket}"),
        Some(endpoint) => match endpoint.split_once("://") {
            Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
            None => endpoint.to_owned(),
        },
        None if settings.path_style => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
    }
}

fn with_scheme(endpoint: &str, secure: bool) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.contains("://") {
        endpoint.to_owned()
    } else if secure {
        format!("https://{endpoint}")
    } else {
        format!("http://{endpoint}")
    }
}

fn google(settings: &Gcs) -> object_store::Result<Client> {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&settings.bucket)
        .with_retry(retry())
        .with_client_options(options(false, None)?);
    builder = match &settings.key {
        Some(GcsKey::File(path)) => {
            builder.with_service_account_path(path.to_string_lossy().into_owned())
        }
        Some(GcsKey::Json(json)) => builder.with_service_account_key(json.reveal()),
        None => builder,
    };
    let store = Arc::new(builder.build()?);
    Ok(Client {
        lists: store.clone(),
        parts: store.clone(),
        signer: store.clone(),
        part_copy: None,
        storage_class: None,
        driver: "gcs",
        section: "gcs",
        name: format!("bucket {} at Google", settings.bucket),
        store,
    })
}

fn microsoft(settings: &Azure) -> object_store::Result<Client> {
    let builder = match &settings.credentials {
        AzureCredentials::Default => MicrosoftAzureBuilder::from_env(),
        AzureCredentials::Key(key) => MicrosoftAzureBuilder::new().with_access_key(key.reveal()),
        AzureCredentials::Client {
            tenant,
            client,
            secret,
        } => MicrosoftAzureBuilder::new().with_client_secret_authorization(
            client,
            secret.reveal(),
            tenant,
        ),
    };
    let mut builder = builder
        .with_account(&settings.account)
        .with_container_name(&settings.container)
        .with_retry(retry())
        .with_client_options(options(settings.skip_verify, None)?);
    if let Some(endpoint) = &settings.endpoint {
        let endpoint = with_scheme(endpoint, true);
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint);
    }
    let store = Arc::new(builder.build()?);
    Ok(Client {
        lists: store.clone(),
        parts: store.clone(),
        signer: store.clone(),
        part_copy: None,
        storage_class: None,
        driver: "azure",
        section: "azure",
        name: format!(
            "container {} of account {}",
            settings.container, settings.account
        ),
        store,
    })
}

/// Without a bound on a whole request: a blob takes as long as it takes.
fn options(skip_verify: bool, user_agent: Option<&str>) -> object_store::Result<ClientOptions> {
    let agent = user_agent.unwrap_or(concat!("wharf/", env!("CARGO_PKG_VERSION")));
    let agent = HeaderValue::from_str(agent).map_err(|error| object_store::Error::Generic {
        store: "client",
        source: Box::new(error),
    })?;
    Ok(ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_read_timeout(SILENCE)
        .with_pool_idle_timeout(Duration::from_secs(60))
        .with_allow_invalid_certificates(skip_verify)
        .with_user_agent(agent))
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 10,
        retry_timeout: RETRYING,
    }
}
