//! A volume that somebody else has written to: whatever lies in it, requests are
//! answered, and a manifest is never served with other bytes than its digest's.

use std::fs;
use std::path::Path;

use arbitrary::{Result, Unstructured};
use wharf::oci::{Algorithm, Digest};

use super::site::{Site, directory};

const UPLOAD: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
const CONTENT: &[u8] = b"what the digest belongs to";

/// A list of files, each with its content.
pub fn run(data: &[u8]) {
    let root = directory();
    // What is left of the input when it runs out is a volume too.
    let _ = spoil(root.path(), &mut Unstructured::new(data));
    ask(&Site::over(root));
}

fn digest() -> Digest {
    Algorithm::Sha256.digest(CONTENT)
}

fn manifest() -> Vec<u8> {
    let digest = digest();
    let descriptor = format!(
        r#"{{"mediaType":"a/b","digest":"{digest}","size":{}}}"#,
        CONTENT.len()
    );
    format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[],"subject":{descriptor}}}"#)
        .into_bytes()
}

/// Writes the files, some of them right, some of them arbitrary.
fn spoil(root: &Path, input: &mut Unstructured<'_>) -> Result<()> {
    let (blob, manifest) = (digest(), manifest());
    let revision = Algorithm::Sha256.digest(&manifest);
    let long = Algorithm::Sha512.digest(&manifest);
    let place =
        |digest: &Digest| format!("blobs/sha256/{}/{}/data", &digest.hex()[..2], digest.hex());
    let right = |digest: &Digest| digest.to_string().into_bytes();
    let (b, r, l) = (blob.hex(), revision.hex(), long.hex());
    let files: [(String, Vec<u8>); 16] = [
        (place(&blob), CONTENT.to_vec()),
        (place(&revision), manifest),
        (
            format!("repositories/a/_layers/sha256/{b}/link"),
            right(&blob),
        ),
        (
            format!("repositories/a/_manifests/revisions/sha256/{r}/link"),
            right(&revision),
        ),
        (
            format!("repositories/a/_manifests/revisions/sha512/{l}/link"),
            right(&revision),
        ),
        (
            format!("repositories/a/_manifests/revisions/sha256/{b}/link"),
            right(&blob),
        ),
        (
            "repositories/a/_manifests/tags/t/current/link".to_owned(),
            right(&revision),
        ),
        (
            format!("repositories/a/_manifests/tags/t/index/sha256/{r}/link"),
            right(&revision),
        ),
        (
            format!("repositories/a/_manifests/tags/sha256-{b}/current/link"),
            right(&revision),
        ),
        (
            format!("repositories/a/_referrers/sha256/{b}/sha256/{r}/link"),
            b"{}".to_vec(),
        ),
        (
            format!("repositories/a/_uploads/{UPLOAD}/data"),
            CONTENT.to_vec(),
        ),
        (
            format!("repositories/a/_uploads/{UPLOAD}/startedat"),
            b"2026-01-01T00:00:00Z".to_vec(),
        ),
        (
            format!("repositories/a/_uploads/{UPLOAD}/wharf-note"),
            Vec::new(),
        ),
        (
            format!("repositories/a/_uploads/{UPLOAD}/hashstates/sha256/26"),
            Vec::new(),
        ),
        ("repositories/a/_deletes/x".to_owned(), Vec::new()),
        ("wharf/store-id".to_owned(), b"6ba7b810".to_vec()),
    ];
    while !input.is_empty() {
        let (path, right) = &files[input.choose_index(files.len())?];
        let path = root.join("docker/registry/v2").join(path);
        // A file may stand where a directory should be.
        let _ = fs::create_dir_all(path.parent().unwrap());
        match input.arbitrary::<u8>()? % 8 {
            0..3 => drop(fs::write(&path, right)),
            3 | 4 => drop(fs::write(&path, input.arbitrary::<&[u8]>()?)),
            // What belongs elsewhere.
            5 => drop(fs::write(&path, &files[input.choose_index(files.len())?].1)),
            6 => drop(fs::create_dir(&path)),
            _ => {
                let _ = fs::remove_dir(path.parent().unwrap());
                drop(fs::write(
                    path.parent().unwrap(),
                    input.arbitrary::<&[u8]>()?,
                ));
            }
        }
    }
    Ok(())
}

fn ask(site: &Site) {
    let blob = digest();
    let revision = Algorithm::Sha256.digest(&manifest());
    let long = Algorithm::Sha512.digest(&manifest());
    for method in ["GET", "HEAD"] {
        for reference in [
            "t",
            &revision.to_string(),
            &long.to_string(),
            &blob.to_string(),
        ] {
            let path = format!("/v2/a/manifests/{reference}");
            let answer = site
                .ask_anything(method, path.as_bytes(), &[], b"")
                .unwrap();
            if answer.status == 200 && method == "GET" {
                let named: Digest = answer.header("docker-content-digest").parse().unwrap();
                assert!(answer.complete);
                assert_eq!(named.algorithm().digest(&answer.body), named);
                assert!(reference == "t" || reference == named.to_string());
            }
        }
        let path = format!("/v2/a/blobs/{blob}");
        let answer = site
            .ask_anything(method, path.as_bytes(), &[], b"")
            .unwrap();
        if answer.status == 200 && method == "GET" && answer.complete {
            assert_eq!(answer.body, CONTENT);
        }
        for path in [
            "/v2/a/tags/list".to_owned(),
            "/v2/_catalog".to_owned(),
            format!("/v2/a/referrers/{blob}"),
            format!("/v2/a/blobs/uploads/{UPLOAD}"),
        ] {
            site.ask_anything(method, path.as_bytes(), &[], b"")
                .unwrap();
        }
    }
    // An upload goes on, or it doesn't: its end never lies about its digest.
    let upload = format!("/v2/a/blobs/uploads/{UPLOAD}");
    site.ask_anything("PATCH", upload.as_bytes(), &[], b"more")
        .unwrap();
    let whole = [CONTENT, b"more"].concat();
    let expected = Algorithm::Sha256.digest(&whole);
    let end = format!("{upload}?digest={expected}");
    let ended = site.ask_anything("PUT", end.as_bytes(), &[], b"").unwrap();
    if ended.status == 201 {
        let path = format!("/v2/a/blobs/{expected}");
        let answer = site.ask_anything("GET", path.as_bytes(), &[], b"").unwrap();
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (200, &whole[..])
        );
    }
    // A second push mends what is broken, unless the volume itself is.
    let push = format!("/v2/a/blobs/uploads/?digest={blob}");
    let pushed = site
        .ask_anything("POST", push.as_bytes(), &[], CONTENT)
        .unwrap();
    if pushed.status == 201 {
        let path = format!("/v2/a/blobs/{blob}");
        let answer = site.ask_anything("GET", path.as_bytes(), &[], b"").unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, CONTENT));
    }
    for path in [
        "/v2/a/manifests/t".to_owned(),
        format!("/v2/a/manifests/{revision}"),
        format!("/v2/a/blobs/{blob}"),
        upload,
    ] {
        site.ask_anything("DELETE", path.as_bytes(), &[], b"")
            .unwrap();
    }
}
