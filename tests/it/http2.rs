//! The same API over TLS and HTTP/2.

use reqwest::Version;

use crate::content::{self, EMPTY_JSON, IMAGE, noise, sha256};
use crate::support::Registry;

#[test]
fn an_image_is_pushed_and_pulled_over_http2() {
    let server = Registry::with().tls().start();
    let client = server.client();
    let url = |rest: &str| format!("{}/v2/two/{rest}", server.url());
    let layer = noise(1, 3_000_000);
    for blob in [EMPTY_JSON, &layer] {
        let started = client.post(url("blobs/uploads/")).body("").send().unwrap();
        assert_eq!(started.status(), 202);
        assert_eq!(started.version(), Version::HTTP_2);
        let location = started.headers()["location"].to_str().unwrap();
        let location = started.url().join(location).unwrap();
        let patched = client.patch(location).body(blob.to_vec()).send().unwrap();
        assert_eq!(patched.status(), 202);
        let location = patched.headers()["location"].to_str().unwrap();
        let mut location = patched.url().join(location).unwrap();
        location
            .query_pairs_mut()
            .append_pair("digest", &sha256(blob));
        let closed = client.put(location).body("").send().unwrap();
        assert_eq!(closed.status(), 201);
    }
    let manifest = content::bytes(&content::image(&[&layer]));
    let put = client
        .put(url("manifests/latest"))
        .header("Content-Type", IMAGE)
        .body(manifest.clone())
        .send()
        .unwrap();
    assert_eq!(put.status(), 201);
    assert_eq!(put.version(), Version::HTTP_2);

    let get = client.get(url("manifests/latest")).send().unwrap();
    assert_eq!(get.headers()["content-type"], IMAGE);
    assert_eq!(get.bytes().unwrap(), manifest);
    let blob = url(&format!("blobs/{}", sha256(&layer)));
    let head = client.head(&blob).send().unwrap();
    assert_eq!(head.headers()["content-length"], "3000000");
    let get = client.get(&blob).send().unwrap();
    assert_eq!(get.version(), Version::HTTP_2);
    assert!(get.bytes().unwrap() == layer);
    let part = client.get(&blob).header("Range", "bytes=10-19").send();
    let part = part.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().unwrap(), &layer[10..20]);
    let missing = client.get(url("manifests/none")).send().unwrap();
    assert_eq!(missing.status(), 404);
    assert_eq!(
        missing.headers()["docker-distribution-api-version"],
        "registry/2.0"
    );
}
