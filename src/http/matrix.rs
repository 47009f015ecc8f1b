//! Every operation of the API against everybody who asks for it: nobody, a
//! wrong password, the right one, another repository, a registry without
//! deletes, a read-only one. A new operation doesn't compile without its row.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

mod rights;

use super::operation::{Operation, Resource, Start};
use super::{Limits, Settings, State, router};
use crate::access::{self, Access};
use crate::auth::{self, Authenticator, htpasswd};
use crate::observe::health::Health;
use crate::observe::readiness::Readiness;
use crate::oci::{Algorithm, Digest};
use crate::registry::{self, Registry};
use crate::storage::files::{self, Files};
use crate::storage::{Room, Store};

/// What an operation answers who may do it.
struct Row {
    method: &'static str,
    /// `{name}` is the repository, `{blob}` and `{manifest}` are digests in it,
    /// `{new}` one of content that is pushed, `{upload}` a session.
    path: &'static str,
    /// In the repository that has it all.
    status: u16,
    /// The same in a repository that has nothing of it.
    elsewhere: u16,
    /// With `storage.delete.enabled: false`.
    without_deletes: u16,
    /// With `storage.maintenance.readonly`.
    read_only: u16,
}

const fn row(method: &'static str, path: &'static str, statuses: [u16; 4]) -> Row {
    let [status, elsewhere, without_deletes, read_only] = statuses;
    Row {
        method,
        path,
        status,
        elsewhere,
        without_deletes,
        read_only,
    }
}

const ROWS: [Row; 19] = [
    row("GET", "/v2/", [200, 200, 200, 200]),
    row("GET", "/v2/_catalog", [200, 200, 200, 200]),
    row("GET", "/v2/{name}/tags/list", [200, 404, 200, 200]),
    // Whatever does not exist has no referrers.
    row(
        "GET",
        "/v2/{name}/referrers/{manifest}",
        [200, 200, 200, 200],
    ),
    row("GET", "/v2/{name}/manifests/latest", [200, 404, 200, 200]),
    // Elsewhere its parts are missing.
    row("PUT", "/v2/{name}/manifests/new", [201, 400, 201, 405]),
    row(
        "DELETE",
        "/v2/{name}/manifests/latest",
        [202, 404, 405, 405],
    ),
    row("GET", "/v2/{name}/blobs/{blob}", [200, 404, 200, 200]),
    row("DELETE", "/v2/{name}/blobs/{blob}", [202, 404, 405, 405]),
    row("POST", "/v2/{name}/blobs/uploads/", [202, 202, 202, 405]),
    row(
        "POST",
        "/v2/{name}/blobs/uploads/?digest={new}",
        [201, 201, 201, 405],
    ),
    row(
        "POST",
        "/v2/{name}/blobs/uploads/?mount={blob}&from=team/app",
        [201, 201, 201, 405],
    ),
    row(
        "GET",
        "/v2/{name}/blobs/uploads/{upload}",
        [204, 404, 204, 204],
    ),
    row(
        "PATCH",
        "/v2/{name}/blobs/uploads/{upload}",
        [202, 404, 202, 405],
    ),
    row(
        "PUT",
        "/v2/{name}/blobs/uploads/{upload}?digest={new}",
        [201, 404, 201, 405],
    ),
    row(
        "DELETE",
        "/v2/{name}/blobs/uploads/{upload}",
        [204, 404, 204, 405],
    ),
    row("GET", "/v2/_wharf/usage", [200, 200, 200, 200]),
    row(
        "GET",
        "/v2/_wharf/usage?repository={name}",
        [200, 404, 200, 200],
    ),
    // Without `auth.tokens` there is no such path.
    row("GET", "/token", [404, 404, 404, 404]),
];

/// Which row an operation has. Whoever adds one has to say it here.
fn place(operation: &Operation) -> usize {
    match operation {
        Operation::Base => 0,
        Operation::Token => 18,
        Operation::Catalog { .. } => 1,
        Operation::Usage { repository, .. } => 16 + usize::from(repository.is_some()),
        Operation::In(_, resource) => match resource {
            Resource::Tags { .. } => 2,
            Resource::Referrers { .. } => 3,
            Resource::GetManifest(_) => 4,
            Resource::PutManifest { .. } => 5,
            Resource::DeleteManifest(_) => 6,
            Resource::GetBlob(_) => 7,
            Resource::DeleteBlob(_) => 8,
            Resource::StartUpload(Start::Session(_)) => 9,
            Resource::StartUpload(Start::Whole(_)) => 10,
            Resource::StartUpload(Start::Mount { .. }) => 11,
            Resource::UploadStatus(_) => 12,
            Resource::Append(_) => 13,
            Resource::Finish(..) => 14,
            Resource::CancelUpload(_) => 15,
        },
    }
}

const BLOB: &[u8] = b"{}";
const NEW: &[u8] = b"content that is pushed";
const RIGHT: &str = "alice:right";

/// A registry with one repository, `team/app`, that has something of everything.
struct World {
    directory: TempDir,
    upload: String,
}

impl World {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let hash = bcrypt::hash("right", 4).unwrap();
        std::fs::write(directory.path().join("users"), format!("alice:{hash}\n")).unwrap();
        let mut world = Self {
            directory,
            upload: String::new(),
        };
        let api = world.api(registry::Settings::default()).await;
        let push =
            |method, path: String, body: &'static [u8]| ask(&api, method, path, Some(RIGHT), body);
        let whole = format!("/v2/team/app/blobs/uploads/?digest={}", digest(BLOB));
        assert_eq!(push("POST", whole, BLOB).await.status(), 201);
        let latest = "/v2/team/app/manifests/latest".to_owned();
        let put = ask(&api, "PUT", latest, Some(RIGHT), &manifest()).await;
        assert_eq!(put.status(), 201);
        let begun = push("POST", "/v2/team/app/blobs/uploads/".to_owned(), b"").await;
        let location = begun.headers()["location"].to_str().unwrap();
        let id = location.rsplit('/').next().unwrap();
        world.upload = id.split('?').next().unwrap().to_owned();
        world
    }

    /// The API over what is stored, for everybody who is known.
    async fn api(&self, settings: registry::Settings) -> Router {
        self.api_with(settings, Access::default(), None).await
    }

    /// The API over what is stored, by rules, perhaps with tokens.
    async fn api_with(
        &self,
        settings: registry::Settings,
        access: Access,
        tokens: Option<auth::tokens::Settings>,
    ) -> Router {
        let store: Arc<dyn Store> = Arc::new(open(self.directory.path()));
        let users = htpasswd::Settings {
            realm: "matrix".to_owned(),
            path: self.directory.path().join("users"),
            queue: htpasswd::Settings::QUEUE,
            backoff: auth::backoff::Limits::NONE,
        };
        let logins = auth::Settings {
            htpasswd: Some(users),
            tokens,
            ..auth::Settings::default()
        };
        let opened = Authenticator::open(logins, &store).await;
        let (authenticator, _) = opened.unwrap();
        let room = Room::new(Arc::clone(&store));
        let leaving = CancellationToken::new();
        router(Arc::new(ArcSwap::from_pointee(State {
            readiness: Readiness::new(Arc::clone(&store), room, Health::default(), leaving),
            registry: Registry::new(store, settings),
            authenticator,
            access,
            settings: Settings::default(),
            auditing: Arc::default(),
            healthy: Arc::new(|| true),
        })))
    }

    /// A row's path in a repository.
    fn path(&self, row: &Row, name: &str) -> String {
        row.path
            .replace("{name}", name)
            .replace("{blob}", &digest(BLOB).to_string())
            .replace("{manifest}", &digest(&manifest()).to_string())
            .replace("{new}", &digest(NEW).to_string())
            .replace("{upload}", &self.upload)
    }
}

fn open(root: &Path) -> Files {
    Files::open(&files::Settings {
        root: root.join("data"),
        max_threads: 25,
        sync: files::SyncMode::Full,
    })
    .unwrap()
}

fn digest(content: &[u8]) -> Digest {
    Algorithm::Sha256.digest(content)
}

fn manifest() -> Vec<u8> {
    let config = serde_json::json!({
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest(BLOB).to_string(),
        "size": BLOB.len(),
    });
    serde_json::json!({"schemaVersion": 2, "config": config, "layers": []})
        .to_string()
        .into_bytes()
}

/// The body that a row is sent with.
fn body(row: &Row) -> Vec<u8> {
    match (
        row.method,
        row.path.contains("manifests"),
        row.path.contains("{new}"),
    ) {
        ("PUT", true, _) => manifest(),
        (_, _, true) => NEW.to_vec(),
        _ => Vec::new(),
    }
}

async fn ask(
    api: &Router,
    method: &str,
    path: String,
    login: Option<&str>,
    body: &[u8],
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(login) = login {
        let pair = base64::engine::general_purpose::STANDARD.encode(login);
        request = request.header("authorization", format!("Basic {pair}"));
    }
    let request = request.body(Body::from(body.to_vec())).unwrap();
    api.clone().oneshot(request).await.unwrap()
}

/// The code of an errors document.
async fn code(answer: Response) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let errors: serde_json::Value = serde_json::from_slice(&body).unwrap();
    errors["errors"][0]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_operation_has_its_row() {
    let world = World::new().await;
    for (index, row) in ROWS.iter().enumerate() {
        let uri: Uri = world.path(row, "team/app").parse().unwrap();
        let method: Method = row.method.parse().unwrap();
        let query = uri.query().unwrap_or_default();
        let operation = Operation::parse(&method, uri.path(), query, &Limits::default());
        let operation = operation.map_err(|_| row.path).unwrap();
        assert_eq!(place(&operation), index, "{} {}", row.method, row.path);
    }
}

#[tokio::test]
async fn who_may_gets_what_the_table_says() {
    let ours = "team/app";
    for row in &ROWS {
        let normal = registry::Settings {
            delete: true,
            ..registry::Settings::default()
        };
        let without_deletes = registry::Settings::default();
        let read_only = registry::Settings {
            read_only: true,
            ..normal.clone()
        };
        for (how, settings, name, expected) in [
            ("by who may", normal.clone(), ours, row.status),
            ("elsewhere", normal.clone(), "other/app", row.elsewhere),
            (
                "without deletes",
                without_deletes,
                ours,
                row.without_deletes,
            ),
            ("read-only", read_only, ours, row.read_only),
        ] {
            let world = World::new().await;
            let path = world.path(row, name);
            let api = world.api(settings).await;
            let answer = ask(&api, row.method, path, Some(RIGHT), &body(row)).await;
            let what = format!("{} {} {how}", row.method, row.path);
            assert_eq!(answer.status().as_u16(), expected, "{what}");
            if expected == 405 {
                assert!(answer.headers().contains_key("allow"), "{what}");
                assert_eq!(code(answer).await, "UNSUPPORTED", "{what}");
            }
        }
    }
}

#[tokio::test]
async fn who_may_not_gets_one_answer_to_everything() {
    let world = World::new().await;
    let api = world
        .api(registry::Settings {
            delete: true,
            ..registry::Settings::default()
        })
        .await;
    for row in &ROWS {
        for name in ["team/app", "other/app"] {
            let path = world.path(row, name);
            for login in [
                None,
                Some("alice:wrong"),
                Some("bob:right"),
                Some("alice:"),
                Some(""),
            ] {
                for method in [row.method, "HEAD", "OPTIONS", "BREW"] {
                    let answer = ask(&api, method, path.clone(), login, &body(row)).await;
                    let what = format!("{method} {path} as {login:?}");
                    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
                    assert!(answer.headers().contains_key("www-authenticate"), "{what}");
                    assert!(!answer.headers().contains_key("location"), "{what}");
                    assert!(
                        !answer.headers().contains_key("docker-content-digest"),
                        "{what}"
                    );
                    if method != "HEAD" {
                        assert_eq!(code(answer).await, "UNAUTHORIZED", "{what}");
                    }
                }
            }
        }
    }
    // Nothing of it happened.
    let path = "/v2/team/app/manifests/latest".to_owned();
    assert_eq!(ask(&api, "GET", path, Some(RIGHT), b"").await.status(), 200);
    let path = "/v2/team/app/manifests/new".to_owned();
    assert_eq!(ask(&api, "GET", path, Some(RIGHT), b"").await.status(), 404);
}

#[tokio::test]
async fn no_spelling_of_a_path_is_a_way_around_the_login() {
    let world = World::new().await;
    let api = world.api(registry::Settings::default()).await;
    for row in &ROWS {
        let path = world.path(row, "team/app");
        let spellings = [
            path.replacen("/v2/", "//v2/", 1),
            path.replacen("/v2/", "/v2//", 1),
            path.replacen("/v2/", "/v2/./", 1),
            path.replacen("/v2/", "/v2/x/../", 1),
            path.replacen("/v2/", "/x/../v2/", 1),
            path.replacen("/v2/", "/%2e%2e/v2/", 1),
            path.replacen("/v2/", "/v2%2f", 1),
            path.replacen("/v2/", "/%76%32/", 1),
            path.replacen("/v2/", "/v2;x/", 1),
            path.replacen("/v2/", "/readyz/../v2/", 1),
            path.replacen("/v2/", "/livez/..%2fv2/", 1),
            path.replacen("/v2/", "/v2%00/", 1),
            path.replacen("team/app", "team%2fapp", 1),
            path.replacen("team/app", "TEAM/APP", 1),
            path.replacen("team/app", "team//app", 1),
            path.to_uppercase(),
            format!("{path}/"),
            format!("{path}%2f"),
            format!("{path}%20"),
            format!("{path}.json"),
        ];
        for spelling in spellings {
            for login in [None, Some("alice:wrong")] {
                for method in [row.method, "GET", "HEAD"] {
                    let answer = ask(&api, method, spelling.clone(), login, &body(row)).await;
                    let status = answer.status().as_u16();
                    assert!(
                        matches!(status, 400 | 401 | 404),
                        "{method} {spelling}: {status}"
                    );
                    assert!(!answer.headers().contains_key("location"), "{spelling}");
                }
            }
        }
    }
}
