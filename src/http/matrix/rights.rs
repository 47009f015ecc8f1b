//! Every operation against everybody with a right of their own, however they
//! prove who they are: what is expected stands in one table, what is seen comes
//! from the router.

use super::*;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::access::rules::Rule;
use crate::auth::caller::Grant;
use crate::auth::robots::{Robot, Secret, book};
use crate::auth::tokens;
use crate::oci::{Action, Actions};

/// Who asks; each has one right in `team/app` and none anywhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Shows nothing.
    Anonymous,
    /// Is known, and may nothing.
    Nothing,
    Pull,
    Push,
    Create,
    Delete,
    /// Could do everything until their credential expired.
    Expired,
    /// Could do everything until they were removed.
    Revoked,
    /// May push, as who began the upload.
    Other,
}

const ROLES: [Role; 9] = [
    Role::Anonymous,
    Role::Nothing,
    Role::Pull,
    Role::Push,
    Role::Create,
    Role::Delete,
    Role::Expired,
    Role::Revoked,
    Role::Other,
];

/// What each role is answered, in the order of [`ROLES`]. The upload was begun
/// by [`Role::Push`].
struct Expected {
    method: &'static str,
    path: &'static str,
    statuses: [u16; 9],
}

const fn expected(method: &'static str, path: &'static str, statuses: [u16; 9]) -> Expected {
    Expected {
        method,
        path,
        statuses,
    }
}

const TABLE: [Expected; 21] = [
    //                                anon  none  pull  push  crea  dele  expi  revo  other
    expected("GET", "/v2/", [401, 200, 200, 200, 200, 200, 401, 401, 200]),
    expected(
        "GET",
        "/v2/_catalog",
        [401, 200, 200, 200, 200, 200, 401, 401, 200],
    ),
    expected(
        "GET",
        "/v2/{name}/tags/list",
        [401, 403, 200, 403, 403, 403, 401, 401, 403],
    ),
    expected(
        "GET",
        "/v2/{name}/referrers/{manifest}",
        [401, 403, 200, 403, 403, 403, 401, 401, 403],
    ),
    expected(
        "GET",
        "/v2/{name}/manifests/latest",
        [401, 403, 200, 403, 403, 403, 401, 401, 403],
    ),
    expected(
        "PUT",
        "/v2/{name}/manifests/new",
        [401, 403, 403, 201, 201, 403, 401, 401, 201],
    ),
    expected(
        "DELETE",
        "/v2/{name}/manifests/latest",
        [401, 403, 403, 403, 403, 202, 401, 401, 403],
    ),
    expected(
        "GET",
        "/v2/{name}/blobs/{blob}",
        [401, 403, 200, 403, 403, 403, 401, 401, 403],
    ),
    expected(
        "DELETE",
        "/v2/{name}/blobs/{blob}",
        [401, 403, 403, 403, 403, 202, 401, 401, 403],
    ),
    expected(
        "POST",
        "/v2/{name}/blobs/uploads/",
        [401, 403, 403, 202, 202, 403, 401, 401, 202],
    ),
    expected(
        "POST",
        "/v2/{name}/blobs/uploads/?digest={new}",
        [401, 403, 403, 201, 201, 403, 401, 401, 201],
    ),
    // The source is the repository itself, which they may not pull.
    expected(
        "POST",
        "/v2/{name}/blobs/uploads/?mount={blob}&from=team/app",
        [401, 403, 403, 202, 202, 403, 401, 401, 202],
    ),
    expected(
        "GET",
        "/v2/{name}/blobs/uploads/{upload}",
        [401, 403, 403, 204, 404, 403, 401, 401, 404],
    ),
    expected(
        "PATCH",
        "/v2/{name}/blobs/uploads/{upload}",
        [401, 403, 403, 202, 404, 403, 401, 401, 404],
    ),
    expected(
        "PUT",
        "/v2/{name}/blobs/uploads/{upload}?digest={new}",
        [401, 403, 403, 201, 404, 403, 401, 401, 404],
    ),
    expected(
        "DELETE",
        "/v2/{name}/blobs/uploads/{upload}",
        [401, 403, 403, 204, 404, 403, 401, 401, 404],
    ),
    expected(
        "GET",
        "/v2/_wharf/usage",
        [401, 200, 200, 200, 200, 200, 401, 401, 200],
    ),
    expected(
        "GET",
        "/v2/_wharf/usage?repository={name}",
        [401, 403, 200, 403, 403, 403, 401, 401, 403],
    ),
    // Not there without `auth.tokens`: who is known may learn that.
    expected(
        "GET",
        "/token",
        [401, 404, 404, 404, 404, 404, 401, 401, 404],
    ),
    // A tag that is there, with another manifest.
    expected(
        "PUT",
        "/v2/{name}/manifests/latest",
        [401, 403, 403, 201, 403, 403, 401, 401, 201],
    ),
    expected(
        "PUT",
        "/v2/{name}/manifests/{digest}?tag=latest",
        [401, 403, 403, 201, 403, 403, 401, 401, 201],
    ),
];

/// How a role proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// With a password.
    Basic,
    /// With a token that `/token` gave for a password, for all that the role may.
    Token,
    /// With a robot's secret.
    Robot,
}

const WAYS: [Way; 3] = [Way::Basic, Way::Token, Way::Robot];

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Nothing => "nothing",
            Self::Pull => "puller",
            Self::Push => "pusher",
            Self::Create => "creator",
            Self::Delete => "deleter",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Other => "other",
        }
    }

    fn actions(self) -> Actions {
        match self {
            Self::Anonymous | Self::Nothing => Actions::NONE,
            Self::Pull => Actions::NONE.with(Action::Pull),
            Self::Push | Self::Other => Actions::NONE.with(Action::Push),
            Self::Create => Actions::NONE.with(Action::Create),
            Self::Delete => Actions::NONE.with(Action::Delete),
            Self::Expired | Self::Revoked => Actions::ALL,
        }
    }
}

/// A registry with rules: each role has its right in `team/app`.
struct Site {
    world: World,
    api: Router,
    /// What each role shows.
    shown: Vec<Option<String>>,
}

impl Site {
    async fn new(way: Way) -> Self {
        let world = World::new().await;
        world.write_users(&ROLES);
        let mut api = world.with_rules(way).await;
        let mut shown = vec![None];
        for role in ROLES.into_iter().skip(1) {
            shown.push(Some(match way {
                Way::Basic => basic(role.name(), "right"),
                Way::Token => token(&api, role).await,
                Way::Robot => basic(role.name(), &world.robot(role).await),
            }));
        }
        world.write_users(&ROLES.map(|role| match role {
            Role::Revoked => Role::Anonymous,
            role => role,
        }));
        // Replicas that start now know who was removed at once.
        api = world.with_rules(way).await;
        let mut site = Self { world, api, shown };
        let begun = site.ask("POST", "/v2/team/app/blobs/uploads/", Role::Push, b"");
        let begun = begun.await;
        assert_eq!(begun.status(), 202, "{way:?}");
        let location = begun.headers()["location"].to_str().unwrap();
        let id = location.rsplit('/').next().unwrap();
        site.world.upload = id.split('?').next().unwrap().to_owned();
        site
    }

    async fn ask(&self, method: &str, path: &str, role: Role, body: &[u8]) -> Response {
        let number = ROLES.iter().position(|one| *one == role).unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if let Some(shown) = &self.shown[number] {
            request = request.header("authorization", shown);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        self.api.clone().oneshot(request).await.unwrap()
    }
}

impl World {
    /// The same hash each time: another would be another password.
    fn write_users(&self, roles: &[Role]) {
        static HASH: LazyLock<String> = LazyLock::new(|| bcrypt::hash("right", 4).unwrap());
        let hash = &*HASH;
        let lines = roles.iter().map(|role| format!("{}:{hash}\n", role.name()));
        let lines: String = lines.collect();
        std::fs::write(self.directory.path().join("users"), lines).unwrap();
    }

    async fn with_rules(&self, way: Way) -> Router {
        let rules = ROLES.iter().map(|role| Rule {
            place: format!("rule of {}", role.name()),
            line: String::new(),
            repositories: vec!["team/app".parse().unwrap()],
            subjects: vec![format!("user:{}", role.name()).parse().unwrap()],
            actions: role.actions(),
        });
        let access = access::Settings {
            rules: Some(rules.collect()),
            ..access::Settings::default()
        };
        let settings = registry::Settings {
            delete: true,
            ..registry::Settings::default()
        };
        let tokens = (way == Way::Token).then(|| tokens::Settings {
            realm: Some("https://registry.example/token".to_owned()),
            ..tokens::Settings::default()
        });
        self.api_with(settings, Access::new(access), tokens).await
    }

    /// Makes a robot with the role's right; its secret.
    async fn robot(&self, role: Role) -> String {
        let store = open(self.directory.path());
        let secret = Secret::random().unwrap();
        let grants = [("team/app", role.actions()), ("team/nil", Actions::NONE)];
        let grants = grants.map(|(name, actions)| Grant {
            repositories: name.parse().unwrap(),
            actions,
        });
        let (made, life) = match role {
            Role::Expired => (UNIX_EPOCH, Some(Duration::from_secs(60))),
            _ => (SystemTime::now(), None),
        };
        let grants = grants.into_iter().filter(|grant| !grant.actions.is_empty());
        let robot = Robot::new(&secret, grants.collect(), made, life).unwrap();
        let name = role.name().parse().unwrap();
        book::create(&store, &name, &robot).await.unwrap();
        if role == Role::Revoked {
            assert!(book::revoke(&store, &name).await.unwrap());
        }
        secret.reveal().to_owned()
    }
}

fn basic(name: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!("Basic {pair}")
}

/// A token for everything, cut down to what the role may.
async fn token(api: &Router, role: Role) -> String {
    let all = "pull,push,delete";
    let path = format!(
        "/token?service=wharf&scope=repository:team/app:{all}&scope=repository:other/app:{all}&scope=registry:catalog:*"
    );
    let answer = ask(
        api,
        "GET",
        path,
        Some(&format!("{}:right", role.name())),
        b"",
    )
    .await;
    assert_eq!(answer.status(), 200, "{role:?}");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    format!("Bearer {}", body["token"].as_str().unwrap())
}

/// Whether there is such a case: a password doesn't expire, and a token doesn't
/// within a test (its clock is moved in the tests of tokens). What `/token` says
/// to a token is tested there, too.
fn exists(way: Way, role: Role, path: &str) -> bool {
    match way {
        Way::Basic => role != Role::Expired,
        Way::Token => role != Role::Expired && path != "/token",
        Way::Robot => true,
    }
}

#[test]
fn every_operation_is_in_the_table() {
    for (row, expected) in ROWS.iter().zip(&TABLE) {
        assert_eq!((row.method, row.path), (expected.method, expected.path));
    }
    assert!(TABLE.len() > ROWS.len());
}

#[tokio::test]
async fn each_right_gives_what_it_says_and_nothing_else() {
    let other = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(BLOB).to_string(),
            "size": BLOB.len(),
        },
        "layers": [],
        "annotations": {"another": "manifest"},
    }))
    .unwrap();
    for way in WAYS {
        for expected in &TABLE {
            for (role, status) in ROLES.into_iter().zip(expected.statuses) {
                if !exists(way, role, expected.path) {
                    continue;
                }
                let site = Site::new(way).await;
                let row = row(expected.method, expected.path, [0; 4]);
                let path = site.world.path(&row, "team/app");
                let path = path.replace("{digest}", &digest(&other).to_string());
                let moves = expected.path.ends_with("latest") && expected.method == "PUT";
                let body = if moves { other.clone() } else { body(&row) };
                let answer = site.ask(row.method, &path, role, &body).await;
                let what = format!("{} {} by {role:?} with {way:?}", row.method, row.path);
                assert_eq!(answer.status().as_u16(), status, "{what}");
                match status {
                    401 => {
                        assert!(answer.headers().contains_key("www-authenticate"), "{what}");
                        assert_eq!(code(answer).await, "UNAUTHORIZED", "{what}");
                    }
                    403 => assert_eq!(code(answer).await, "DENIED", "{what}"),
                    _ => {}
                }
            }
        }
    }
}

#[tokio::test]
async fn a_right_in_one_repository_is_none_in_another() {
    for way in WAYS {
        nothing_elsewhere(way, &Site::new(way).await).await;
    }
}

async fn nothing_elsewhere(way: Way, site: &Site) {
    let within = TABLE
        .iter()
        .filter(|expected| expected.path.contains("{name}"));
    for expected in within {
        for (role, status) in ROLES.into_iter().zip(expected.statuses) {
            let row = row(expected.method, expected.path, [0; 4]);
            let path = site.world.path(&row, "other/app");
            let path = path.replace("{digest}", &digest(b"").to_string());
            if exists(way, role, expected.path) {
                let answer = site.ask(row.method, &path, role, &body(&row)).await;
                let refused = if status == 401 { 401 } else { 403 };
                let what = format!("{} {path} by {role:?} with {way:?}", row.method);
                assert_eq!(answer.status().as_u16(), refused, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn what_may_not_be_pulled_is_in_no_list_and_looks_like_nothing() {
    for way in WAYS {
        hidden(&Site::new(way).await).await;
    }
}

async fn hidden(site: &Site) {
    for role in [Role::Nothing, Role::Push, Role::Create, Role::Delete] {
        let answer = site.ask("GET", "/v2/_catalog", role, b"").await;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, &b"{\"repositories\":[]}"[..], "{role:?}");
        let mut answers = Vec::new();
        for name in ["team/app", "team/nil"] {
            let path = format!("/v2/{name}/manifests/latest");
            let answer = site.ask("GET", &path, role, b"").await;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec())
                .unwrap()
                .replace(name, "NAME");
            answers.push((head.status, head.headers, body));
        }
        assert_eq!(answers[0], answers[1], "{role:?}");
    }
    let answer = site.ask("GET", "/v2/_catalog", Role::Pull, b"").await;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, &b"{\"repositories\":[\"team/app\"]}"[..]);
}
