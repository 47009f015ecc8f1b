//! The real server, started on a free port of loopback and stopped when the
//! test lets go of it: one process on a volume, one on a bucket, or several on
//! one bucket behind a balancer, which a test need not know.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Authority, Balancer, Bucket, Manner, SERVER_NAMES, eventually};

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

/// What a server is started with. Every method adds one thing; [`Setup::start`]
/// starts it.
#[derive(Clone)]
pub struct Setup {
    program: Program,
    tls: bool,
    address: String,
    users: Vec<(String, String)>,
    sections: String,
    config: Option<String>,
    env: Vec<(String, String)>,
    data: Option<PathBuf>,
    manner: Manner,
    bucket: Option<Bucket>,
}

/// A running server.
pub struct Registry {
    setup: Setup,
    dir: TempDir,
    data: PathBuf,
    authority: Option<Authority>,
    address: String,
    child: Option<Child>,
    starts: usize,
    /// Behind a balancer: the servers that do the work, instead of `child`.
    replicas: Vec<Registry>,
    _balancer: Option<Balancer>,
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

    fn launch(&mut self) {
        let log = self.log_file();
        let written = self.log().len();
        let file = OpenOptions::new().create(true).append(true).open(&log);
        let file: File = file.expect("the log file");
        let mut command = Command::new(self.setup.binary());
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

impl Setup {
    /// Another program with the same contract.
    pub fn program(mut self, program: Program) -> Setup {
        self.program = program;
        self
    }

    /// TLS, with a certificate for [`SERVER_NAMES`] from a new authority.
    pub fn tls(mut self) -> Setup {
        self.tls = true;
        self
    }

    /// Where it listens, in place of a free port of 127.0.0.1.
    pub fn address(mut self, address: &str) -> Setup {
        self.address = address.to_owned();
        self
    }

    /// A user in an htpasswd file; the first one is [`Registry::login`].
    pub fn user(mut self, name: &str, password: &str) -> Setup {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Lines for the end of the configuration file: whole top-level sections
    /// that it doesn't have yet (it has `version`, `log`, `storage`, `http` and,
    /// with users, `auth`).
    pub fn section(mut self, yaml: &str) -> Setup {
        self.sections.push_str(yaml);
        self.sections.push('\n');
        self
    }

    /// The whole configuration file, in place of the one made here.
    pub fn config(mut self, yaml: &str) -> Setup {
        self.config = Some(yaml.to_owned());
        self
    }

    /// An environment variable, such as `REGISTRY_STORAGE_DELETE_ENABLED`.
    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A volume that outlives the server.
    pub fn data(mut self, data: &Path) -> Setup {
        self.data = Some(data.to_owned());
        self
    }

    /// Its content in this bucket, whatever this run is about.
    pub fn s3(mut self, bucket: &Bucket) -> Setup {
        self.bucket = Some(bucket.clone());
        self
    }

    /// So many servers behind a balancer, which has the address and the TLS.
    pub fn replicas(mut self, count: usize) -> Setup {
        self.manner.replicas = count;
        self
    }

    /// Whether pulls from a bucket are redirected there.
    pub fn redirects(mut self, on: bool) -> Setup {
        self.manner.redirects = on;
        self
    }

    /// Writes the files, starts the server and waits until it listens.
    pub fn start(mut self) -> Registry {
        let dir = TempDir::with_prefix("wharf-test-").expect("a temporary directory");
        let data = self.data.clone().unwrap_or_else(|| dir.path().join("data"));
        fs::create_dir_all(&data).expect("the data directory");
        if self.bucket.is_none() && self.manner.s3 {
            self.bucket = Some(Bucket::for_volume(&data));
        }
        let authority = self.tls.then(|| {
            let authority = Authority::create(&dir.path().join("ca"), "wharf test CA");
            authority.sign(&SERVER_NAMES, &dir.path().join("certs"));
            authority
        });
        if !self.users.is_empty() {
            fs::write(dir.path().join("htpasswd"), self.htpasswd()).expect("htpasswd written");
        }
        if self.manner.replicas > 1 && self.program == Program::Wharf {
            return self.start_replicas(dir, data, authority);
        }
        let config = match &self.config {
            Some(config) => config.clone(),
            None => self.yaml(dir.path(), &data),
        };
        fs::write(dir.path().join("config.yml"), config).expect("config.yml written");
        let mut registry = Registry {
            address: self.address.clone(),
            setup: self,
            dir,
            data,
            authority,
            child: None,
            starts: 0,
            replicas: Vec::new(),
            _balancer: None,
        };
        registry.launch();
        registry
    }

    /// Several servers with one content; TLS ends at the balancer.
    fn start_replicas(self, dir: TempDir, data: PathBuf, authority: Option<Authority>) -> Registry {
        let mut one = self.clone();
        one.tls = false;
        one.address = "127.0.0.1:0".to_owned();
        one.data = Some(data.clone());
        one.manner.replicas = 1;
        let count = self.manner.replicas;
        let replicas: Vec<Registry> = (0..count).map(|_| one.clone().start()).collect();
        let hosts: Vec<String> = replicas.iter().map(|one| one.host().to_owned()).collect();
        let pem = authority.as_ref().map(|_| one_file(dir.path()));
        let balancer = Balancer::start(dir.path(), &self.address, pem.as_deref(), &hosts);
        Registry {
            address: balancer.host().to_owned(),
            setup: self,
            dir,
            data,
            authority,
            child: None,
            starts: 0,
            replicas,
            _balancer: Some(balancer),
        }
    }

    fn yaml(&self, dir: &Path, data: &Path) -> String {
        let dir = dir.display();
        let mut yaml = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n{}  delete:\n    enabled: true\n\
             http:\n  addr: {:?}\n",
            self.storage(data),
            self.address
        );
        if self.tls {
            yaml += &format!(
                "  tls:\n    certificate: {dir}/certs/domain.crt\n    key: {dir}/certs/domain.key\n"
            );
        }
        if !self.users.is_empty() {
            yaml += &format!(
                "auth:\n  htpasswd:\n    realm: Registry Realm\n    path: {dir}/htpasswd\n"
            );
        }
        yaml + &self.sections
    }

    fn storage(&self, data: &Path) -> String {
        let Some(bucket) = &self.bucket else {
            let data = data.display();
            return format!("  filesystem:\n    rootdirectory: {data}\n");
        };
        let disabled = !self.manner.redirects;
        bucket.yaml() + &format!("  redirect:\n    disable: {disabled}\n")
    }

    fn htpasswd(&self) -> String {
        let mut lines = String::new();
        for (name, password) in &self.users {
            // Cost 5, as `htpasswd -B` has it.
            let hash = bcrypt::hash(password, 5).expect("a bcrypt hash");
            lines += &format!("{name}:{hash}\n");
        }
        lines
    }

    fn binary(&self) -> PathBuf {
        match self.program {
            Program::Wharf => std::env::var_os("WHARF_TEST_SERVER")
                .unwrap_or_else(|| env!("CARGO_BIN_EXE_wharf").into())
                .into(),
            Program::Distribution => "docker-registry".into(),
        }
    }
}

/// The certificate and its key in one file, as HAProxy reads them.
fn one_file(dir: &Path) -> PathBuf {
    let read = |name: &str| fs::read_to_string(dir.join("certs").join(name)).expect("PEM");
    let file = dir.join("certs/both.pem");
    fs::write(&file, read("domain.crt") + &read("domain.key")).expect("both.pem written");
    file
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
