//! How large a manifest may be: 4 MiB, whichever way it comes.

use crate::content::{self, EMPTY_JSON, IMAGE};
use crate::repo::Repo;

/// The largest manifest that is taken.
const LIMIT: usize = 4 * 1024 * 1024;

// spec: 60, 62
#[test]
fn a_manifest_of_4_mib_is_accepted_with_and_without_a_length() {
    let repo = Repo::fresh();
    let manifest = of_size(&repo, LIMIT);
    repo.put("whole", IMAGE, &manifest).expect(201);
    repo.ask("PUT", "manifests/chunked")
        .header("Content-Type", IMAGE)
        .chunked(manifest.as_slice())
        .send()
        .expect(201);
    for tag in ["whole", "chunked"] {
        let get = repo.get(&format!("manifests/{tag}")).expect(200);
        assert!(get.body == manifest, "{tag} came back changed");
    }
}

// spec: 60, 61
#[test]
fn a_manifest_one_byte_larger_is_413() {
    let repo = Repo::fresh();
    let manifest = of_size(&repo, LIMIT + 1);
    repo.put("whole", IMAGE, &manifest)
        .refused(413, "SIZE_INVALID");
    repo.ask("PUT", "manifests/chunked")
        .header("Content-Type", IMAGE)
        .chunked(manifest.as_slice())
        .send()
        .refused(413, "SIZE_INVALID");
    assert!(repo.tags().is_empty());
}

// spec: 61
#[test]
fn what_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let repo = Repo::fresh();
    let answer = repo
        .ask("PUT", "manifests/huge")
        .header("Content-Type", IMAGE)
        .header("Content-Length", 20_u64 << 30)
        .header("Expect", "100-continue")
        .body("")
        .send();
    answer.refused(413, "SIZE_INVALID");
}

#[test]
fn a_manifest_with_thousands_of_annotations_is_accepted() {
    let repo = Repo::fresh();
    repo.push(EMPTY_JSON);
    let mut document = content::image(&[]);
    for n in 0..390 {
        document["annotations"][format!("org.example.{n}")] = "x".repeat(10_000).into();
    }
    let manifest = content::bytes(&document);
    repo.ask("PUT", "manifests/latest")
        .header("Content-Type", IMAGE)
        .chunked(manifest.as_slice())
        .send()
        .expect(201);
    assert!(repo.get("manifests/latest").expect(200).body == manifest);
}

/// An image of exactly this many bytes.
fn of_size(repo: &Repo, size: usize) -> Vec<u8> {
    repo.push(EMPTY_JSON);
    let mut document = content::image(&[]);
    document["annotations"]["padding"] = "".into();
    let base = content::bytes(&document).len();
    document["annotations"]["padding"] = "p".repeat(size - base).into();
    let manifest = content::bytes(&document);
    assert_eq!(manifest.len(), size);
    manifest
}
