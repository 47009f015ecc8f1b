//! A small walker over a volume in registry:2's layout, which knows nothing of
//! the program that wrote it: every blob is what its name says, every link
//! names something that is there, every tag a manifest of its repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::content::sha256;

/// What was found.
#[derive(Debug, Default)]
pub struct Walked {
    /// Blobs and links.
    pub files: usize,
    /// Temporary files, which are nobody's.
    pub leftovers: usize,
    /// What is not as it must be.
    pub wrong: Vec<String>,
}

/// Walks the volume whose root directory is `root`.
pub fn walk(root: &Path) -> Walked {
    let mut walked = Walked::default();
    let tree = root.join("docker/registry/v2");
    let mut files = Vec::new();
    collect(&tree, &mut files);
    let (temporary, files): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|path: &PathBuf| path.extension().is_some_and(|ending| ending == "tmp"));
    walked.leftovers = temporary.len();
    let blobs = blobs(&tree.join("blobs"), &files, &mut walked);
    let links = files.iter().filter(|path| path.ends_with("link"));
    for link in links {
        walked.files += 1;
        if let Err(wrong) = follow(&tree, link, &blobs) {
            walked.wrong.push(format!("{}: {wrong}", link.display()));
        }
    }
    walked
}

/// The digests of all blobs, each of which is hashed.
fn blobs(dir: &Path, files: &[PathBuf], walked: &mut Walked) -> BTreeSet<String> {
    let mut blobs = BTreeSet::new();
    let data = files
        .iter()
        .filter(|path| path.starts_with(dir) && path.ends_with("data"));
    for path in data {
        walked.files += 1;
        let name = path.parent().and_then(Path::file_name).unwrap_or_default();
        let named = format!("sha256:{}", name.to_string_lossy());
        match fs::read(path).map(|bytes| sha256(&bytes)) {
            Ok(digest) if digest == named => {}
            Ok(digest) => walked.wrong.push(format!("{} is {digest}", path.display())),
            Err(error) => walked.wrong.push(format!("{}: {error}", path.display())),
        }
        blobs.insert(named);
    }
    blobs
}

/// A link holds the digest of a blob that is there; a tag's also of a manifest
/// that its repository has.
fn follow(tree: &Path, link: &Path, blobs: &BTreeSet<String>) -> Result<(), String> {
    let parts: Vec<String> = link
        .strip_prefix(tree)
        .unwrap_or(link)
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let at = |name: &str| parts.iter().position(|part| part == name);
    // An entry among referrers holds a descriptor, and may outlive its manifest.
    if at("_referrers").is_some() {
        return Ok(());
    }
    let text = fs::read_to_string(link).map_err(|error| error.to_string())?;
    // What a tag named before is written beside what it will name.
    if at("tags").is_some() && at("index").is_some() {
        let is_digest = text.starts_with("sha256:") && text.len() == 71;
        let wrong = || Err(format!("holds {text:?}"));
        return if is_digest { Ok(()) } else { wrong() };
    }
    if !blobs.contains(text.trim()) {
        return Err(format!("names {text:?}, which is not there"));
    }
    let is_current = at("current").is_some();
    let manifests = at("_manifests").filter(|_| is_current);
    if let (Some(manifests), Some(hex)) = (manifests, text.trim().strip_prefix("sha256:")) {
        let repository: PathBuf = parts.iter().take(manifests + 1).collect();
        let revision = format!("revisions/sha256/{hex}/link");
        if !tree.join(repository).join(revision).is_file() {
            return Err(format!("names {text:?}, which its repository doesn't hold"));
        }
    }
    Ok(())
}

/// Files below a directory; what vanishes meanwhile is left out.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_wrong() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("docker/registry/v2");
        let put = |path: &str, text: &str| {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let digest = sha256(b"whole");
        let hex = &digest[7..];
        put(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), "whole");
        let layer = format!("repositories/r/_layers/sha256/{hex}/link");
        put(&layer, &digest);
        assert_eq!(walk(root.path()).wrong, Vec::<String>::new());
        assert_eq!(walk(root.path()).files, 2);

        put("repositories/r/_manifests/tags/t/current/link", &digest);
        assert_eq!(walk(root.path()).wrong.len(), 1);
        put(
            &format!("repositories/r/_manifests/revisions/sha256/{hex}/link"),
            &digest,
        );
        assert_eq!(walk(root.path()).wrong.len(), 0);
        put(&layer, "");
        put("blobs/sha256/aa/aaaa/data", "torn");
        assert_eq!(walk(root.path()).wrong.len(), 2);
    }
}
