//! The whole of authentication, through [`Authenticator`]: logins, changes of
//! the file, and how many hashes they cost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use http::HeaderValue;
use tempfile::TempDir;

use super::edit;
use super::hash::{Hash, NewHash};
use super::{Notice, Settings};
use crate::auth::backoff;
use crate::auth::caller::{Caller, Identity};
use crate::auth::password::Password;
use crate::auth::{self, AuthError, Authenticator, Shown, Unidentified};
use crate::storage::{Store, files};

/// `gordon`, by Apache's `htpasswd -nbB -C 4`.
const GORDON: &str = "$2y$04$knGItLJl1vrpsdewkeI3i.hEmAo9ZeRaFNoZEHBb/GpS.xhHRXV8S";

struct Users {
    _root: TempDir,
    path: PathBuf,
    auth: Authenticator,
    notices: Vec<Notice>,
}

fn store(root: &Path) -> Arc<dyn Store> {
    let settings = files::Settings {
        root: root.join("data"),
        max_threads: 4,
        sync: files::SyncMode::None,
    };
    Arc::new(files::Files::open(&settings).unwrap())
}

impl Users {
    async fn open(content: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("htpasswd");
        fs::write(&path, content).unwrap();
        Self::open_in(root, path).await
    }

    async fn open_in(root: TempDir, path: PathBuf) -> Self {
        let settings = auth::Settings {
            htpasswd: Some(Settings {
                realm: "Registry Realm".to_owned(),
                path: path.clone(),
                queue: Settings::QUEUE,
                backoff: backoff::Limits::default(),
            }),
        };
        let (auth, notices) = Authenticator::open(settings, &store(root.path()))
            .await
            .unwrap();
        Self {
            _root: root,
            path,
            auth,
            notices,
        }
    }

    async fn login(&self, user: &str, password: &str) -> Result<Identity, Unidentified> {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let header = HeaderValue::from_str(&value).unwrap();
        let shown = Shown {
            authorization: Some(&header),
            address: None,
        };
        let caller = self.auth.identify(shown).await?;
        Ok(caller.identity)
    }
}

fn user(name: &str) -> Result<Identity, Unidentified> {
    Ok(Identity::User(name.parse().unwrap()))
}

fn bcrypt(password: &str) -> Hash {
    let password = Password::new(password.to_owned()).unwrap();
    Hash::make(NewHash::Bcrypt(4), &password).unwrap()
}

#[tokio::test]
async fn open_takes_everybody_for_anonymous() {
    let root = tempfile::tempdir().unwrap();
    let opened = Authenticator::open(auth::Settings::default(), &store(root.path())).await;
    let (auth, notices) = opened.unwrap();
    assert!(notices.is_empty());
    assert!(auth.challenges(&[]).is_empty());
    let rubbish = HeaderValue::from_static("Basic !!");
    for authorization in [None, Some(&rubbish)] {
        let caller = auth
            .identify(Shown {
                authorization,
                address: None,
            })
            .await;
        assert_eq!(caller, Ok(Caller::anonymous()));
    }
}

#[tokio::test]
async fn the_trainings_user_logs_in() {
    let users = Users::open(&format!("moby:{GORDON}\n\n")).await;
    assert!(users.notices.is_empty());
    assert_eq!(
        users.auth.challenges(&[]).pop().unwrap(),
        "Basic realm=\"Registry Realm\""
    );
    assert_eq!(
        users.auth.identify(Shown::default()).await,
        Err(Unidentified::Missing)
    );
    assert_eq!(users.login("moby", "gordon").await, user("moby"));
    let wrong = Err(Unidentified::Wrong);
    assert_eq!(users.login("moby", "gordo").await, wrong);
    assert_eq!(users.login("MOBY", "gordon").await, wrong);
    assert_eq!(users.login("nobody", "gordon").await, wrong);
    assert_eq!(users.login("#moby", "gordon").await, wrong);
}

#[tokio::test]
async fn refused_hashes_never_match() {
    let users = Users::open(&format!(
        "henry:x\nfrank:{}\nbob:$apr1$.I5CiQVV$BMFBSmRHRnVdsouAonuIs1\n",
        GORDON.replace("$04$", "$31$")
    ))
    .await;
    assert_eq!(users.notices.len(), 4);
    for (name, password) in [("henry", "x"), ("frank", "gordon"), ("bob", "gordon")] {
        let login = users.login(name, password).await;
        assert_eq!(login, Err(Unidentified::Wrong), "{name}");
    }
}

#[tokio::test]
async fn a_right_password_costs_one_hash_and_a_wrong_one_each_time() {
    let users = Users::open(&format!("moby:{GORDON}\n")).await;
    for _ in 0..5 {
        assert_eq!(users.login("moby", "gordon").await, user("moby"));
    }
    assert_eq!(users.auth.hashes(), 1);
    for _ in 0..3 {
        assert!(users.login("moby", "wrong").await.is_err());
    }
    assert_eq!(users.auth.hashes(), 4);
    assert_eq!(users.login("moby", "gordon").await, user("moby"));
    assert_eq!(users.auth.hashes(), 4);
}

#[tokio::test]
async fn ten_connections_at_once_cost_one_hash() {
    let users = Users::open(&format!("moby:{GORDON}\n")).await;
    let logins = join_all((0..10).map(|_| users.login("moby", "gordon"))).await;
    assert!(logins.iter().all(Result::is_ok));
    assert_eq!(users.auth.hashes(), 1);
}

#[tokio::test]
async fn an_unknown_user_costs_the_hash_of_a_wrong_password() {
    let users = Users::open(&format!("moby:{GORDON}\n")).await;
    assert!(users.login("moby", "wrong").await.is_err());
    assert_eq!(users.auth.hashes(), 1);
    assert!(users.login("nobody", "wrong").await.is_err());
    assert_eq!(users.auth.hashes(), 2);
    let long = "x".repeat(100);
    assert!(users.login("moby", &long).await.is_err());
    assert!(users.login("nobody", &long).await.is_err());
    assert_eq!(users.auth.hashes(), 4);
    let too_long = "x".repeat(1025);
    assert!(users.login("moby", &too_long).await.is_err());
    assert!(users.login("nobody", &too_long).await.is_err());
    assert_eq!(users.auth.hashes(), 4);
}

#[tokio::test]
async fn who_is_added_can_log_in_at_once() {
    let users = Users::open(&format!("moby:{GORDON}\n")).await;
    assert!(users.login("bob", "secret").await.is_err());
    edit::add(&users.path, &"bob".parse().unwrap(), &bcrypt("secret")).unwrap();
    assert_eq!(users.login("bob", "secret").await, user("bob"));
}

#[tokio::test]
async fn a_change_forgets_what_was_remembered() {
    let users = Users::open(&format!("moby:{GORDON}\n")).await;
    assert_eq!(users.login("moby", "gordon").await, user("moby"));
    edit::passwd(&users.path, &"moby".parse().unwrap(), &bcrypt("other")).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(users.login("moby", "gordon").await.is_err());
    assert_eq!(users.login("moby", "other").await, user("moby"));
    edit::remove(&users.path, &"moby".parse().unwrap()).unwrap();
    users.auth.reload().await.unwrap();
    assert!(users.login("moby", "other").await.is_err());
}

#[tokio::test]
async fn a_change_that_leaves_size_and_time_is_seen() {
    let users = Users::open(&format!("moby:{GORDON}\n")).await;
    let before = fs::metadata(&users.path).unwrap().modified().unwrap();
    assert_eq!(users.login("moby", "gordon").await, user("moby"));
    // In place, as editors without a rename do it.
    fs::write(&users.path, format!("mobx:{GORDON}\n")).unwrap();
    fs::File::options()
        .write(true)
        .open(&users.path)
        .and_then(|file| file.set_modified(before))
        .unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(users.login("moby", "gordon").await.is_err());
    assert_eq!(users.login("mobx", "gordon").await, user("mobx"));
}

#[tokio::test]
async fn a_broken_file_leaves_the_last_good_users() {
    let users = Users::open(&format!("moby:{GORDON}\n")).await;
    fs::write(&users.path, "<html>not found</html>\n").unwrap();
    assert!(matches!(
        users.auth.reload().await,
        Err(AuthError::Broken(_))
    ));
    assert_eq!(users.login("moby", "gordon").await, user("moby"));
    fs::remove_file(&users.path).unwrap();
    let error = users.auth.reload().await.unwrap_err();
    assert!(matches!(error, AuthError::Unreadable { .. }));
    assert_eq!(users.login("moby", "gordon").await, user("moby"));
    assert!(!users.path.exists());
    // An empty file is no mistake: everybody is gone.
    fs::write(&users.path, "").unwrap();
    assert_eq!(users.auth.reload().await.unwrap().len(), 1);
    assert!(users.login("moby", "gordon").await.is_err());
}

#[tokio::test]
async fn a_missing_file_is_made_with_the_user_docker() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("auth/htpasswd");
    let users = Users::open_in(root, path).await;
    let [Notice::Created(created)] = &users.notices[..] else {
        panic!("{:?}", users.notices);
    };
    assert_eq!(created.user.as_str(), "docker");
    let login = users.login("docker", created.password.reveal()).await;
    assert_eq!(login, user("docker"));
    let content = fs::read_to_string(&users.path).unwrap();
    assert!(content.starts_with("docker:$2y$10$"));
}

#[tokio::test]
async fn a_realm_with_a_line_break_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let settings = auth::Settings {
        htpasswd: Some(Settings {
            realm: "a\nb".to_owned(),
            path: "/nonexistent/htpasswd".into(),
            queue: Settings::QUEUE,
            backoff: backoff::Limits::default(),
        }),
    };
    assert!(matches!(
        Authenticator::open(settings, &store(root.path())).await,
        Err(AuthError::Realm(_))
    ));
}
