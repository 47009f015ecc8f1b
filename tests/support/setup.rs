//! What a test says about the server that it wants, and how that becomes one:
//! a configuration, certificates, users, and replicas with their balancer.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Authority, Balancer, Bucket, Manner, Program, Registry, SERVER_NAMES};

/// What a server is started with. Every method adds one thing; [`Setup::start`]
/// starts it.
#[derive(Clone)]
pub struct Setup {
    pub(super) program: Program,
    pub(super) tls: bool,
    pub(super) address: String,
    pub(super) users: Vec<(String, String)>,
    pub(super) sections: String,
    pub(super) config: Option<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) wrapper: Vec<String>,
    pub(super) data: Option<PathBuf>,
    pub(super) manner: Manner,
    pub(super) bucket: Option<Bucket>,
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

    /// A program that becomes the server, such as `prlimit --nofile=64`.
    pub fn through(mut self, wrapper: &[&str]) -> Setup {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
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
        let store = self.store_with_tls(dir.path());
        if self.manner.replicas > 1 && self.program == Program::Wharf {
            return self.start_replicas(dir, data, authority, store);
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
            _store: store,
        };
        registry.launch();
        registry
    }

    /// Several servers with one content; TLS ends at the balancer.
    fn start_replicas(
        self,
        dir: TempDir,
        data: PathBuf,
        authority: Option<Authority>,
        store: Option<Balancer>,
    ) -> Registry {
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
            _store: store,
        }
    }

    /// Clients of a registry with TLS are redirected to TLS only.
    fn store_with_tls(&mut self, dir: &Path) -> Option<Balancer> {
        let bucket = self.bucket.as_mut()?;
        let redirects = self.manner.redirects && self.program == Program::Wharf;
        if !self.tls || !redirects || !Balancer::needs().met() {
            return None;
        }
        let store = bucket.endpoint.trim_start_matches("http://");
        let front = Balancer::before_store(dir, &one_file(dir), store);
        bucket.redirect_endpoint = Some(format!("https://{}", front.host()));
        Some(front)
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

    pub(super) fn binary(&self) -> PathBuf {
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
