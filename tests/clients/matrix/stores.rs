//! podman, buildah and ctr: clients with a store of images of their own, which
//! a layout is brought into before it is pushed.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::site::Site;
use super::{As, Client, Kind, debian_client, run_large, run_matrix};
use crate::content::{Layout, TAG, tar_of};
use crate::support::{Needs, Run, eventually, run};

#[test]
fn podman_pushes_pulls_and_is_refused() {
    if debian_client("podman").root().met() {
        run_matrix(&PODMAN, &Site::start());
    }
}

#[test]
fn podman_moves_a_layer_of_2_gib() {
    if debian_client("podman").root().met() {
        run_large(&PODMAN, &Site::start());
    }
}

#[test]
fn buildah_pushes_pulls_and_is_refused() {
    if debian_client("buildah").root().met() {
        run_matrix(&BUILDAH, &Site::start());
    }
}

#[test]
fn buildah_moves_a_layer_of_2_gib() {
    if debian_client("buildah").root().met() {
        run_large(&BUILDAH, &Site::start());
    }
}

#[test]
fn ctr_pushes_pulls_and_is_refused() {
    if ctr_needs().met() {
        let site = Site::start();
        run_matrix(&Ctr::start(&site), &site);
    }
}

#[test]
fn ctr_moves_a_layer_of_2_gib() {
    if ctr_needs().met() {
        let site = Site::start();
        run_large(&Ctr::start(&site), &site);
    }
}

pub fn ctr_needs() -> Needs {
    debian_client("ctr")
        .program("containerd", "apt install containerd")
        .root()
}

/// podman or buildah: the same store and the same flags.
pub struct Containers {
    name: &'static str,
}

pub const PODMAN: Containers = Containers { name: "podman" };
const BUILDAH: Containers = Containers { name: "buildah" };

impl Containers {
    fn command(&self, site: &Site) -> Run {
        site.no_logins(run(self.name))
            .arg("--root")
            .arg(site.path("root"))
            .arg("--runroot")
            .arg(site.path("runroot"))
            // It mounts nothing, so that the test's directory can be removed.
            .args(["--storage-driver", "vfs"])
            .limit(Duration::from_secs(600))
    }

    fn with_access(&self, command: Run, site: &Site, who: As) -> Run {
        let command = command.arg("--cert-dir").arg(site.authority(who).dir());
        match site.pair(who) {
            Some(pair) => command.arg("--creds").arg(pair),
            None => command,
        }
    }
}

impl Client for Containers {
    fn name(&self) -> &'static str {
        self.name
    }

    /// podman 4 and buildah 1.28 refuse artifacts: `unsupported image-specific
    /// operation on artifact`.
    fn carries(&self, kind: Kind) -> bool {
        kind != Kind::Artifact
    }

    fn push(&self, site: &Site, kind: Kind, layout: &Layout, to: &str, who: As) -> Run {
        // A path from its own directory: they make a name of it, and names have
        // no capital letters.
        let dir = layout.dir.file_name().expect("a name").to_string_lossy();
        let from = format!("oci:{dir}:{TAG}");
        let room = layout.dir.parent().expect("a directory");
        let to = format!("docker://{}", site.name(to));
        if kind == Kind::Index {
            let verb = |words: &[&str]| {
                let command = self.command(site).dir(room);
                command.arg("manifest").args(words)
            };
            verb(&["create", "both"]).ok();
            verb(&["add", "--all", "both", &from]).ok();
            let push = self.with_access(verb(&["push", "--all"]), site, who);
            return push.args(["both", &to]);
        }
        let pulled = self.command(site).dir(room);
        let pulled = pulled.args(["pull", "-q", &from]).ok();
        let push = self.with_access(self.command(site).arg("push"), site, who);
        let push = match kind {
            Kind::Zstd => push.args(["--compression-format", "zstd"]),
            _ => push,
        };
        push.args([pulled.stdout.trim(), &to])
    }

    fn pull(&self, site: &Site, _kind: Kind, from: &str, who: As) -> Run {
        let pull = self.with_access(self.command(site).arg("pull"), site, who);
        pull.arg(format!("docker://{}", site.name(from)))
    }

    fn words(&self, who: As) -> &'static [&'static str] {
        match who {
            As::Stranger => &["certificate signed by unknown authority"],
            _ => &["unauthorized: authentication required", "unauthorized"],
        }
    }

    fn keeps_bytes(&self) -> bool {
        false
    }

    fn pulled(&self, _site: &Site, _from: &str) -> Option<String> {
        // The store knows the platform's image, not the index that led to it.
        None
    }

    fn forget(&self, site: &Site, _image: &str) {
        let all = self.command(site).args(["images", "-a", "-q"]).ok();
        for id in all.stdout.split_whitespace() {
            self.command(site).args(["rmi", "-f", id]).output();
        }
    }
}

/// ctr with a containerd of its own. Without `--hosts-dir`, ctr speaks plain
/// HTTP to loopback whatever CA it is given.
pub struct Ctr {
    daemon: Child,
    socket: PathBuf,
}

impl Ctr {
    pub fn start(site: &Site) -> Ctr {
        let socket = site.path("containerd.sock");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = {:?}\n",
            site.path("containerd"),
            site.path("containerd-state"),
            socket
        );
        fs::write(site.path("containerd.toml"), config).expect("containerd.toml written");
        let log = fs::File::create(site.path("containerd.log")).expect("a log");
        let daemon = Command::new("containerd")
            .arg("--config")
            .arg(site.path("containerd.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("containerd started");
        let ctr = Ctr { daemon, socket };
        eventually("containerd", Duration::from_secs(30), || {
            let answer = ctr.command().arg("version").output();
            answer.success().then_some(())
        });
        ctr
    }

    fn command(&self) -> Run {
        let command = run("ctr").arg("--address").arg(&self.socket);
        command.limit(Duration::from_secs(600))
    }

    fn with_access(&self, command: Run, site: &Site, who: As) -> Run {
        let hosts = site.path(&format!("hosts-{who:?}"));
        let dir = hosts.join(&site.host);
        fs::create_dir_all(&dir).expect("the host's directory");
        let url = format!("https://{}", site.host);
        let toml = format!(
            "server = {url:?}\n[host.{url:?}]\n  ca = {:?}\n",
            site.ca(who)
        );
        fs::write(dir.join("hosts.toml"), toml).expect("hosts.toml written");
        let command = command.arg("--hosts-dir").arg(hosts);
        match site.pair(who) {
            Some(pair) => command.arg("--user").arg(pair),
            None => command,
        }
    }
}

impl Drop for Ctr {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Client for Ctr {
    fn name(&self) -> &'static str {
        "ctr"
    }

    fn carries(&self, _kind: Kind) -> bool {
        true
    }

    fn push(&self, site: &Site, kind: Kind, layout: &Layout, to: &str, who: As) -> Run {
        let name = format!("local/{kind:?}").to_lowercase();
        let local = format!("{name}:{TAG}");
        let file = site.path("layout.tar");
        tar_of(layout, &file);
        self.command()
            .args(["images", "import", "--all-platforms", "--no-unpack"])
            .args(["--base-name", &name, "--index-name", &local])
            .arg(file)
            .ok();
        let push = self.command().args(["images", "push"]);
        let push = self.with_access(push, site, who);
        push.arg(site.name(to)).arg(local)
    }

    fn pull(&self, site: &Site, kind: Kind, from: &str, who: As) -> Run {
        let verb = match kind {
            // A pull would unpack it, and an artifact is no file system.
            Kind::Artifact => ["content", "fetch"],
            _ => ["images", "pull"],
        };
        let pull = self.command().args(verb).arg("--all-platforms");
        self.with_access(pull, site, who).arg(site.name(from))
    }

    fn words(&self, who: As) -> &'static [&'static str] {
        match who {
            As::Stranger => &["certificate signed by unknown authority"],
            _ => &["401 Unauthorized", "authorization failed"],
        }
    }

    fn keeps_bytes(&self) -> bool {
        true
    }

    fn pulled(&self, site: &Site, from: &str) -> Option<String> {
        let list = self.command().args(["images", "ls"]).ok().stdout;
        let name = site.name(from);
        let line = list.lines().find(|line| line.starts_with(&name))?;
        let digest = line
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"));
        digest.map(str::to_owned)
    }

    fn forget(&self, _site: &Site, _image: &str) {
        let names = self.command().args(["images", "ls", "-q"]).ok().stdout;
        for name in names.split_whitespace() {
            self.command().args(["images", "rm", "--sync", name]).ok();
        }
    }
}
