//! Robots that log in while their records come and go, and while the storage
//! fails.

use std::io;
use std::time::Duration;

use super::*;
use crate::auth::caller::Grant;
use crate::auth::password::Password;
use crate::storage::Created;
use crate::storage::faulty::{Fault, Faulty, Verb};
use crate::storage::files::{Files, Settings, SyncMode};

const RECORDS: &str = "wharf/auth/robots/";

struct Site {
    _root: tempfile::TempDir,
    faulty: Arc<Faulty>,
    store: Arc<dyn Store>,
    robots: Robots,
}

impl Site {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let files = Files::open(&Settings {
            root: root.path().to_owned(),
            max_threads: 4,
            sync: SyncMode::None,
        });
        let faulty = Faulty::new(Arc::new(files.unwrap()));
        let store: Arc<dyn Store> = Arc::clone(&faulty) as _;
        Self {
            _root: root,
            faulty,
            robots: Robots::new(&store),
            store,
        }
    }

    async fn create(&self, name: &str, life: Option<Duration>) -> Secret {
        let secret = Secret::random().unwrap();
        let grants = vec![Grant {
            repositories: "team/**".parse().unwrap(),
            actions: "pull".parse().into_iter().collect(),
        }];
        let robot = Robot::new(&secret, grants, SystemTime::now(), life).unwrap();
        let created = book::create(&*self.store, &name.parse().unwrap(), &robot).await;
        assert_eq!(created.unwrap(), Created::New);
        secret
    }

    async fn login(&self, name: &str, secret: &Secret) -> Result<Caller, Unidentified> {
        self.robots.verify(&name.parse().unwrap(), secret).await
    }

    fn reads(&self) -> usize {
        let calls = self.faulty.calls();
        let record = |call: &&crate::storage::faulty::Call| {
            call.verb == Verb::Get && call.path.contains(RECORDS)
        };
        calls.iter().filter(record).count()
    }
}

#[tokio::test]
async fn logs_in_by_its_name_and_its_secret_alone() {
    let site = Site::new();
    let secret = site.create("ci", None).await;
    let other = site.create("other", None).await;
    let caller = site.login("ci", &secret).await.unwrap();
    assert_eq!(caller.identity.to_string(), "robot:ci");
    assert_eq!(caller.grants.as_ref().unwrap().len(), 1);
    let wrong = Err(Unidentified::Wrong);
    for name in ["other", "nobody", "CI", "../robots/ci", "ci/"] {
        assert_eq!(site.login(name, &secret).await, wrong, "{name}");
    }
    assert_eq!(site.login("ci", &other).await, wrong);
}

#[tokio::test]
async fn one_read_a_second_for_any_name() {
    let site = Site::new();
    let secret = site.create("ci", None).await;
    site.reads();
    for _ in 0..50 {
        assert!(site.login("ci", &secret).await.is_ok());
        assert!(site.login("nobody", &secret).await.is_err());
    }
    // A slow machine may need more than a second for it.
    let reads = site.reads();
    assert!((2..=10).contains(&reads), "{reads}");
}

#[tokio::test]
async fn what_is_revoked_or_made_anew_no_longer_stands() {
    let site = Site::new();
    let secret = site.create("ci", None).await;
    let caller = site.login("ci", &secret).await.unwrap();
    let crate::auth::caller::Proof::Robot(stamp) = caller.proof else {
        panic!("{caller:?}");
    };
    assert!(site.robots.stands("ci", stamp).await);
    assert!(!site.robots.stands("other", stamp).await);
    assert!(
        book::revoke(&*site.store, &"ci".parse().unwrap())
            .await
            .unwrap()
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(site.login("ci", &secret).await, Err(Unidentified::Wrong));
    assert!(!site.robots.stands("ci", stamp).await);
    let again = site.create("ci", None).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(site.login("ci", &secret).await, Err(Unidentified::Wrong));
    assert!(site.login("ci", &again).await.is_ok());
    assert!(!site.robots.stands("ci", stamp).await);
}

#[tokio::test]
async fn what_was_known_counts_for_a_while_without_the_storage() {
    let mut site = Site::new();
    site.robots.known.grace = Duration::from_secs(3);
    let secret = site.create("ci", None).await;
    assert!(site.login("ci", &secret).await.is_ok());
    let fails = Fault::Fail(io::ErrorKind::TimedOut);
    site.faulty.on(Verb::Get, RECORDS, usize::MAX, fails);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(site.login("ci", &secret).await.is_ok());
    tokio::time::sleep(Duration::from_secs(2)).await;
    for name in ["ci", "nobody"] {
        let login = site.login(name, &secret).await;
        assert_eq!(login, Err(Unidentified::Unavailable), "{name}");
    }
    site.faulty.revive();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(site.login("ci", &secret).await.is_ok());
}

#[tokio::test]
async fn many_unknown_names_leave_the_known_robot_alone() {
    let site = Site::new();
    let secret = site.create("ci", None).await;
    for number in 0..5000 {
        let nobody = site.login(&format!("nobody-{number}"), &secret).await;
        assert_eq!(nobody, Err(Unidentified::Wrong));
        if number % 500 == 0 {
            assert!(site.login("ci", &secret).await.is_ok());
        }
    }
}

#[tokio::test]
async fn its_last_use_is_written_once_a_minute_and_at_the_end() {
    let site = Site::new();
    let secret = site.create("ci", None).await;
    let used = || async {
        let entries = book::list(&*site.store).await.unwrap();
        entries.into_iter().next().unwrap().used
    };
    site.robots.write_uses(false).await.unwrap();
    assert_eq!(used().await, None);
    site.login("ci", &secret).await.unwrap();
    site.robots.write_uses(false).await.unwrap();
    let first = used().await.unwrap();
    site.login("ci", &secret).await.unwrap();
    site.robots.write_uses(false).await.unwrap();
    assert_eq!(used().await, Some(first));
    site.robots.write_uses(true).await.unwrap();
    assert!(used().await.unwrap() > first);
}

#[test]
fn a_password_of_another_form_is_no_secret() {
    let password = Password::new("wharf_is-nice".to_owned()).unwrap();
    assert!(Secret::of(&password).is_none());
}
