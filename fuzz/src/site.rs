//! A registry in memory: the real router over the files store, on a temporary
//! directory in `/dev/shm` where there is one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use wharf::access::Access;
use wharf::auth::{self, Authenticator};
use wharf::config::Config;
use wharf::observe::health::Health;
use wharf::observe::readiness::Readiness;
use wharf::registry::Registry;
use wharf::registry::check::{self, Checker, Checkpoint};
use wharf::storage::{self, Room, Store};

thread_local! {
    /// One for all registries, so that its threads are made once.
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
}

/// A registry, removed from the disk with it.
pub struct Site {
    registry: Registry,
    router: Router,
    _root: TempDir,
}

/// One answer, its body read to the end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Whether the body came to its orderly end.
    pub complete: bool,
    pub body: Bytes,
}

/// A new directory that costs no disk.
pub fn directory() -> TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        tempfile::tempdir_in(shm).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// The settings of a configuration that says this and no more.
pub fn config(text: &str) -> Config {
    let text = format!("version: 0.1\n{text}");
    let loaded = Config::load(Path::new("config.yml"), &text, std::iter::empty());
    loaded.unwrap().config
}

/// The settings of a users file.
pub fn users(file: &Path) -> auth::Settings {
    let file = file.display();
    config(&format!(
        "storage: filesystem\nauth: {{htpasswd: {{realm: r, path: {file}}}}}\nlimits: {{loginsperaddress: 0, loginsperuser: 0}}\n"
    ))
    .auth
}

/// An empty store in a directory.
pub fn store(root: &Path) -> Arc<dyn Store> {
    Arc::new(
        storage::files::Files::open(&storage::files::Settings {
            root: root.to_owned(),
            max_threads: 4,
            sync: storage::files::SyncMode::None,
        })
        .unwrap(),
    )
}

impl Site {
    /// An empty registry where deleting is allowed and nobody logs in.
    pub fn empty() -> Self {
        Self::over(directory())
    }

    /// A registry over what lies in a directory.
    pub fn over(root: TempDir) -> Self {
        let config = config(&format!(
            "storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n",
            root.path().display()
        ));
        let storage::Settings::Files(settings) = &config.storage else {
            panic!("{:?}", config.storage);
        };
        let store: Arc<dyn Store> = Arc::new(storage::files::Files::open(settings).unwrap());
        let registry = Registry::new(Arc::clone(&store), config.registry.clone());
        let registry = RUNTIME.with(|runtime| runtime.block_on(registry.with_store_id()));
        let opened = Authenticator::open(auth::Settings::default(), &store);
        let (authenticator, _) = RUNTIME.with(|runtime| runtime.block_on(opened)).unwrap();
        let state = wharf::http::State {
            registry: registry.clone(),
            authenticator,
            access: Access::default(),
            settings: config.http.clone(),
            auditing: Arc::default(),
            healthy: Arc::new(|| true),
            readiness: Readiness::new(
                Arc::clone(&store),
                Room::new(store),
                Health::default(),
                CancellationToken::new(),
            ),
        };
        Self {
            registry,
            router: wharf::http::router(Arc::new(ArcSwap::from_pointee(state))),
            _root: root,
        }
    }

    /// Asks for something; `None` if no client could: the path is no URI, the
    /// method or a header has bytes that none may have. An answer of 5xx is a
    /// finding.
    pub fn ask(
        &self,
        method: &str,
        path: &[u8],
        headers: &[(&str, &[u8])],
        body: &[u8],
    ) -> Option<Answer> {
        let answer = self.ask_anything(method, path, headers, body)?;
        assert!(
            !answer.status.is_server_error(),
            "{method} {}: {answer:?}",
            String::from_utf8_lossy(path)
        );
        Some(answer)
    }

    /// The same, where the volume may be broken: a 5xx may be right, but not
    /// the one of a handler that panicked.
    pub fn ask_anything(
        &self,
        method: &str,
        path: &[u8],
        headers: &[(&str, &[u8])],
        body: &[u8],
    ) -> Option<Answer> {
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        // What is no path would be an authority or an asterisk.
        let uri = Uri::try_from(path)
            .ok()
            .filter(|_| path.first() == Some(&b'/'))?;
        let mut request = Request::new(Body::from(Bytes::copy_from_slice(body)));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_bytes(value).ok()?;
            request.headers_mut().append(name, value);
        }
        let answering = async {
            let answer = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = answer.into_parts();
            let (complete, body) = match body.collect().await {
                Ok(collected) => (true, collected.to_bytes()),
                Err(_) => (false, Bytes::new()),
            };
            Answer {
                status: parts.status,
                headers: parts.headers,
                complete,
                body,
            }
        };
        let answer = RUNTIME.with(|runtime| runtime.block_on(answering));
        assert_ne!(
            answer.status,
            StatusCode::INTERNAL_SERVER_ERROR,
            "{answer:?}"
        );
        Some(answer)
    }
}

impl Site {
    /// What `wharf check` finds wrong, in words.
    pub fn findings(&self) -> Vec<String> {
        let options = check::Options {
            settle: Duration::ZERO,
            ..check::Options::default()
        };
        let checker = Checker::new(self.registry.clone(), options, Arc::new(()));
        let checking = checker.run(Checkpoint::default());
        let report = RUNTIME.with(|runtime| runtime.block_on(checking)).unwrap();
        assert!(report.complete);
        let findings = report.reached.findings.iter();
        findings.map(|finding| format!("{finding:?}")).collect()
    }
}

impl Answer {
    /// A header's value as text; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}
