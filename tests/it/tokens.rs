//! wharf's own tokens, as a client gets and shows them.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Registry, eventually};
use crate::wire::PATIENCE;

const RULES: &str = "
access:
  rules:
    - {repositories: ['public/**'], subjects: [anonymous, authenticated], actions: [pull]}
    - {repositories: ['team/**'], subjects: [alice], actions: [pull, push, delete]}
    - {repositories: ['team/**'], subjects: [bob], actions: [pull]}
";

fn users(names: &[&str]) -> String {
    let hash = |name: &&str| {
        format!(
            "{name}:{}\n",
            bcrypt::hash(format!("{name}-pw"), 4).unwrap()
        )
    };
    names.iter().map(hash).collect()
}

fn serving(dir: &Path, data: &Path) -> Registry {
    let file = dir.join("users");
    if !file.exists() {
        fs::write(&file, users(&["alice", "bob"])).unwrap();
    }
    let file = file.display();
    let auth = format!("auth: {{htpasswd: {{realm: r, path: {file}}}, tokens: {{enabled: true}}}}");
    Registry::with()
        .data(data)
        .section(&format!("{auth}{RULES}"))
        .start()
}

/// Asks for a token; `None` where there is none to be had.
fn token(server: &Registry, user: Option<&str>, scope: &str) -> Option<String> {
    let query = format!(
        "/token?service=wharf&scope={}",
        scope.replace(' ', "&scope=")
    );
    let mut request = server.request("GET", &query);
    if let Some(user) = user {
        request = request.basic_auth(user, Some(format!("{user}-pw")));
    }
    let answer = request.send().unwrap();
    if answer.status() != 200 {
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"r\"");
        return None;
    }
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body: Value = serde_json::from_slice(&answer.bytes().unwrap()).unwrap();
    assert_eq!(body["token"], body["access_token"]);
    assert_eq!(body["expires_in"], 300);
    Some(body["token"].as_str().unwrap().to_owned())
}

fn ask(server: &Registry, method: &str, path: &str, token: &str) -> (u16, String) {
    let answer = server
        .request(method, path)
        .bearer_auth(token)
        .send()
        .unwrap();
    let challenge = answer.headers().get("www-authenticate");
    let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), challenge.unwrap_or_default())
}

const UPLOADS: &str = "/v2/team/app/blobs/uploads/";
const TAGS: &str = "/v2/team/app/tags/list";

#[test]
fn a_challenge_leads_to_a_token_that_does_what_was_asked() {
    let dir = TempDir::new().unwrap();
    let server = serving(dir.path(), &dir.path().join("data"));
    let answer = server.request("POST", UPLOADS).send().unwrap();
    assert_eq!(answer.status(), 401);
    let realm = format!("Bearer realm=\"{}/token\",service=\"wharf\"", server.url());
    assert_eq!(
        answer.headers()["www-authenticate"],
        format!("{realm},scope=\"repository:team/app:pull,push\"")
    );
    let alice = token(&server, Some("alice"), "repository:team/app:pull,push").unwrap();
    assert_eq!(ask(&server, "POST", UPLOADS, &alice).0, 202);
    assert_eq!(ask(&server, "GET", "/v2/", &alice).0, 200);

    // A narrow one is told what it lacks; bob's wide one is cut down.
    let narrow = token(&server, Some("alice"), "repository:team/app:pull").unwrap();
    let (status, challenge) = ask(&server, "POST", UPLOADS, &narrow);
    assert_eq!(status, 401);
    assert!(
        challenge.ends_with(",error=\"insufficient_scope\""),
        "{challenge}"
    );
    let bob = token(&server, Some("bob"), "repository:team/app:*").unwrap();
    assert_eq!(ask(&server, "POST", UPLOADS, &bob).0, 403);
    assert_eq!(ask(&server, "GET", TAGS, &bob).0, 404);
    // Nor is a token good for another repository, or for a name like it.
    for name in ["team/ap", "team/app2", "team/app/x"] {
        let path = format!("/v2/{name}/blobs/uploads/");
        assert_eq!(ask(&server, "POST", &path, &alice).0, 401, "{name}");
    }
    // Several scopes, and lists.
    let both = "repository:team/app:pull repository:team/b:pull,push registry:catalog:* x:y:z";
    let both = token(&server, Some("alice"), both).unwrap();
    assert_eq!(ask(&server, "GET", "/v2/_catalog", &both).0, 200);
    assert_eq!(ask(&server, "GET", "/v2/_catalog", &narrow).0, 401);
    assert_eq!(
        ask(&server, "POST", "/v2/team/b/blobs/uploads/", &both).0,
        202
    );
    // A token makes no other token, and a forged one is an invalid one.
    assert_eq!(ask(&server, "GET", "/token", &alice).0, 401);
    let (status, challenge) = ask(&server, "GET", TAGS, &alice[..alice.len() - 4]);
    assert_eq!(status, 401);
    assert!(
        challenge.ends_with(",error=\"invalid_token\""),
        "{challenge}"
    );
    // Basic counts as ever.
    let basic = server
        .request("POST", UPLOADS)
        .basic_auth("alice", Some("alice-pw"));
    assert_eq!(basic.send().unwrap().status(), 202);
}

#[test]
fn nobody_gets_a_token_for_what_anonymous_may() {
    let dir = TempDir::new().unwrap();
    let server = serving(dir.path(), &dir.path().join("data"));
    let scope = "repository:public/app:pull,push repository:team/app:pull";
    let nobody = token(&server, None, scope).unwrap();
    assert_eq!(
        ask(&server, "GET", "/v2/public/app/tags/list", &nobody).0,
        404
    );
    assert_eq!(
        ask(&server, "POST", "/v2/public/app/blobs/uploads/", &nobody).0,
        401
    );
    assert_eq!(ask(&server, "GET", TAGS, &nobody).0, 401);
    let wrong = server
        .request("GET", "/token")
        .basic_auth("alice", Some("wrong"));
    assert_eq!(wrong.send().unwrap().status(), 401);
}

#[test]
fn a_form_gets_a_token_and_no_refresh_token() {
    let dir = TempDir::new().unwrap();
    let server = serving(dir.path(), &dir.path().join("data"));
    let post = |form: &str| {
        let request = server.request("POST", "/token");
        let answer = request.body(form.to_owned()).send().unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_slice(&answer.bytes().unwrap()).unwrap();
        (status, body)
    };
    let login = "grant_type=password&service=wharf&client_id=x&username=alice";
    let scope = "scope=repository%3Ateam%2Fapp%3Apull%2Cpush";
    let (status, body) = post(&format!("{login}&password=alice-pw&{scope}"));
    assert_eq!(status, 200, "{body}");
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(ask(&server, "POST", UPLOADS, token).0, 202);
    assert!(body.get("refresh_token").is_none());
    assert_eq!(post(&format!("{login}&password=wrong&{scope}")).0, 401);
    let (status, body) = post("grant_type=refresh_token&refresh_token=x");
    assert_eq!(
        (status, &body["error"]),
        (400, &"unsupported_grant_type".into())
    );
    let (status, body) = post("username=alice&password=alice-pw");
    assert_eq!((status, &body["error"]), (400, &"invalid_request".into()));
    let many = "&scope=repository:a:pull".repeat(33);
    assert_eq!(post(&format!("{login}&password=alice-pw{many}")).0, 400);
}

#[test]
fn replicas_share_keys_and_who_is_removed_is_out_within_two_seconds() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let (one, two) = (serving(dir.path(), &data), serving(dir.path(), &data));
    let alice = token(&one, Some("alice"), "repository:team/app:pull").unwrap();
    let bob = token(&two, Some("bob"), "repository:team/app:pull").unwrap();
    for server in [&one, &two] {
        assert_eq!(ask(server, "GET", TAGS, &alice).0, 404);
        assert_eq!(ask(server, "GET", TAGS, &bob).0, 404);
    }
    fs::write(dir.path().join("users"), users(&["bob"])).unwrap();
    let removed = std::time::Instant::now();
    for server in [&one, &two] {
        eventually("alice is out", PATIENCE, || {
            (ask(server, "GET", TAGS, &alice).0 == 401).then_some(())
        });
    }
    assert!(removed.elapsed() < std::time::Duration::from_millis(2500));
    // bob's password has another hash now: his token was made with the old one.
    assert_eq!(ask(&one, "GET", TAGS, &bob).0, 401);
}
