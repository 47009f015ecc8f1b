//! Docker's engine for the tests: one that is there, or one of our own that
//! ends with the tests. Our own keeps its data in a temporary directory and
//! resolves `reg.test` to ::1 in a mount namespace of its own, so that the
//! machine's /etc/hosts stays as it is. (The engine never verifies
//! certificates of 127.0.0.0/8, so TLS is shown with `reg.test`.)

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::{Needs, Run, eventually, run};

/// The image name that the training types.
pub const REGISTRY_IMAGE: &str = "registry:2";

static ENGINE: OnceLock<Engine> = OnceLock::new();

/// A running engine.
pub struct Engine {
    socket: Option<PathBuf>,
    /// Our engine ends when this closes, which it does however we end.
    _lifeline: Option<ChildStdin>,
}

/// What tests with Docker need. `who` is how the line for a missing one begins.
pub fn needs(who: &'static str) -> Needs {
    let running = answers(None);
    let named = fs::read_to_string("/etc/hosts").unwrap_or_default();
    Needs::of(who)
        .root()
        .program("docker", "apt install docker.io")
        .program("dockerd", "apt install docker.io")
        .program("iptables", "apt install iptables")
        .program("cc", "apt install gcc libc6-dev")
        .condition(
            !running || named.contains("reg.test"),
            "an engine is running that doesn't know reg.test \
             (stop it, or add `::1 reg.test` to /etc/hosts)",
        )
}

/// The engine, started when the first test asks for it.
pub fn engine() -> &'static Engine {
    ENGINE.get_or_init(|| {
        if answers(None) {
            return Engine {
                socket: None,
                _lifeline: None,
            };
        }
        Engine::launch()
    })
}

impl Engine {
    /// A docker command; logins go to `config` and nowhere else.
    pub fn docker(&self, config: &Path) -> Run {
        let command = run("docker")
            .env("DOCKER_CONFIG", config)
            // `docker build` without the buildx plugin.
            .env("DOCKER_BUILDKIT", "0");
        match &self.socket {
            None => command,
            Some(socket) => command.env("DOCKER_HOST", url(socket)),
        }
    }

    /// Builds hello-world from scratch out of a static program of a few bytes,
    /// since no image can be pulled, and names it `tag`.
    pub fn build_hello_world(&self, config: &Path, tag: &str) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join("hello.c"), HELLO).expect("hello.c written");
        fs::write(
            dir.path().join("Dockerfile"),
            "FROM scratch\nCOPY hello /\nCMD [\"/hello\"]\n",
        )
        .expect("Dockerfile written");
        run("cc")
            .args(["-static", "-nostdlib", "-o", "hello", "hello.c"])
            .dir(dir.path())
            .ok();
        self.docker(config)
            .args(["build", "-t", tag, "."])
            .dir(dir.path())
            .ok();
    }

    /// Builds our image from the static binary and names it `registry:2`.
    pub fn build_our_image(&self, binary: &Path) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = std::env::var_os("WHARF_TEST_IMAGE_BUILD")
            .map_or_else(|| root.join("deploy/image/build"), PathBuf::from);
        let build = run(script).arg(binary).arg(REGISTRY_IMAGE).dir(root);
        match &self.socket {
            None => build,
            Some(socket) => build.env("DOCKER_HOST", url(socket)),
        }
        .env("DOCKER_BUILDKIT", "0")
        .ok();
    }

    fn launch() -> Engine {
        let dir = tempfile::Builder::new()
            .prefix("wharf-engine-")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        let socket = dir.join("docker.sock");
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        fs::write(dir.join("hosts"), hosts + "\n::1 reg.test\n").expect("hosts written");
        let log = fs::File::create(dir.join("log")).expect("the engine's log");
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", LAUNCH])
            .env("DIR", &dir)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("the engine started");
        let engine = Engine {
            socket: Some(socket.clone()),
            _lifeline: child.stdin.take(),
        };
        eventually("the Docker engine", Duration::from_secs(60), || {
            if let Ok(Some(status)) = child.try_wait() {
                let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
                panic!("the Docker engine ended ({status}):\n{log}");
            }
            answers(Some(&socket)).then_some(())
        });
        engine
    }
}

/// A directory under /etc/docker/certs.d, gone when dropped.
pub struct Trust(PathBuf);

impl Trust {
    /// `mkdir /etc/docker/certs.d/HOST; cp CA /etc/docker/certs.d/HOST/ca.crt`
    pub fn of(host: &str, ca: &Path) -> Trust {
        let dir = Path::new("/etc/docker/certs.d").join(host);
        fs::create_dir_all(&dir).expect("the directory under certs.d");
        let trust = Trust(dir);
        trust.replace(ca);
        trust
    }

    /// Trusts another CA instead. The engine reads it at its next request.
    pub fn replace(&self, ca: &Path) {
        fs::copy(ca, self.0.join("ca.crt")).expect("ca.crt copied");
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn answers(socket: Option<&Path>) -> bool {
    if super::support::find("docker").is_none() {
        return false;
    }
    let ask = run("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .limit(Duration::from_secs(10));
    match socket {
        None => ask,
        Some(socket) => ask.env("DOCKER_HOST", url(socket)),
    }
    .output()
    .success()
}

fn url(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// The engine, and its end when our end of its input closes.
const LAUNCH: &str = r#"
mount --bind "$DIR/hosts" /etc/hosts || exit 1
exec 3<&0 </dev/null
dockerd --data-root "$DIR/data" --exec-root "$DIR/exec" --pidfile "$DIR/pid" \
    -H "unix://$DIR/docker.sock" 3<&- &
engine=$!
{ cat <&3 >/dev/null; kill $engine; } &
wait $engine
code=$?
rm -rf "$DIR"
exit $code
"#;

const HELLO: &str = r#"
static const char text[] = "Hello from a tiny static program!\n";
static long call(long n, long a, long b, long c) {
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return r;
}
void _start(void) {
  call(1, 1, (long)text, sizeof text - 1);
  call(60, 0, 0, 0);
}
"#;
