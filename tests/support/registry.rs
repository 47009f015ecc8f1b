//! The real server, started on a free port of loopback and stopped when the
//! test lets go of it: one process on a volume, one on a bucket, or several on
//! one bucket behind a balancer, which a test need not know.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Authority, Balancer, Bucket, Manner, Setup, eventually};

/// How long a server may take until it listens, and until it ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a person has set for an object store of their own is none of ours.
const AWS_ENVIRONMENT: [&str; 7] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
];

/// Which server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Ours; `WHARF_TEST_SERVER` may name another binary.
    Wharf,
    /// Debian's docker-registry (registry:2), for interchange.
    Distribution,
}

/// A running server.
pub struct Registry {
    pub(super) setup: Setup,
    pub(super) dir: TempDir,
    pub(super) data: PathBuf,
    pub(super) authority: Option<Authority>,
    pub(super) address: String,
    pub(super) child: Option<Child>,
    pub(super) starts: usize,
    /// Behind a balancer: the servers that do the work, instead of `child`.
    pub(super) replicas: Vec<Registry>,
    pub(super) _balancer: Option<Balancer>,
    /// What clients with TLS are redirected to.
    pub(super) _store: Option<Balancer>,
}

impl Registry {
    /// Begins the description of a server: plain HTTP, open, deletes enabled,
    /// its data in a temporary directory, or below a key of that name where
    /// this run is about buckets.
    pub fn with() -> Setup {
        Setup {
            program: Program::Wharf,
            tls: false,
            address: "127.0.0.1:0".to_owned(),
            users: Vec::new(),
            sections: String::new(),
            config: None,
            env: Vec::new(),
            wrapper: Vec::new(),
            data: None,
            manner: Manner::of_this_run(),
            bucket: None,
        }
    }

    /// Starts a plain, open server.
    pub fn start() -> Registry {
        Registry::with().start()
    }

    /// Where it listens: `127.0.0.1:PORT`, the same after a restart.
    pub fn host(&self) -> &str {
        &self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        let port = self.address.rsplit(':').next();
        port.and_then(|port| port.parse().ok()).expect("a port")
    }

    /// `http://127.0.0.1:PORT` or `https://...`, without a slash at the end.
    pub fn url(&self) -> String {
        let scheme = if self.setup.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The directory of everything that this server was given.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The storage volume; on a bucket, an empty directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The authority that signed its certificate.
    ///
    /// # Panics
    /// When the server has no TLS.
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("a server with TLS")
    }

    /// The first user's name and password.
    pub fn login(&self) -> Option<(&str, &str)> {
        let (user, password) = self.setup.users.first()?;
        Some((user, password))
    }

    /// A client that trusts this server, and nobody else when it has TLS.
    pub fn client(&self) -> reqwest::blocking::Client {
        let builder = reqwest::blocking::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(300));
        let builder = match &self.authority {
            None => builder,
            Some(authority) => {
                let pem = authority.pem();
                let ca = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
                builder.tls_certs_only([ca])
            }
        };
        builder.build().expect("an HTTP client")
    }

    /// A request to `path` (from `/v2/`) as the first user, if there is one.
    pub fn request(&self, method: &str, path: &str) -> reqwest::blocking::RequestBuilder {
        let method = method.parse().expect("an HTTP method");
        let request = self.client().request(method, self.url() + path);
        match self.login() {
            None => request,
            Some((user, password)) => request.basic_auth(user, Some(password)),
        }
    }

    /// Everything that the server printed, over all its starts.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        let own = String::from_utf8_lossy(&bytes).into_owned();
        own + &self.replicas.iter().map(Registry::log).collect::<String>()
    }

    /// The servers behind the balancer.
    pub fn replicas(&self) -> &[Registry] {
        &self.replicas
    }

    /// The same, to kill one and start it again.
    pub fn replicas_mut(&mut self) -> &mut [Registry] {
        &mut self.replicas
    }

    /// Where its content is, in a bucket.
    ///
    /// # Panics
    /// When it is on a volume.
    pub fn bucket(&self) -> &Bucket {
        self.setup.bucket.as_ref().expect("a server on a bucket")
    }

    /// Which server it is.
    pub fn program(&self) -> Program {
        self.setup.program
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks it to stop with SIGTERM and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.end(Signal::TERM)
    }

    /// Ends it with SIGKILL, as a crash would.
    pub fn kill(&mut self) -> ExitStatus {
        self.end(Signal::KILL)
    }

    /// Stops it if it runs, and starts it again on the same port and volume.
    pub fn restart(&mut self) {
        self.replicas.iter_mut().for_each(Registry::restart);
        if !self.replicas.is_empty() {
            return;
        }
        if self.child.is_some() {
            self.stop();
        }
        self.launch();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        for replica in &self.replicas {
            replica.signal(signal);
        }
        if !self.replicas.is_empty() {
            return;
        }
        let child = self.child.as_ref().expect("a running server");
        let pid = Pid::from_raw(child.id().cast_signed()).expect("a process id");
        kill_process(pid, signal).expect("the signal sent");
    }

    /// Waits until it has ended by itself, or by a signal that it was sent.
    pub fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.replicas.iter_mut().map(Registry::wait).last() {
            return status;
        }
        let mut child = self.child.take().expect("a running server");
        let log = self.log_file();
        eventually(
            &format!("the server's end, log in {}", log.display()),
            PATIENCE,
            || child.try_wait().expect("the server's state"),
        )
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    pub(super) fn launch(&mut self) {
        let log = self.log_file();
        let written = self.log().len();
        let file = OpenOptions::new().create(true).append(true).open(&log);
        let file: File = file.expect("the log file");
        let mut words = self
            .setup
            .wrapper
            .iter()
            .map(OsString::from)
            .collect::<Vec<_>>();
        words.push(self.setup.binary().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        for name in AWS_ENVIRONMENT {
            command.env_remove(name);
        }
        command
            .arg("serve")
            .arg(self.dir.path().join("config.yml"))
            // Its value is YAML, where `[::1]:5000` alone would begin a list.
            .env("REGISTRY_HTTP_ADDR", format!("{:?}", self.address))
            .envs(self.setup.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file);
        self.child = Some(command.spawn().expect("the server started"));
        self.starts += 1;
        self.address = eventually("the server's listening line", PATIENCE, || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok());
            let log = self.log();
            if let Some(Some(status)) = ended {
                panic!("the server ended ({status}) before it listened:\n{log}");
            }
            listening(log.get(written..).unwrap_or_default())
        });
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() && self.replicas.is_empty() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.len().saturating_sub(40);
            eprintln!("--- the end of the {:?} log", self.setup.program);
            for line in &lines[tail..] {
                eprintln!("{line}");
            }
        }
    }
}

/// The address in a line that says `listening on [http://|https://]ADDRESS`.
fn listening(log: &str) -> Option<String> {
    // A line that is still being written has no end yet.
    let whole = &log[..log.rfind('\n')? + 1];
    let (_, rest) = whole.split_once("listening on ")?;
    let rest = rest.trim_start_matches("https://");
    let rest = rest.trim_start_matches("http://");
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]-".contains(c)));
    let address = rest.get(..end?)?;
    Some(address.trim_end_matches('.').to_owned())
}
