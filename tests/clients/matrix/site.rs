//! One registry for one client's part of the matrix, and what is checked in it
//! without any client.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::As;
use crate::content::{self, Compression, Layout, hex};
use crate::support::{Authority, Registry, Run};

const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// The user that exists.
const USER: (&str, &str) = ("moby", "gordon");

/// A registry with TLS and one user, and a place for a client's files.
pub struct Site {
    /// The server.
    pub registry: Registry,
    /// `HOST:PORT` as the client calls it.
    pub host: String,
    stranger: Authority,
    dir: TempDir,
}

impl Site {
    /// On 127.0.0.1, under that name.
    pub fn start() -> Site {
        Site::of(Registry::with(), "127.0.0.1")
    }

    /// On ::1, under a name that Docker's engine verifies.
    pub fn start_verified() -> Site {
        Site::of(Registry::with().address("[::1]:0"), "reg.test")
    }

    /// With more in its configuration, under that name.
    pub fn of(setup: crate::support::Setup, name: &str) -> Site {
        let dir = TempDir::with_prefix("wharf-client-").expect("a temporary directory");
        let stranger = Authority::create(&dir.path().join("stranger"), "another CA");
        let registry = setup.tls().user(USER.0, USER.1).start();
        fs::write(dir.path().join("no-logins.json"), "{}").expect("a file without logins");
        Site {
            host: format!("{name}:{}", registry.port()),
            registry,
            stranger,
            dir,
        }
    }

    /// A path in the client's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A directory for one pull's result, empty.
    pub fn emptied(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// The image that most steps push.
    pub fn image(&self) -> Layout {
        content::image(&self.path("image"), Compression::None, 300_000)
    }

    /// `HOST:PORT/REPOSITORY:TAG`
    pub fn name(&self, reference: &str) -> String {
        format!("{}/{reference}", self.host)
    }

    /// The authority's directory and file as this visitor has them.
    pub fn authority(&self, who: As) -> &Authority {
        match who {
            As::Stranger => &self.stranger,
            _ => self.registry.authority(),
        }
    }

    /// The CA file as text, for arguments.
    pub fn ca(&self, who: As) -> String {
        self.authority(who).certificate().display().to_string()
    }

    /// The name and password that this visitor gives.
    pub fn credentials(&self, who: As) -> Option<(&'static str, &'static str)> {
        match who {
            As::User | As::Stranger => Some(USER),
            As::WrongPassword => Some((USER.0, "not-gordon")),
            As::Nobody => None,
        }
    }

    /// `USER:PASSWORD`
    pub fn pair(&self, who: As) -> Option<String> {
        let (user, password) = self.credentials(who)?;
        Some(format!("{user}:{password}"))
    }

    /// Environment for programs in Go that take their trust from it.
    pub fn go_trust(&self, run: Run, who: As) -> Run {
        run.env("SSL_CERT_FILE", self.ca(who))
            // Without it, the machine's own CAs are read as well.
            .env("SSL_CERT_DIR", "/nonexistent")
            .env("DOCKER_CONFIG", self.path("no-docker-config"))
    }

    /// Environment for podman, buildah and skopeo: no logins but those given.
    pub fn no_logins(&self, run: Run) -> Run {
        run.env("REGISTRY_AUTH_FILE", self.path("no-logins.json"))
    }

    /// Pushes a layout without any client, one request for each blob.
    pub fn upload(&self, repository: &str, layout: &Layout, tag: &str) {
        let index = fs::read(layout.dir.join("index.json")).expect("index.json");
        let index: Value = serde_json::from_slice(&index).expect("JSON");
        self.upload_parts(repository, &layout.dir, &index["manifests"][0], tag);
    }

    fn upload_parts(&self, repository: &str, dir: &Path, descriptor: &Value, reference: &str) {
        let bytes = read_blob(dir, descriptor);
        let manifest: Value = serde_json::from_slice(&bytes).expect("a manifest");
        for child in list(&manifest["manifests"]) {
            let digest = child["digest"].as_str().expect("a digest");
            self.upload_parts(repository, dir, child, digest);
        }
        let config = Some(&manifest["config"]).filter(|config| config.is_object());
        for blob in list(&manifest["layers"]).iter().chain(config) {
            self.upload_blob(repository, dir, blob);
        }
        let path = format!("/v2/{repository}/manifests/{reference}");
        let media_type = descriptor["mediaType"].as_str().expect("a media type");
        let put = self.registry.request("PUT", &path);
        let answer = put.header("content-type", media_type).body(bytes).send();
        assert_eq!(answer.expect("an answer").status(), 201, "PUT {path}");
    }

    fn upload_blob(&self, repository: &str, dir: &Path, descriptor: &Value) {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = self.registry.request("POST", &path).send();
        let begun = begun.expect("an answer");
        assert_eq!(begun.status(), 202, "POST {path}");
        let location = begun.headers()["location"].to_str().expect("text");
        let base = reqwest::Url::parse(&self.registry.url()).expect("a URL");
        let mut url = base.join(location).expect("a URL");
        let digest = descriptor["digest"].as_str().expect("a digest");
        url.query_pairs_mut().append_pair("digest", digest);
        let request = self.registry.client().put(url);
        let (user, password) = USER;
        let request = request.basic_auth(user, Some(password));
        let answer = request.body(read_blob(dir, descriptor)).send();
        assert_eq!(answer.expect("an answer").status(), 201, "PUT of {digest}");
    }

    /// Fetches a manifest and all that it names, hashes every byte, and hands
    /// back the manifest's digest.
    pub fn verify(&self, repository: &str, reference: &str) -> String {
        let (digest, manifest) = self.manifest(repository, reference);
        for child in list(&manifest["manifests"]) {
            let expected = child["digest"].as_str().expect("a digest");
            assert_eq!(self.verify(repository, expected), expected);
        }
        let config = Some(&manifest["config"]).filter(|config| config.is_object());
        for blob in list(&manifest["layers"]).iter().chain(config) {
            let expected = blob["digest"].as_str().expect("a digest");
            let path = format!("/v2/{repository}/blobs/{expected}");
            let answer = self.registry.request("GET", &path).send();
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), 200, "GET {path}");
            assert_eq!(sha256_of(answer), expected, "GET {path}");
        }
        digest
    }

    /// The size of the largest layer, by asking for the blob itself.
    pub fn largest_blob(&self, repository: &str, reference: &str) -> u64 {
        let (_, manifest) = self.manifest(repository, reference);
        let layers = list(&manifest["layers"]).iter();
        let sizes = layers.map(|layer| {
            let digest = layer["digest"].as_str().expect("a digest");
            let path = format!("/v2/{repository}/blobs/{digest}");
            let answer = self.registry.request("HEAD", &path).send();
            let length = answer.expect("an answer").headers()["content-length"].clone();
            let length = length.to_str().expect("text").parse().expect("a number");
            assert_eq!(layer["size"], length, "HEAD {path}");
            length
        });
        sizes.max().expect("a layer")
    }

    /// That the image's layer is stored as zstd.
    pub fn assert_zstd(&self, repository: &str, reference: &str) {
        let (_, manifest) = self.manifest(repository, reference);
        let media_type = manifest["layers"][0]["mediaType"].as_str();
        let media_type = media_type.expect("a layer");
        assert!(media_type.ends_with("+zstd"), "{media_type}");
    }

    /// Asks the referrers API whether `artifact` refers to `subject`.
    pub fn assert_refers(&self, repository: &str, subject: &str, artifact: &str) {
        let path = format!("/v2/{repository}/referrers/{subject}");
        let answer = self.registry.request("GET", &path).send();
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "GET {path}");
        let index: Value = serde_json::from_str(&answer.text().expect("text")).expect("JSON");
        let found = list(&index["manifests"]).iter().any(|descriptor| {
            descriptor["digest"] == artifact && descriptor["artifactType"] == content::ARTIFACT_TYPE
        });
        assert!(found, "GET {path} doesn't list {artifact}: {index}");
    }

    /// Refused pushes leave no repository behind.
    pub fn assert_absent(&self, repository: &str) {
        let path = format!("/v2/{repository}/tags/list");
        let answer = self.registry.request("GET", &path).send();
        assert_eq!(answer.expect("an answer").status(), 404, "GET {path}");
    }

    fn manifest(&self, repository: &str, reference: &str) -> (String, Value) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let get = self.registry.request("GET", &path).header("accept", ACCEPT);
        let answer = get.send().expect("an answer");
        assert_eq!(answer.status(), 200, "GET {path}");
        let header = answer.headers()["docker-content-digest"].clone();
        let bytes = answer.bytes().expect("the manifest");
        let digest = content::sha256(&bytes);
        assert_eq!(header, digest.as_str(), "GET {path}");
        (digest, serde_json::from_slice(&bytes).expect("a manifest"))
    }
}

fn read_blob(dir: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().expect("a digest");
    let hex = digest.strip_prefix("sha256:").expect("a SHA-256 digest");
    fs::read(dir.join("blobs/sha256").join(hex)).expect("a blob of the layout")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn sha256_of(mut body: impl Read) -> String {
    let mut state = Sha256::new();
    let mut buffer = vec![0u8; 1 << 18];
    loop {
        let count = body.read(&mut buffer).expect("the blob's bytes");
        if count == 0 {
            return format!("sha256:{}", hex(&state.finalize()));
        }
        state.update(&buffer[..count]);
    }
}
