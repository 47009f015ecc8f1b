//! `storage.s3`, `storage.gcs` and `storage.azure`. Nothing here reaches for
//! the store: whether the keys open it is found out at the start.

mod parse;

use std::path::PathBuf;

use self::parse::{
    Acl, Address, GREATEST_CHUNK, above_zero, acl, chunk_size, endpoint, header, name, prefix,
    storage_class,
};
use super::super::section::Section;
use super::super::values::{boolean, text, word};
use crate::storage::object::{Azure, AzureCredentials, Engine, Gcs, GcsKey, S3, Secret, Settings};

/// `storage.s3`
pub(super) fn s3(s3: &Section<'_>, redirect: bool) -> Settings {
    let bucket = s3.require("bucket", name);
    let region = s3.read("region", name);
    let given_endpoint = s3.read("regionendpoint", |text| endpoint(text, Address::Engine));
    if !s3.has("regionendpoint") && !s3.has("region") {
        s3.problem("needs `region`, or `regionendpoint` if the engine isn't Amazon's");
    }
    let secure = s3.read("secure", boolean).unwrap_or(true);
    let amazons = amazons_host(s3, region.as_deref(), secure);
    if s3.read("v4auth", boolean) == Some(false) {
        s3.problem_of(
            "v4auth",
            "requests are signed by version 4 alone; remove it",
        );
    }
    if s3.read("accelerate", boolean) == Some(true) {
        s3.problem_of(
            "accelerate",
            "is not supported: such a host doesn't list or copy, and wharf needs both; remove it",
        );
    }
    let acl = s3.read("objectacl", acl);
    if acl == Some(Acl::Other) {
        s3.note_of(
            "objectacl",
            "not supported, ignored because objects have what the bucket says; set it by the bucket's policy",
        );
    }
    let encrypt = s3.read("encrypt", boolean).unwrap_or(false);
    let key_id = s3.read("keyid", text);
    if key_id.is_some() && !encrypt {
        s3.note_of("keyid", "has no effect without `encrypt: true`");
    }
    let path_style = s3.read("forcepathstyle", boolean);
    let copies = s3.read("multipartcopymaxconcurrency", above_zero);
    Settings {
        engine: Engine::S3(S3 {
            bucket: bucket.unwrap_or_default(),
            region,
            path_style: path_style.unwrap_or(given_endpoint.is_some()),
            endpoint: given_endpoint.or(amazons),
            redirect_endpoint: s3.read("redirectendpoint", |text| endpoint(text, Address::Public)),
            keys: keys(s3),
            secure,
            skip_verify: s3.read("skipverify", boolean).unwrap_or(false),
            encrypt,
            key_id: key_id.filter(|_| encrypt),
            storage_class: s3.read("storageclass", storage_class).flatten(),
            user_agent: s3.read("useragent", header),
        }),
        root: root(s3),
        chunk_size: s3.read("chunksize", chunk_size).unwrap_or(Settings::CHUNK),
        copies: copies.unwrap_or(Settings::COPIES),
        redirect,
    }
}

/// `storage.gcs`
pub(super) fn gcs(gcs: &Section<'_>, redirect: bool) -> Settings {
    let bucket = gcs.require("bucket", name);
    let file = gcs.read("keyfile", text).map(PathBuf::from);
    let json = service_account(gcs);
    if gcs.has("keyfile") && gcs.has("credentials") {
        gcs.problem("has both `keyfile` and `credentials`; leave one");
    }
    let chunk_size = gcs.read("chunksize", above_zero);
    if chunk_size.is_some_and(|size| size < Settings::LEAST_CHUNK) {
        gcs.note_of(
            "chunksize",
            format!("raised to {} (5 MiB), the least", Settings::LEAST_CHUNK),
        );
    }
    Settings {
        engine: Engine::Gcs(Gcs {
            bucket: bucket.unwrap_or_default(),
            key: file.map(GcsKey::File).or(json.map(GcsKey::Json)),
        }),
        root: root(gcs),
        chunk_size: chunk_size
            .unwrap_or(Settings::CHUNK)
            .clamp(Settings::LEAST_CHUNK, GREATEST_CHUNK),
        copies: Settings::COPIES,
        redirect,
    }
}

/// `storage.azure`
pub(super) fn azure(azure: &Section<'_>, redirect: bool) -> Settings {
    let account = azure.require("accountname", name).unwrap_or_default();
    let container = azure.require("container", name).unwrap_or_default();
    let realm = azure.read("realm", name);
    let service = azure.read("serviceurl", |text| endpoint(text, Address::Service));
    if realm.is_some() && service.is_some() {
        azure.note_of("realm", "has no effect beside `serviceurl`");
    }
    let of_realm = realm.map(|realm| format!("https://{account}.blob.{realm}"));
    Settings {
        engine: Engine::Azure(Azure {
            credentials: azure_credentials(azure),
            endpoint: service.or(of_realm),
            skip_verify: azure.read("skipverify", boolean).unwrap_or(false),
            account,
            container,
        }),
        root: root(azure),
        chunk_size: Settings::CHUNK,
        copies: Settings::COPIES,
        redirect,
    }
}

/// `accesskey` and `secretkey`, both or none.
fn keys(s3: &Section<'_>) -> Option<(String, Secret)> {
    let access = s3.read("accesskey", text);
    let secret = s3.read("secretkey", text);
    match (s3.has("accesskey"), s3.has("secretkey")) {
        (true, false) => s3.problem("`accesskey` needs `secretkey`, too"),
        (false, true) => s3.problem("`secretkey` needs `accesskey`, too"),
        _ => {}
    }
    Some((access?, Secret::new(secret?)))
}

/// The host of Amazon's that is asked for in particular; `None` is the usual
/// one.
fn amazons_host(s3: &Section<'_>, region: Option<&str>, secure: bool) -> Option<String> {
    let dual_stack = s3.read("usedualstack", boolean) == Some(true);
    let fips = s3.read("usefipsendpoint", boolean) == Some(true);
    if s3.has("regionendpoint") {
        for (name, set) in [("usedualstack", dual_stack), ("usefipsendpoint", fips)] {
            if set {
                s3.note_of(name, "has no effect beside `regionendpoint`");
            }
        }
        return None;
    }
    if secure && !dual_stack && !fips {
        return None;
    }
    let region = region?;
    let service = if fips { "s3-fips" } else { "s3" };
    let stack = if dual_stack { ".dualstack" } else { "" };
    let country = if region.starts_with("cn-") { ".cn" } else { "" };
    Some(format!("{service}{stack}.{region}.amazonaws.com{country}"))
}

/// `credentials` of a service account, as the JSON that its file would hold.
fn service_account(gcs: &Section<'_>) -> Option<Secret> {
    if !gcs.has("credentials") {
        return None;
    }
    let credentials = gcs.section("credentials");
    for name in ["client_email", "private_key"] {
        if !credentials.has(name) {
            credentials.problem(format!(
                "needs `{name}`, as the service account's JSON file has it"
            ));
        }
    }
    let fields: serde_json::Map<String, serde_json::Value> = credentials
        .names()
        .filter_map(|name| Some((name.to_owned(), credentials.read(name, text)?.into())))
        .collect();
    Some(Secret::new(serde_json::Value::Object(fields).to_string()))
}

fn azure_credentials(azure: &Section<'_>) -> AzureCredentials {
    #[derive(Clone, Copy)]
    enum Type {
        Client,
        Key,
        Default,
    }
    let credentials = azure.section("credentials");
    let words = [
        ("client_secret", Type::Client),
        ("shared_key", Type::Key),
        ("default_credentials", Type::Default),
    ];
    let account_key = azure.read("accountkey", text).map(Secret::new);
    // Read in any case, so that what is wrong with them is told.
    let [client, tenant, secret] =
        ["clientid", "tenantid", "secret"].map(|name| credentials.read(name, text));
    match (
        credentials.read("type", |text| word(&words, text)),
        account_key,
    ) {
        (Some(Type::Client), _) => {
            for name in ["clientid", "tenantid", "secret"] {
                if !credentials.has(name) {
                    credentials.problem(format!("`type: client_secret` needs `{name}`"));
                }
            }
            AzureCredentials::Client {
                tenant: tenant.unwrap_or_default(),
                client: client.unwrap_or_default(),
                secret: Secret::new(secret.unwrap_or_default()),
            }
        }
        (Some(Type::Key), None) => {
            azure.problem("`credentials.type: shared_key` needs `accountkey`");
            AzureCredentials::Default
        }
        (Some(Type::Key) | None, Some(key)) => AzureCredentials::Key(key),
        (Some(Type::Default) | None, _) => AzureCredentials::Default,
    }
}

fn root(section: &Section<'_>) -> String {
    section.read("rootdirectory", prefix).unwrap_or_default()
}
