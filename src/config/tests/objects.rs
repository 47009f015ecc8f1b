//! `storage.s3`, `storage.gcs` and `storage.azure`: what arrives, and what is
//! told of what can't be right.

use super::{config, told};
use crate::storage::Settings;
use crate::storage::object::{self, AzureCredentials, Engine, GcsKey, S3, Secret};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The settings of `storage: {<text>}`.
fn objects(text: &str, variables: &[(&str, &str)]) -> object::Settings {
    let config = config(&format!("version: 0.1\nstorage: {{{text}}}\n"), variables);
    match config.storage {
        Settings::Object(settings) => *settings,
        Settings::Files(files) => panic!("{files:?}"),
    }
}

fn s3(text: &str) -> S3 {
    match objects(&format!("s3: {{{text}}}"), &[]).engine {
        Engine::S3(s3) => s3,
        other => panic!("{other:?}"),
    }
}

/// What is told of `storage: {<text>}`, without its place.
fn told_of(text: &str) -> String {
    let told = told(&format!("version: 0.1\nstorage: {{{text}}}\n"), &[]);
    let lines = told.lines().map(|line| {
        let (place, rest) = line.split_once(": ").unwrap();
        let kind = if place.starts_with("note ") {
            "note "
        } else {
            ""
        };
        format!("{kind}{rest}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_least_that_works_has_the_defaults() {
    let settings = objects("s3: {bucket: b, region: eu-west-1}", &[]);
    assert_eq!(
        settings,
        object::Settings {
            engine: Engine::S3(S3 {
                bucket: "b".to_owned(),
                region: Some("eu-west-1".to_owned()),
                endpoint: None,
                redirect_endpoint: None,
                keys: None,
                path_style: false,
                secure: true,
                skip_verify: false,
                encrypt: false,
                key_id: None,
                storage_class: None,
                user_agent: None,
            }),
            root: String::new(),
            chunk_size: 10 * 1024 * 1024,
            copies: 16,
            redirect: true,
        }
    );
    assert_eq!(told_of("s3: {bucket: b, region: eu-west-1}"), "");
}

#[test]
fn every_key_of_s3_arrives() {
    let settings = objects(
        &format!(
            "s3aws: {{bucket: b, regionendpoint: 'http://minio:9000/', redirectendpoint: 'https://s3.example.org', \
             accesskey: AKIA, secretkey: {SECRET}, rootdirectory: /a/b/, forcepathstyle: false, secure: false, \
             skipverify: true, encrypt: true, keyid: k, chunksize: 5242880, multipartcopymaxconcurrency: 3, \
             storageclass: standard_ia, useragent: me, v4auth: true, accelerate: false, objectacl: private}}, \
             redirect: {{disable: true}}"
        ),
        &[],
    );
    assert_eq!(
        settings,
        object::Settings {
            engine: Engine::S3(S3 {
                bucket: "b".to_owned(),
                region: None,
                endpoint: Some("http://minio:9000".to_owned()),
                redirect_endpoint: Some("https://s3.example.org".to_owned()),
                keys: Some(("AKIA".to_owned(), Secret::new(SECRET.to_owned()))),
                path_style: false,
                secure: false,
                skip_verify: true,
                encrypt: true,
                key_id: Some("k".to_owned()),
                storage_class: Some("STANDARD_IA".to_owned()),
                user_agent: Some("me".to_owned()),
            }),
            root: "a/b".to_owned(),
            chunk_size: 5 * 1024 * 1024,
            copies: 3,
            redirect: false,
        }
    );
    assert!(!format!("{settings:?}").contains(SECRET));
}

#[test]
fn an_endpoint_means_the_bucket_in_the_path() {
    assert!(s3("bucket: b, regionendpoint: 'minio:9000'").path_style);
    assert!(!s3("bucket: b, region: us-east-1").path_style);
    let oss = s3(
        "bucket: b, regionendpoint: 'https://s3.oss-eu-central-1.aliyuncs.com', forcepathstyle: false",
    );
    assert!(!oss.path_style);
}

#[test]
fn amazons_other_hosts_are_made_of_the_region() {
    let host = |text: &str| s3(&format!("bucket: b, region: eu-west-1, {text}")).endpoint;
    let amazon = |host: &str| Some(format!("{host}.amazonaws.com"));
    assert_eq!(host("usedualstack: true"), amazon("s3.dualstack.eu-west-1"));
    assert_eq!(host("usefipsendpoint: true"), amazon("s3-fips.eu-west-1"));
    assert_eq!(
        host("usedualstack: true, usefipsendpoint: true"),
        amazon("s3-fips.dualstack.eu-west-1")
    );
    assert_eq!(host("secure: false"), amazon("s3.eu-west-1"));
    let china = s3("bucket: b, region: cn-north-1, usedualstack: true");
    assert_eq!(
        china.endpoint.as_deref(),
        Some("s3.dualstack.cn-north-1.amazonaws.com.cn")
    );
    assert!(!china.path_style);
}

#[test]
fn keys_come_from_variables_and_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secretkey");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let settings = objects(
        "s3: {bucket: b, region: r}",
        &[
            ("REGISTRY_STORAGE_S3_ACCESSKEY", "AKIA"),
            ("REGISTRY_STORAGE_S3_SECRETKEY_FILE", file.to_str().unwrap()),
            ("REGISTRY_STORAGE_S3_CHUNKSIZE", "6000000"),
            ("REGISTRY_STORAGE_REDIRECT_DISABLE", "true"),
        ],
    );
    let Engine::S3(s3) = settings.engine else {
        panic!("no s3");
    };
    assert_eq!(
        s3.keys,
        Some(("AKIA".to_owned(), Secret::new(SECRET.to_owned())))
    );
    assert_eq!((settings.chunk_size, settings.redirect), (6_000_000, false));
}

#[test]
fn the_others_arrive_too() {
    let gcs = objects(
        "gcs: {bucket: b, keyfile: /k.json, chunksize: 5242880}",
        &[],
    );
    let Engine::Gcs(gcs) = gcs.engine else {
        panic!("no gcs");
    };
    assert_eq!(gcs.key, Some(GcsKey::File("/k.json".into())));
    let gcs = objects(
        "gcs: {bucket: b, credentials: {client_email: a@b, private_key: \"x\\ny\"}}",
        &[],
    );
    let Engine::Gcs(gcs) = gcs.engine else {
        panic!("no gcs");
    };
    let json = Secret::new(r#"{"client_email":"a@b","private_key":"x\ny"}"#.to_owned());
    assert_eq!(gcs.key, Some(GcsKey::Json(json)));

    let azure = |text: &str| match objects(&format!("azure: {{{text}}}"), &[]).engine {
        Engine::Azure(azure) => azure,
        other => panic!("{other:?}"),
    };
    let settings =
        azure("accountname: a, container: c, accountkey: k, realm: core.chinacloudapi.cn");
    assert_eq!(
        settings.endpoint.as_deref(),
        Some("https://a.blob.core.chinacloudapi.cn")
    );
    let key = AzureCredentials::Key(Secret::new("k".to_owned()));
    assert_eq!(settings.credentials, key);
    let client = azure(
        "accountname: a, container: c, credentials: {type: client_secret, clientid: i, tenantid: t, secret: s}",
    );
    assert_eq!(
        client.credentials,
        AzureCredentials::Client {
            tenant: "t".to_owned(),
            client: "i".to_owned(),
            secret: Secret::new("s".to_owned()),
        }
    );
    let default = azure("accountname: a, container: c");
    assert_eq!(default.credentials, AzureCredentials::Default);
    assert_eq!(default.endpoint, None);
}

#[test]
fn what_cannot_be_right_is_told_by_its_key() {
    let at = "region: r, bucket: b";
    for (text, reason) in [
        (
            "s3: {}".to_owned(),
            "storage.s3: needs `bucket`\n\
             storage.s3: needs `region`, or `regionendpoint` if the engine isn't Amazon's",
        ),
        (
            format!("s3: {{{at}, accesskey: a}}"),
            "storage.s3: `accesskey` needs `secretkey`, too",
        ),
        (
            format!("s3: {{{at}, secretkey: {SECRET}}}"),
            "storage.s3: `secretkey` needs `accesskey`, too",
        ),
        (
            format!("s3: {{{at}, chunksize: 1048576}}"),
            "storage.s3.chunksize: `1048576` is out of bounds; write a number of bytes from 5242880 (5 MiB) to 5368709120 (5 GiB)",
        ),
        (
            format!("s3: {{{at}, v4auth: false}}"),
            "storage.s3.v4auth: requests are signed by version 4 alone; remove it",
        ),
        (
            format!("s3: {{{at}, accelerate: true}}"),
            "storage.s3.accelerate: is not supported: such a host doesn't list or copy, and wharf needs both; remove it",
        ),
        (
            format!("s3: {{{at}, objectacl: public-read}}"),
            "note storage.s3.objectacl: not supported, ignored because objects have what the bucket says; set it by the bucket's policy",
        ),
        (
            format!("s3: {{{at}, storageclass: EXPRESS_ONEZONE}}"),
            "storage.s3.storageclass: `EXPRESS_ONEZONE` is not supported: such buckets list in no order; write another class",
        ),
        (
            format!("s3: {{{at}, keyid: k, loglevel: off}}"),
            "note storage.s3.keyid: has no effect without `encrypt: true`\n\
             note storage.s3.loglevel: not supported, ignored because the driver has no log of its own; `log.level` is for all lines",
        ),
        (
            "s3: {bucket: b, regionendpoint: 'ftp://x', rootdirectory: a/../b}".to_owned(),
            "storage.s3.regionendpoint: `ftp://x` is neither `https://` nor `http://`\n\
             storage.s3.rootdirectory: `a/../b` has an empty part, `.` or `..` in it",
        ),
        (
            format!("s3: {{bucket: b, regionendpoint: 'ftp://me:{SECRET}@x'}}"),
            "storage.s3.regionendpoint: holds a user name; write `https://host[:port]`",
        ),
        (
            format!("s3: {{{at}, redirectendpoint: s3.example.org}}"),
            "storage.s3.redirectendpoint: `s3.example.org` has no scheme; write `https://s3.example.org`",
        ),
        (
            "s3: {bucket: a b, regionendpoint: 'minio:9000', usedualstack: true}".to_owned(),
            "note storage.s3.usedualstack: has no effect beside `regionendpoint`\n\
             storage.s3.bucket: `a b` is no name of letters, digits and `-._` alone",
        ),
        (
            "gcs: {keyfile: k, credentials: {type: service_account}}".to_owned(),
            "storage.gcs: has both `keyfile` and `credentials`; leave one\n\
             storage.gcs: needs `bucket`\n\
             storage.gcs.credentials: needs `client_email`, as the service account's JSON file has it\n\
             storage.gcs.credentials: needs `private_key`, as the service account's JSON file has it",
        ),
        (
            "azure: {accountname: a, connectionstring: 'x=y', credentials: {type: client_secret}}"
                .to_owned(),
            "storage.azure: needs `container`\n\
             storage.azure.connectionstring: not supported: wharf doesn't read such a string; write its AccountName as `accountname`, its AccountKey as `accountkey` and its BlobEndpoint as `serviceurl`\n\
             storage.azure.credentials: `type: client_secret` needs `clientid`\n\
             storage.azure.credentials: `type: client_secret` needs `secret`\n\
             storage.azure.credentials: `type: client_secret` needs `tenantid`",
        ),
    ] {
        assert_eq!(told_of(&text), reason, "{text}");
    }
}
