//! `storage`: one driver and its siblings.

use super::Kind::{Bool, Choice, Duration, Integer, Path, Section, Text, Word};
use super::objects::{AZURE, GCS, s3};
use super::{Key, key};

pub(super) const STORAGE: Key = key(
    "storage",
    Choice(&[
        FILESYSTEM,
        INMEMORY,
        s3("s3", "Amazon S3 and what speaks its protocol."),
        s3("s3aws", "Another name of `s3`."),
        GCS,
        AZURE,
        SWIFT,
        OSS,
        DELETE,
        CACHE,
        REDIRECT,
        TAG,
        MAINTENANCE,
    ]),
)
.remark("Exactly one driver, and the settings beside it. `storage: filesystem` selects it with its defaults.");

const FILESYSTEM: Key = key(
    "filesystem",
    Section(&[
        key("rootdirectory", Path)
            .default("/var/lib/registry")
            .remark("Where registry:2's tree begins."),
        key("maxthreads", Integer)
            .default("100")
            .remark("The most file operations at once; at least 25."),
        key("sync", Word(&["full", "none"]))
            .default("full")
            .remark("Whether a push or delete is on the disk before it is acknowledged. `none` is for scratch registries: a power cut loses what was acknowledged and leaves torn files."),
    ]),
)
.remark("The tree of registry:2 and registry:3, read and written as it is.");

const INMEMORY: Key = key("inmemory", Section(&[]))
    .refused("everything would be lost when the registry stops; use `filesystem` or `s3`");

const SWIFT: Key = key(
    "swift",
    Section(&[
        key("authurl", Text),
        key("username", Text),
        key("password", Text).secret(),
        key("region", Text),
        key("container", Text),
        key("tenant", Text),
        key("tenantid", Text),
        key("domain", Text),
        key("domainid", Text),
        key("tenantdomain", Text),
        key("tenantdomainid", Text),
        key("trustid", Text),
        key("insecureskipverify", Bool),
        key("chunksize", Integer),
        key("prefix", Text),
        key("secretkey", Text).secret(),
        key("accesskey", Text).secret(),
        key("authversion", Integer),
        key("endpointtype", Text),
        key("tempurlcontainerkey", Bool),
        key("tempurlmethods", super::Kind::List(&Text)),
    ]),
)
.refused("wharf has no swift driver, and registry:3 hasn't either; use `s3` with swift's S3 API as `regionendpoint`, or `filesystem` with the container's content copied into `rootdirectory`");

const OSS: Key = key(
    "oss",
    Section(&[
        key("accesskeyid", Text).secret(),
        key("accesskeysecret", Text).secret(),
        key("region", Text),
        key("endpoint", Text),
        key("internal", Bool),
        key("bucket", Text),
        key("encrypt", Bool),
        key("encryptionkeyid", Text),
        key("secure", Bool),
        key("chunksize", Integer),
        key("rootdirectory", Text),
    ]),
)
.refused("wharf has no oss driver, and registry:3 hasn't either; use `s3` with OSS's S3 endpoint as `regionendpoint` and `forcepathstyle: false`, or `filesystem` with the bucket's content copied into `rootdirectory`");

const DELETE: Key = key(
    "delete",
    Section(&[
        key("enabled", Bool)
            .default("false")
            .remark("Whether manifests, tags and blobs may be deleted through the API. Without a configuration file they may."),
        key("children", Word(&["allow", "refuse"]))
            .default("allow")
            .remark("wharf's own: whether a manifest may be deleted that an index of its repository names ([deletes.md](deletes.md))."),
    ]),
);

const CACHE: Key = key(
    "cache",
    Section(&[
        key("blobdescriptor", Word(&["inmemory", "redis"])),
        key("layerinfo", Word(&["inmemory", "redis"])),
        key("blobdescriptorsize", Integer),
    ]),
)
.ignored("wharf asks the storage itself, so that what is deleted is gone for everybody");

const REDIRECT: Key = key(
    "redirect",
    Section(&[key("disable", Bool)
        .default("false")
        .remark("Whether blobs in an object store are served by wharf itself, rather than by sending clients to the store. Files are always served by wharf.")]),
);

const TAG: Key = key("tag", Section(&[key("concurrencylimit", Integer)]))
    .ignored("wharf bounds its work by itself");

const MAINTENANCE: Key = key(
    "maintenance",
    Section(&[
        key(
            "uploadpurging",
            Section(&[
                key("enabled", Bool)
                    .default("true")
                    .remark("Whether abandoned uploads are removed at all."),
                key("age", Duration)
                    .default("168h")
                    .remark("How old an upload must be; with a unit."),
                key("interval", Duration)
                    .default("24h")
                    .remark("The time between two runs; with a unit."),
                key("dryrun", Bool)
                    .default("false")
                    .remark("Only log what would be removed."),
            ]),
        ),
        key(
            "readonly",
            Section(&[key("enabled", Bool)
                .default("false")
                .remark("Whether every write is refused.")]),
        ),
    ]),
);
