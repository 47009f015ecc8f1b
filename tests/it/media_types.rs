//! The kinds of manifests: OCI's and Docker's side by side, artifacts, nested
//! indexes, and what is refused with words.

use serde_json::{Value, json};

use crate::content::{
    self, ABSENT, DOCKER_IMAGE, DOCKER_LIST, EMPTY, EMPTY_JSON, IMAGE, INDEX, bytes, descriptor,
    noise, sha256,
};
use crate::repo::Repo;

fn pushed(repo: &Repo, media_type: &str, document: &Value) -> Vec<u8> {
    let manifest = bytes(document);
    let put = repo.put("latest", media_type, &manifest).expect(201);
    assert_eq!(put.must("docker-content-digest"), sha256(&manifest));
    let get = repo.get("manifests/latest").expect(200);
    assert_eq!(get.must("content-type"), media_type);
    assert_eq!(get.body, manifest);
    manifest
}

#[test]
fn dockers_manifest_and_list_are_served_as_they_are() {
    let repo = Repo::fresh();
    let (config, layer) = (b"{\"os\":\"linux\"}", noise(1, 1000));
    repo.push(config);
    repo.push(&layer);
    let image = json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_IMAGE,
        "config": descriptor("application/vnd.docker.container.image.v1+json", config),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)],
    });
    let image = pushed(&repo, DOCKER_IMAGE, &image);
    let mut child = descriptor(DOCKER_IMAGE, &image);
    child["platform"] = json!({"architecture": "arm64", "os": "linux"});
    let list = json!({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [child]});
    pushed(&repo, DOCKER_LIST, &list);
}

#[test]
fn indexes_nest() {
    let repo = Repo::fresh();
    let image = repo.image("one");
    repo.put("image", IMAGE, &image).expect(201);
    let inner = pushed(&repo, INDEX, &content::index(&[(IMAGE, &image)]));
    pushed(
        &repo,
        INDEX,
        &content::index(&[(INDEX, &inner), (IMAGE, &image)]),
    );
}

#[test]
fn artifacts_are_accepted_with_and_without_layers() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    let mut artifact = content::image(&[]);
    artifact["artifactType"] = json!("application/vnd.example+json");
    artifact["layers"] = json!([descriptor(EMPTY, EMPTY_JSON)]);
    pushed(&repo, IMAGE, &artifact);
    artifact["layers"] = json!([]);
    let manifest = pushed(&repo, IMAGE, &artifact);
    let mut index = content::index(&[(IMAGE, &manifest)]);
    index["artifactType"] = json!("application/vnd.example+json");
    pushed(&repo, INDEX, &index);
}

#[test]
fn inline_data_custom_fields_and_zstd_layers_are_kept() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    repo.push(b"layer");
    let mut image = content::image(&[b"layer"]);
    image["config"]["data"] = json!("e30=");
    image["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+zstd");
    image["layers"][0]["org.example"] = json!([null, true]);
    image["org.example.custom"] = json!({"nested": {"deep": 1}});
    pushed(&repo, IMAGE, &image);
}

#[test]
fn a_layer_that_lies_elsewhere_need_not_be_pushed() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    for media_type in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        let mut image = content::image(&[]);
        image["layers"] = json!([{
            "mediaType": media_type,
            "digest": ABSENT,
            "size": 1234,
            "urls": ["https://store.example/layer"],
        }]);
        pushed(&repo, IMAGE, &image);
        image["layers"][0].as_object_mut().unwrap().remove("urls");
        repo.put("nowhere", IMAGE, &bytes(&image))
            .refused(400, "MANIFEST_BLOB_UNKNOWN");
    }
}

#[test]
fn a_manifest_without_media_type_is_told_by_its_content_type() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    for (media_type, mut document) in [(IMAGE, content::image(&[])), (INDEX, content::index(&[]))] {
        document.as_object_mut().unwrap().remove("mediaType");
        pushed(&repo, media_type, &document);
    }
}

#[test]
fn schema_1_is_refused_with_words() {
    let repo = Repo::fresh();
    let schema_1 =
        json!({"schemaVersion": 1, "name": "x", "tag": "y", "fsLayers": [], "history": []});
    for content_type in [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        IMAGE,
    ] {
        let answer = repo
            .put("latest", content_type, &bytes(&schema_1))
            .refused(400, "MANIFEST_INVALID");
        let message = answer.json()["errors"][0]["message"].to_string();
        assert!(message.contains("schema 1"), "{message}");
    }
}

#[test]
fn a_content_type_that_contradicts_the_document_is_refused() {
    let repo = Repo::fresh();
    let image = repo.image("one");
    let index = bytes(&content::index(&[]));
    for (content_type, manifest) in [
        (INDEX, &image),
        (DOCKER_IMAGE, &image),
        (IMAGE, &index),
        ("application/json", &image),
        ("text/plain", &image),
        ("", &image),
    ] {
        repo.put("latest", content_type, manifest)
            .refused(400, "MANIFEST_INVALID");
    }
    // CVE-2021-41190: one document that is both.
    let mut both = content::image(&[]);
    both["manifests"] = json!([]);
    repo.put("latest", IMAGE, &bytes(&both))
        .refused(400, "MANIFEST_INVALID");
    repo.get("manifests/latest").expect(404);
}
