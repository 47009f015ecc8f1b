//! Docker hosts in network namespaces, by nodes.sh: engines that share nothing
//! with the machine's own network or with each other, and no way out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::support::{Needs, Run, eventually, run};

/// The machine carries one such test at a time: they measure time.
static MACHINE: Mutex<()> = Mutex::new(());

/// Engines that run; node numbers begin at 1.
pub struct Nodes {
    dir: PathBuf,
    script: Child,
    _machine: MutexGuard<'static, ()>,
}

/// What every test with nodes needs.
pub fn needs(who: &'static str) -> Needs {
    Needs::of(who)
        .root()
        .program("docker", "apt install docker.io")
        .program("dockerd", "apt install docker.io")
        .program("iptables", "apt install iptables")
        .program("ip", "apt install iproute2")
        .program("nsenter", "apt install util-linux")
        .program("crane", "go install, see .ci/run")
        .condition(
            crate::images::wharf_binary().is_some(),
            "WHARF_TEST_STATIC_BINARY doesn't name a static wharf, see .ci/run",
        )
}

impl Nodes {
    /// Starts `count` engines and waits until they answer.
    pub fn start(count: usize) -> Nodes {
        let machine = MACHINE.lock().unwrap_or_else(|held| held.into_inner());
        let dir = tempfile::Builder::new()
            .prefix("wharf-nodes-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/nodes.sh");
        let log = fs::File::create(dir.join("log")).expect("a log");
        let script = Command::new(script)
            .arg(count.to_string())
            .env("DIR", &dir)
            // Its end, however we end.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("nodes.sh started");
        let mut nodes = Nodes {
            dir,
            script,
            _machine: machine,
        };
        for node in 1..=count {
            eventually("a node's engine", Duration::from_secs(60), || {
                if let Ok(Some(status)) = nodes.script.try_wait() {
                    panic!("nodes.sh ended ({status}): {}", nodes.said("log"));
                }
                let version = nodes.docker(node).arg("version");
                version.output().success().then_some(())
            });
        }
        nodes
    }

    /// A docker command for the engine of this node.
    pub fn docker(&self, node: usize) -> Run {
        self.client(run("docker"), node)
    }

    /// A docker-compose command for the engine of this node.
    pub fn compose(&self, node: usize, file: &Path) -> Run {
        let compose = self.client(run("docker-compose"), node);
        compose.arg("-f").arg(file)
    }

    /// Any command that speaks to this node's engine. Logins are kept here.
    pub fn client(&self, command: Run, node: usize) -> Run {
        let socket = self.home(node).join("docker.sock");
        command
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .env("DOCKER_CONFIG", self.dir.join("login"))
            // `docker build` without the buildx plugin.
            .env("DOCKER_BUILDKIT", "0")
    }

    /// Any program, in the network that the nodes share.
    pub fn on_the_fabric(&self, program: &str) -> Run {
        let program = crate::support::find(program).unwrap_or_else(|| program.into());
        let enter = run("nsenter").arg(self.fabric_flag());
        enter
            .arg(program)
            .env("DOCKER_CONFIG", self.dir.join("login"))
    }

    /// What leads nsenter into that network.
    pub fn fabric_flag(&self) -> String {
        format!("--net={}", self.said("fabric").trim())
    }

    /// The node's address.
    pub fn address(&self, node: usize) -> String {
        format!("10.54.0.{node}")
    }

    /// The fabric's own address, where a test may put a server.
    pub fn outside(&self) -> &'static str {
        "10.54.0.254"
    }

    /// Has the engines trust what `ca` signed, at this `host:port`.
    pub fn trust(&self, host: &str, ca: &Path) {
        for entry in fs::read_dir(&self.dir).expect("the nodes") {
            let certs = entry.expect("a node").path().join("etc-docker/certs.d");
            if certs.is_dir() {
                fs::create_dir_all(certs.join(host)).expect("a directory");
                fs::copy(ca, certs.join(host).join("ca.crt")).expect("ca.crt copied");
            }
        }
    }

    /// Copies images from the first node's engine to all others.
    pub fn spread(&self, count: usize, images: &[&str]) {
        let archive = self.dir.join("images.tar");
        let save = self.docker(1).args(["save", "-o"]);
        save.arg(&archive).args(images).ok();
        for node in 2..=count {
            self.docker(node).args(["load", "-i"]).arg(&archive).ok();
        }
        let _ = fs::remove_file(archive);
    }

    /// A directory that goes with the nodes.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).expect("a directory");
        dir
    }

    fn home(&self, node: usize) -> PathBuf {
        self.dir.join(format!("n{node}"))
    }

    fn said(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
