//! Tokens that count, and those that must not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::auth::caller::{Identity, Proof, Stamp};
use crate::oci::{Action, Actions};
use crate::storage::{files, layout};

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn store(root: &TempDir) -> Arc<dyn Store> {
    let settings = files::Settings {
        root: root.path().join("data"),
        max_threads: 4,
        sync: files::SyncMode::None,
    };
    Arc::new(files::Files::open(&settings).unwrap())
}

fn at(seconds: u64) -> SystemTime {
    NOW + Duration::from_secs(seconds)
}

/// Ten thousand periods after the epoch.
const T: u64 = 10_000 * 24 * 3600;

fn alice() -> Caller {
    let user = Identity::User("alice".parse().unwrap());
    Caller::known(user, Proof::Password(Stamp([7; 16])))
}

fn scope() -> Scope {
    let actions: Actions = [Action::Pull, Action::Push].into_iter().collect();
    Scope {
        repositories: vec![("team/app".parse().unwrap(), actions)],
        catalog: true,
    }
}

async fn issued(tokens: &Tokens, now: u64) -> String {
    tokens
        .issue(&alice(), &scope(), at(now))
        .await
        .unwrap()
        .token
}

fn part(text: &str, nth: usize) -> Value {
    let part = text.split('.').nth(nth).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn written(value: &str) -> String {
    URL_SAFE_NO_PAD.encode(value)
}

const WRONG: Result<Caller, Unidentified> = Err(Unidentified::Wrong);

#[tokio::test]
async fn a_token_brings_back_its_caller_as_narrow_as_it_is() {
    let root = TempDir::new().unwrap();
    let tokens = Tokens::new(Settings::default(), &store(&root));
    let token = issued(&tokens, T).await;
    let expected = Caller {
        scope: Some(scope()),
        ..alice()
    };
    // Once by its signature and once from memory.
    for _ in 0..2 {
        assert_eq!(tokens.verify(&token, at(T)).await, Ok(expected.clone()));
    }
    assert_eq!(
        tokens.verify(&token, at(T + 299)).await,
        Ok(expected.clone())
    );
    assert_eq!(tokens.verify(&token, at(T + 300)).await, WRONG);
    let claims = part(&token, 1);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(
        claims["access"],
        json!([
            {"type": "repository", "name": "team/app", "actions": ["pull", "push"]},
            {"type": "registry", "name": "catalog", "actions": ["*"]},
        ])
    );
    // Another replica has the same keys, and no memory.
    let other = Tokens::new(Settings::default(), &store(&root));
    assert_eq!(other.verify(&token, at(T + 1)).await, Ok(expected));
    assert_eq!(other.verify(&token, at(T + 300)).await, WRONG);
    let third = Tokens::new(Settings::default(), &store(&root));
    assert_eq!(third.verify(&token, at(T + 300)).await, WRONG);
}

#[tokio::test]
async fn a_forged_header_is_refused() {
    let root = TempDir::new().unwrap();
    let tokens = Tokens::new(Settings::default(), &store(&root));
    let token = issued(&tokens, T).await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let payload = signed.split_once('.').unwrap().1;
    let kid = part(&token, 0)["kid"].as_str().unwrap().to_owned();
    let key = tokens.keys.current(at(T)).await.unwrap();
    let own = jsonwebtoken::EncodingKey::from_secret(key.id().as_bytes());
    for (alg, name) in [
        ("none", kid.as_str()),
        ("None", &kid),
        ("HS256", &kid),
        ("ES256", &kid),
        ("RS256", &kid),
        ("EdDSA", "../../../etc/passwd"),
        ("EdDSA", "10000.x"),
        ("EdDSA", "010000.x"),
        ("EdDSA", "18446744073709551615.x"),
        ("EdDSA", ""),
    ] {
        let header = written(&json!({"alg": alg, "typ": "JWT", "kid": name}).to_string());
        let input = format!("{header}.{payload}");
        let hmac =
            jsonwebtoken::crypto::sign(input.as_bytes(), &own, jsonwebtoken::Algorithm::HS256);
        for forged in [String::new(), signature.to_owned(), hmac.unwrap()] {
            let forged = format!("{input}.{forged}");
            assert_eq!(tokens.verify(&forged, at(T)).await, WRONG, "{alg} {name}");
        }
    }
    // A key of one's own, in every place that a header has for one.
    let theirs = key::SigningKey::random(T / 86400).unwrap();
    let stolen = theirs.sign(&part(&token, 1)).unwrap();
    let signature = stolen.rsplit_once('.').unwrap().1;
    assert_eq!(tokens.verify(&stolen, at(T)).await, WRONG);
    for (name, value) in [
        ("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"})),
        ("x5c", json!(["AAAA"])),
        ("jku", json!("https://evil.test/keys")),
        ("x5u", json!("https://evil.test/certificate")),
        ("crit", json!(["exp"])),
    ] {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": kid, name: value}).to_string();
        let forged = format!("{}.{payload}.{signature}", written(&header));
        assert_eq!(tokens.verify(&forged, at(T)).await, WRONG, "{name}");
    }
    for broken in [
        "",
        ".",
        "..",
        "a.b.c",
        &token[1..],
        &token[..token.len() - 2],
    ] {
        assert_eq!(tokens.verify(broken, at(T)).await, WRONG, "{broken}");
    }
}

/// Signed by our own key, so that nothing but the claim is wrong.
#[tokio::test]
async fn a_claim_that_is_not_as_it_must_be_is_refused() {
    let root = TempDir::new().unwrap();
    let tokens = Tokens::new(Settings::default(), &store(&root));
    let claims = part(&issued(&tokens, T).await, 1);
    let key = tokens.keys.current(at(T)).await.unwrap();
    let whole = key.sign(&claims).unwrap();
    assert!(tokens.verify(&whole, at(T)).await.is_ok());
    let times = [
        json!(null),
        json!("99999999999"),
        json!([99_999_999_999_u64]),
        json!(99_999_999_999.5),
        json!(1e300),
        json!(-1),
        json!({}),
        json!(true),
    ];
    let strings = [json!(null), json!(""), json!("other"), json!(7), json!({})];
    let cases = [
        ("exp", times.to_vec()),
        ("nbf", times.to_vec()),
        ("iss", strings.to_vec()),
        ("aud", [&strings[..], &[json!(["other"])]].concat()),
        (
            "wharf",
            vec![json!(null), json!({}), json!("alice"), json!([])],
        ),
        ("access", vec![json!("*"), json!({}), json!([1])]),
    ];
    for (name, values) in cases {
        for value in values {
            let mut wrong = claims.clone();
            wrong[name] = value.clone();
            let token = key.sign(&wrong).unwrap();
            assert_eq!(tokens.verify(&token, at(T)).await, WRONG, "{name} {value}");
        }
    }
    for name in ["exp", "iss", "aud", "wharf"] {
        let mut wrong = claims.clone();
        wrong.as_object_mut().unwrap().remove(name);
        let token = key.sign(&wrong).unwrap();
        assert_eq!(tokens.verify(&token, at(T)).await, WRONG, "no {name}");
    }
    // From the future, and for a name that only begins like ours.
    let early = issued(&tokens, T + 600).await;
    assert_eq!(tokens.verify(&early, at(T)).await, WRONG);
    for name in ["team", "team/ap", "team/app/x", "*", "**"] {
        let mut other = claims.clone();
        other["access"][0]["name"] = json!(name);
        let caller = tokens.verify(&key.sign(&other).unwrap(), at(T)).await;
        let scope = caller.unwrap().scope.unwrap();
        assert!(scope.actions(&"team/app".parse().unwrap()).is_empty());
    }
}

#[tokio::test]
async fn another_service_is_another_audience() {
    let root = TempDir::new().unwrap();
    let ours = Tokens::new(Settings::default(), &store(&root));
    let service = "other".to_owned();
    let theirs = Settings {
        service,
        ..Settings::default()
    };
    let theirs = Tokens::new(theirs, &store(&root));
    let token = issued(&theirs, T).await;
    assert!(theirs.verify(&token, at(T)).await.is_ok());
    assert_eq!(ours.verify(&token, at(T)).await, WRONG);
}

#[tokio::test]
async fn a_key_signs_for_a_period_and_verifies_until_its_tokens_are_over() {
    let root = TempDir::new().unwrap();
    let store = store(&root);
    let period = Duration::from_secs(600);
    let tokens = Tokens::with_period(Settings::default(), &store, period);
    let last = issued(&tokens, T + 599).await;
    let next = issued(&tokens, T + 600).await;
    assert_ne!(part(&last, 0)["kid"], part(&next, 0)["kid"]);
    assert!(tokens.verify(&last, at(T + 800)).await.is_ok());
    let names = || async {
        let children = store
            .children(&layout::token_keys(), None, 100)
            .await
            .unwrap();
        children.len()
    };
    assert_eq!(names().await, 2);
    // Much later both are gone, and their tokens with them.
    issued(&tokens, T + 100_000).await;
    assert_eq!(names().await, 1);
    for old in [last, next] {
        assert_eq!(tokens.verify(&old, at(T + 800 + 100_000)).await, WRONG);
    }
}

#[tokio::test]
async fn replicas_agree_on_one_key_whoever_is_first() {
    let root = TempDir::new().unwrap();
    let store = store(&root);
    let replicas: Vec<Tokens> = (0..8)
        .map(|_| Tokens::new(Settings::default(), &store))
        .collect();
    let made = replicas.iter().map(|replica| issued(replica, T));
    let made = futures_util::future::join_all(made).await;
    for token in &made {
        for replica in &replicas {
            assert!(replica.verify(token, at(T)).await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_lost_or_broken_record_is_made_anew() {
    let root = TempDir::new().unwrap();
    let store = store(&root);
    let record = layout::token_key(T / 86400);
    let first = issued(&Tokens::new(Settings::default(), &store), T).await;
    store.delete(&record).await.unwrap();
    let again = Tokens::new(Settings::default(), &store);
    assert_eq!(again.verify(&first, at(T)).await, WRONG);
    let second = issued(&again, T).await;
    assert!(again.verify(&second, at(T)).await.is_ok());
    for rubbish in ["", "{}", "{\"algorithm\":\"EdDSA\",\"private\":\"AAAA\"}"] {
        store.put(&record, rubbish.into()).await.unwrap();
        let healed = Tokens::new(Settings::default(), &store);
        assert_eq!(healed.verify(&second, at(T)).await, WRONG);
        let third = issued(&healed, T).await;
        let other = Tokens::new(Settings::default(), &store);
        assert!(other.verify(&third, at(T)).await.is_ok(), "{rubbish}");
    }
}
