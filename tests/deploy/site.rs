//! What whoever deploys brings along: users, a certificate, the store's keys,
//! and images that are pushed and pulled.

use std::fs;
use std::path::{Path, PathBuf};

use crate::nodes::Nodes;
use crate::support::{Authority, Run, run};

/// The user and the password of every deployment here.
pub const USER: &str = "moby";
/// See [`USER`].
pub const PASSWORD: &str = "gordon";
/// The store's keys.
pub const ACCESS_KEY: &str = "wharf";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "0123456789abcdef";

/// The files of a deployment, and its registry's name.
pub struct Site {
    /// `host:port`, as clients write it.
    pub registry: String,
    /// The directory with the secrets' files.
    pub secrets: PathBuf,
    authority: Authority,
}

impl Site {
    /// Writes the files, and has all engines trust the certificate on every
    /// node's port 5000, as [certs/README.md] says.
    pub fn new(nodes: &Nodes, count: usize) -> Site {
        let secrets = nodes.scratch("secrets");
        let authority = Authority::create(&nodes.scratch("ca"), "wharf test CA");
        let addresses: Vec<String> = (1..=count).map(|node| nodes.address(node)).collect();
        let mut names: Vec<&str> = addresses.iter().map(String::as_str).collect();
        names.push("localhost");
        authority.sign(&names, &secrets);
        for address in &addresses {
            nodes.trust(&format!("{address}:5000"), &authority.certificate());
        }
        let users = run(env!("CARGO_BIN_EXE_wharf"))
            .args(["htpasswd", "-Bbn", USER, PASSWORD])
            .ok();
        let identities = format!(
            r#"{{"identities": [{{"name": "wharf", "actions": ["Admin"],
                "credentials": [{{"accessKey": "{ACCESS_KEY}", "secretKey": "{SECRET_KEY}"}}]}}]}}"#
        );
        for (file, content) in [
            ("htpasswd", users.stdout.as_str()),
            ("s3-accesskey", ACCESS_KEY),
            ("s3-secretkey", SECRET_KEY),
            ("s3.json", &identities),
        ] {
            fs::write(secrets.join(file), content).expect("a secret written");
        }
        Site {
            registry: format!("{}:5000", nodes.address(1)),
            secrets,
            authority,
        }
    }

    /// crane on the fabric, which trusts the site's certificate alone.
    pub fn crane(&self, nodes: &Nodes) -> Run {
        let crane = nodes.on_the_fabric("crane");
        crane.env("SSL_CERT_FILE", self.authority.certificate())
    }

    /// Logs in to `registry`, for crane and for the engine of a node alike.
    pub fn login(&self, nodes: &Nodes, node: usize, registry: &str) {
        nodes
            .docker(node)
            .args(["login", registry, "-u", USER, "--password-stdin"])
            .stdin(PASSWORD)
            .ok();
    }
}

/// A file of ours below deploy/.
pub fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file)
}

/// Imports an image of random bytes, so that its layer is nobody else's, as
/// `tag` into the engine of a node.
pub fn random_image(nodes: &Nodes, node: usize, tag: &str, bytes: u64) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    random_file(&dir.path().join("content"), bytes);
    let archive = dir.path().join("layer.tar");
    run("tar")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(dir.path())
        .arg("content")
        .ok();
    nodes.docker(node).arg("import").arg(&archive).arg(tag).ok();
}

/// Writes a file of random bytes.
pub fn random_file(path: &Path, bytes: u64) {
    use std::io::Read as _;
    let random = fs::File::open("/dev/urandom").expect("random bytes");
    let mut file = fs::File::create(path).expect("a file");
    std::io::copy(&mut random.take(bytes), &mut file).expect("random bytes written");
}
