//! `wharf check` of a bucket: clean, damaged behind the registry's back, set
//! aside, and healed by a push and from a second registry.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::content::{self, IMAGE, noise};
use crate::process::wharf;
use crate::repo::Repo;
use crate::support::{Bucket, Registry, S3Engine};

fn checked(server: &Registry, flags: &[&str]) -> (i32, Value) {
    let args = ["check", "config.yml", "--json"].iter().chain(flags);
    let finished = wharf(server.dir(), args.copied()).output();
    let code = finished.status.and_then(|status| status.code());
    let json = serde_json::from_str(&finished.stdout);
    let json = json.unwrap_or_else(|error| panic!("no JSON ({error}): {finished}"));
    (code.unwrap(), json)
}

fn kinds(json: &Value) -> BTreeSet<&str> {
    let findings = json["findings"].as_array().unwrap().iter();
    findings.map(|one| one["kind"].as_str().unwrap()).collect()
}

fn blob(digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap();
    format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn size(bucket: &Bucket, key: &str) -> Option<u64> {
    let objects = bucket.objects();
    let found = objects.iter().find(|(found, _)| found == key);
    found.map(|(_, size)| *size)
}

#[test]
fn a_damaged_object_is_found_set_aside_and_healed() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let server = Registry::with().s3(&bucket).start();
    let second = Registry::with().s3(&S3Engine::shared().bucket()).start();
    let image = "a layer in a bucket";
    let layer = content::sha256(image.as_bytes());
    let large = noise(7, 11_000_000);
    let mut manifests = Vec::new();
    for server in [&server, &second] {
        let repo = Repo::on(server, "kept/app");
        manifests.push(repo.tag("v1", image));
        repo.push(&large);
        let mut referrer = content::image(&[]);
        referrer["subject"] = json!({"mediaType": IMAGE, "digest": manifests[0], "size": 1});
        let referrer = content::bytes(&referrer);
        let digest = content::sha256(&referrer);
        repo.put(&digest, IMAGE, &referrer).expect(201);
    }
    let repo = Repo::on(&server, "kept/app");
    let (code, json) = checked(&server, &[]);
    assert_eq!((code, &json["findings"]), (0, &json!([])), "{json:#}");
    assert_eq!(json["counts"]["manifests"], 2);
    assert!(json["counts"]["bytes"].as_u64().unwrap() > 11_000_000);

    let large_key = blob(&content::sha256(&large));
    bucket.replace(&blob(&layer), b"rotten");
    bucket.replace(&large_key, &large[1..]);
    bucket.remove(&blob(&manifests[0]));
    let (code, json) = checked(&server, &[]);
    assert_eq!(code, 3);
    let expected = ["damaged-blob", "dangling-tag", "missing-manifest"];
    assert_eq!(kinds(&json), expected.into(), "{json:#}");
    assert_eq!(json["findings"].as_array().unwrap().len(), 4);
    assert_eq!(size(&bucket, &blob(&layer)), Some(6), "only looked at");

    let (code, json) = checked(&server, &["--repair"]);
    assert_eq!(code, 3);
    let expected = ["dangling-tag", "missing-manifest"];
    assert_eq!(kinds(&json), expected.into(), "{json:#}");
    for key in [&blob(&layer), &large_key] {
        assert_eq!(size(&bucket, key), None);
    }
    repo.head(&format!("blobs/{layer}")).expect(404);
    let aside = bucket
        .objects()
        .into_iter()
        .filter(|(key, _)| key.contains("wharf/quarantine/"));
    let mut sizes: Vec<u64> = aside.map(|(_, size)| size).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [6, large.len() as u64 - 1]);

    // The manifest and its layer from the other one; the large blob, which
    // nothing needs, by a push.
    let (code, json) = checked(&server, &["--repair", "--from", &second.url()]);
    assert_eq!((code, &json["findings"]), (0, &json!([])), "{json:#}");
    repo.push(&large);
    repo.get("manifests/v1").expect(200);
    assert_eq!(size(&bucket, &blob(&layer)), Some(image.len() as u64));
    let (code, json) = checked(&server, &["--rate", "200MiB", "--jobs", "2"]);
    assert_eq!((code, &json["findings"]), (0, &json!([])), "{json:#}");
}
