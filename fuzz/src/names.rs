//! Names, tags, digests, references and upload ids, against the regular
//! expressions of the specification.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;
use wharf::oci::{Digest, Reference, RepositoryName, Tag, UploadId};

fn pattern(text: &str) -> Regex {
    Regex::new(&format!(r"\A(?:{text})\z")).unwrap()
}

/// distribution-spec, "Pulling manifests".
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
});
static TAG: LazyLock<Regex> = LazyLock::new(|| pattern("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"));
/// image-spec, "Digests", "Registered algorithms".
static DIGEST: LazyLock<Regex> =
    LazyLock::new(|| pattern("sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}"));
static UPLOAD: LazyLock<Regex> =
    LazyLock::new(|| pattern("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"));

/// The text is accepted exactly where the grammar accepts it, and comes back
/// as it was.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (tag, digest) = (TAG.is_match(text), DIGEST.is_match(text));
    same::<RepositoryName>(text, text.len() <= 255 && NAME.is_match(text));
    same::<Tag>(text, tag);
    same::<Digest>(text, digest);
    same::<Reference>(text, tag || digest);
    same::<UploadId>(text, UPLOAD.is_match(text));
}

fn same<T: FromStr<Err: Display> + Display>(text: &str, valid: bool) {
    match text.parse::<T>() {
        Ok(value) => {
            assert!(valid, "{text:?} is accepted");
            assert_eq!(value.to_string(), text);
        }
        Err(error) => {
            assert!(!valid, "{text:?} is refused: {error}");
            assert!(error.to_string().len() < 1024, "a long message: {error}");
        }
    }
}
