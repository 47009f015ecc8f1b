//! `storage.s3`, `storage.gcs` and `storage.azure`.

use super::Kind::{Any, Bool, Duration, Integer, Path, Section, Text, Word};
use super::{Key, key};

pub(super) const fn s3(name: &'static str, remark: &'static str) -> Key {
    key(name, Section(S3)).remark(remark)
}

const S3: &[Key] = &[
    key("bucket", Text).remark("Required. It must exist."),
    key("region", Text)
        .remark("Required without `regionendpoint`; with it, `us-east-1` if it isn't given."),
    key("regionendpoint", Text).remark(
        "Where the engine listens, if it isn't Amazon's: `https://host[:port]`, or `host[:port]` and `secure`.",
    ),
    key("redirectendpoint", Text).remark(
        "`https://host[:port]` where clients reach the engine, if that is elsewhere: for redirects.",
    ),
    key("accesskey", Text).secret().remark(
        "With `secretkey`; else the standard environment (`AWS_ACCESS_KEY_ID`, …), a web identity or the machine's own role.",
    ),
    key("secretkey", Text).secret().remark("With `accesskey`."),
    key("rootdirectory", Text)
        .remark("What every key begins with; registry:2's tree lies below it."),
    key("forcepathstyle", Bool).remark(
        "The bucket in the path rather than in the host's name. `true` with `regionendpoint`, as in registry:2, else `false`; registry:3 has `false` for both.",
    ),
    key("secure", Bool)
        .default("true")
        .remark("HTTPS, unless `regionendpoint` names a scheme."),
    key("skipverify", Bool)
        .default("false")
        .remark("Take any certificate of the engine's."),
    key("encrypt", Bool)
        .default("false")
        .remark("Ask the engine to encrypt what it keeps."),
    key("keyid", Text).remark("With which KMS key; only with `encrypt`."),
    key("chunksize", Integer)
        .default("10485760")
        .remark("Bytes of an upload that are sent at once, 5 MiB to 5 GiB; an upload holds a few of them in memory."),
    key("multipartcopymaxconcurrency", Integer)
        .default("16")
        .remark("Parts that the engine copies at once when a large upload is closed. registry:2's default is 100."),
    key("storageclass", Text)
        .default("STANDARD")
        .remark("One from which content can be read at once; `NONE` names none. `EXPRESS_ONEZONE`, which lists in no order, is refused."),
    key("useragent", Text).remark("What the engine is told that wharf is."),
    key("usedualstack", Bool)
        .default("false")
        .remark("Amazon's host with IPv6; only without `regionendpoint`."),
    key("usefipsendpoint", Bool)
        .default("false")
        .remark("Amazon's FIPS host; only without `regionendpoint`."),
    key("v4auth", Bool)
        .default("true")
        .remark("Requests are signed by version 4; `false` is refused."),
    key("accelerate", Bool)
        .default("false")
        .remark("`true` is refused: such a host doesn't list or copy."),
    key(
        "objectacl",
        Word(&[
            "private",
            "public-read",
            "public-read-write",
            "authenticated-read",
            "aws-exec-read",
            "bucket-owner-read",
            "bucket-owner-full-control",
        ]),
    )
    .default("private")
    .remark("Another one has no effect: set it for the bucket, by its policy."),
    key("multipartcopychunksize", Integer)
        .ignored("the parts of an upload are copied as they were sent"),
    key("multipartcopythresholdsize", Integer)
        .ignored("an upload is copied in one request where the engine allows it, and else part by part"),
    key("loglevel", Text).ignored("the driver has no log of its own; `log.level` is for all lines"),
];

pub(super) const GCS: Key = key(
    "gcs",
    Section(&[
        key("bucket", Text).remark("Required. It must exist."),
        key("keyfile", Path).remark(
            "A service account's JSON file; without it and without `credentials` the application's default credentials.",
        ),
        key("credentials", Any)
            .remark("The content of such a file, as keys: `type`, `client_email`, `private_key` and so on."),
        key("rootdirectory", Text)
            .remark("What every key begins with; registry:2's tree lies below it."),
        key("chunksize", Integer)
            .default("10485760")
            .remark("Bytes of an upload that are sent at once; at least 5 MiB."),
        key("maxconcurrency", Integer).ignored("wharf bounds its work by itself"),
    ]),
)
.remark("Google Cloud Storage.");

pub(super) const AZURE: Key = key(
    "azure",
    Section(&[
        key("accountname", Text).remark("Required."),
        key("container", Text).remark("Required. It must exist."),
        key("accountkey", Text)
            .secret()
            .remark("The account's key; without it and without `credentials` as `default_credentials`."),
        key(
            "credentials",
            Section(&[
                key(
                    "type",
                    Word(&["client_secret", "shared_key", "default_credentials"]),
                )
                .remark("`shared_key` is `accountkey`; `default_credentials` are the standard environment (`AZURE_CLIENT_ID`, …), a workload identity or the machine's own."),
                key("clientid", Text).remark("For `client_secret`."),
                key("tenantid", Text).remark("For `client_secret`."),
                key("secret", Text).secret().remark("For `client_secret`."),
            ]),
        ),
        key("connectionstring", Text).secret().refused(
            "wharf doesn't read such a string; write its AccountName as `accountname`, its AccountKey as `accountkey` and its BlobEndpoint as `serviceurl`",
        ),
        key("realm", Text)
            .default("core.windows.net")
            .remark("The cloud's domain."),
        key("serviceurl", Text)
            .remark("`https://host[:port]` where the service listens, if it isn't `https://<accountname>.blob.<realm>`."),
        key("rootdirectory", Text)
            .remark("What every key begins with; registry:2's tree lies below it."),
        key("skipverify", Bool)
            .default("false")
            .remark("Take any certificate of the service's."),
        key("max_retries", Integer).ignored("wharf tries again by rules of its own"),
        key("retry_delay", Duration).ignored("wharf tries again by rules of its own"),
    ]),
)
.remark("Azure Blob Storage.");
