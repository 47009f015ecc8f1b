//! `Authorization` of a request, with one user behind it.

use std::cell::LazyCell;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use wharf::auth::caller::Identity;
use wharf::auth::htpasswd::edit;
use wharf::auth::htpasswd::hash::{Hash, NewHash};
use wharf::auth::password::Password;
use wharf::auth::{Authenticator, Shown, Unidentified};

const USER: &str = "alice";
const LOGIN: &[u8] = b"alice:s3cret:\xc3\xa4";

thread_local! {
    static STAGE: LazyCell<(TempDir, Runtime, Authenticator)> = LazyCell::new(|| {
        let directory = super::site::directory();
        let path = directory.path().join("users");
        add(&path);
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let settings = super::site::users(&path);
        let store = super::site::store(&directory.path().join("data"));
        let opened = runtime.block_on(Authenticator::open(settings, &store));
        (directory, runtime, opened.unwrap().0)
    });
}

fn add(path: &Path) {
    let (_, password) = std::str::from_utf8(LOGIN).unwrap().split_once(':').unwrap();
    let password = Password::new(password.to_owned()).unwrap();
    let hash = Hash::make(NewHash::Bcrypt(4), &password).unwrap();
    edit::add(path, &USER.parse().unwrap(), &hash).unwrap();
}

/// Nobody gets in but by the one login there is. An odd first byte: the rest is
/// a login still to be encoded; else it is the header as it is.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let is_login = kind % 2 == 1;
    let header = if is_login {
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(rest)))
    } else {
        HeaderValue::from_bytes(rest)
    };
    let Ok(header) = header else {
        return;
    };
    let said = STAGE.with(|stage| {
        let (_, runtime, authenticator) = &**stage;
        runtime.block_on(authenticator.identify(Shown {
            authorization: Some(&header),
            address: None,
        }))
    });
    match said {
        Ok(caller) => {
            assert_eq!(caller.identity, Identity::User(USER.parse().unwrap()));
            assert_eq!(sent(header.as_bytes()).as_deref(), Some(LOGIN));
        }
        Err(Unidentified::Missing) => {
            assert_eq!(sent(header.as_bytes()).as_deref(), Some(&b":"[..]))
        }
        Err(Unidentified::Wrong) => assert!(!is_login || rest != LOGIN),
        Err(Unidentified::Busy) => panic!("busy with one request"),
        Err(Unidentified::Unavailable) => panic!("the storage answers"),
        Err(Unidentified::Slowed { .. }) => panic!("slowed without limits"),
        Err(Unidentified::Narrow) => panic!("a password has no scope"),
    }
}

/// What the header carries, decoded by hand: RFC 7617, padding or not.
fn sent(header: &[u8]) -> Option<Vec<u8>> {
    let scheme = header.get(..6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut text = header[6..].trim_ascii().to_vec();
    while text.last() == Some(&b'=') {
        text.pop();
    }
    base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(text)
        .ok()
}
