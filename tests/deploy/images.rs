//! The images that the deployments name, built from programs of this machine,
//! since none can be pulled here: `FROM scratch` with the program, its
//! libraries, and a busybox where the public image has one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::nodes::Nodes;
use crate::support::{find, run};

/// Our own image.
pub const WHARF: &str = "wharf:test";
/// In place of haproxy:lts-alpine.
pub const HAPROXY: &str = "haproxy:test";
/// In place of chrislusf/seaweedfs.
pub const SEAWEEDFS: &str = "seaweedfs:test";
/// In place of redis:7-alpine.
pub const REDIS: &str = "redis:test";

/// The static binary of ours, if the run has one.
pub fn wharf_binary() -> Option<PathBuf> {
    let binary = std::env::var_os("WHARF_TEST_STATIC_BINARY").map(PathBuf::from)?;
    binary.is_file().then_some(binary)
}

/// Builds [`WHARF`] on the first node, as docs/image.md says.
pub fn wharf(nodes: &Nodes) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let binary = wharf_binary().expect("a static binary");
    let build = run(root.join("deploy/image/build")).arg(binary).arg(WHARF);
    nodes.client(build, 1).ok();
}

/// Builds [`HAPROXY`].
pub fn haproxy(nodes: &Nodes) {
    let rootfs = Rootfs::new(nodes, "haproxy");
    rootfs.dynamic("haproxy", "usr/local/sbin/haproxy");
    rootfs.busybox();
    rootfs.build(
        nodes,
        HAPROXY,
        r#"CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]"#,
    );
}

/// Builds [`SEAWEEDFS`].
pub fn seaweedfs(nodes: &Nodes) {
    let rootfs = Rootfs::new(nodes, "seaweedfs");
    rootfs.file(&find("weed").expect("weed"), "usr/bin/weed");
    rootfs.busybox();
    rootfs.build(nodes, SEAWEEDFS, r#"ENTRYPOINT ["/usr/bin/weed"]"#);
}

/// Builds [`REDIS`].
pub fn redis(nodes: &Nodes) {
    let rootfs = Rootfs::new(nodes, "redis");
    rootfs.dynamic("redis-server", "usr/local/bin/redis-server");
    rootfs.dynamic("redis-cli", "usr/local/bin/redis-cli");
    rootfs.build(nodes, REDIS, r#"CMD ["redis-server"]"#);
}

/// Builds the counter as `tag`, by the last stage of its own Dockerfile: the
/// stage before it needs the golang image, in whose place this machine's go
/// makes the same program.
pub fn counter(nodes: &Nodes, tag: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/counter");
    let dockerfile = fs::read_to_string(source.join("Dockerfile")).expect("its Dockerfile");
    let (_, last) = dockerfile
        .split_once("\nFROM scratch\n")
        .expect("a stage from scratch");
    let dir = nodes.scratch("counter");
    fs::write(
        dir.join("Dockerfile"),
        format!("FROM scratch\n{}", last.replace("--from=build ", "")),
    )
    .expect("Dockerfile written");
    run("go")
        .args(["build", "-trimpath", "-ldflags=-s", "-o"])
        .arg(dir.join("counter"))
        .arg(".")
        .dir(source)
        .env("CGO_ENABLED", "0")
        .ok();
    nodes.docker(1).args(["build", "-t", tag]).arg(dir).ok();
}

struct Rootfs(PathBuf);

impl Rootfs {
    fn new(nodes: &Nodes, name: &str) -> Rootfs {
        Rootfs(nodes.scratch(name))
    }

    /// A program of the PATH, and the libraries that it is linked to.
    fn dynamic(&self, program: &str, at: &str) {
        let program = find(program).expect("a program");
        self.file(&program, at);
        let listed = run("ldd").arg(&program).ok().stdout;
        for library in listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            self.file(Path::new(library), library.trim_start_matches('/'));
        }
    }

    /// `sh` and `wget`, as in images on Alpine.
    fn busybox(&self) {
        let busybox = find("busybox").expect("busybox");
        self.file(&busybox, "bin/sh");
        self.file(&busybox, "bin/wget");
    }

    fn file(&self, from: &Path, at: &str) {
        let to = self.0.join("rootfs").join(at);
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        // Copied through links, with its mode.
        fs::copy(from, to).expect("a file copied");
    }

    fn build(self, nodes: &Nodes, tag: &str, start: &str) {
        let path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let dockerfile = format!("FROM scratch\nCOPY rootfs/ /\n{path}\n{start}\n");
        fs::write(self.0.join("Dockerfile"), dockerfile).expect("Dockerfile written");
        nodes.docker(1).args(["build", "-t", tag]).arg(&self.0).ok();
        let _ = fs::remove_dir_all(&self.0);
    }
}
