//! Tokens of an outside service, good ones and forged ones, by every kind of
//! key and by each way to name it.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SigningKey as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::oci::Action;

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A signed token; `key` signs as its kind does.
fn sign(key: &KeyPair, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = if key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256) {
        let key = jsonwebtoken::EncodingKey::from_ec_der(&key.serialize_der());
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::ES256).unwrap()
    } else {
        URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap())
    };
    format!("{signed}.{signature}")
}

fn claims() -> Value {
    json!({
        "iss": "issuer", "aud": "service", "sub": "alice",
        "exp": now() + 300, "nbf": now() - 5, "iat": now() - 5,
        "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}],
    })
}

/// One claim replaced, or left out.
fn with(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    claims
}

struct Service {
    key: KeyPair,
    certificate: rcgen::Certificate,
    params: CertificateParams,
    name: String,
    outside: Outside,
    _root: TempDir,
}

fn service(kind: &'static rcgen::SignatureAlgorithm) -> Service {
    let key = KeyPair::generate_for(kind).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let (keys, _) = Keys::of_certificates(certificate.pem().as_bytes()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let bundle = root.path().join("bundle.pem");
    fs::write(&bundle, certificate.pem()).unwrap();
    let outside = Outside::open(Settings {
        realm: Realm::At("https://auth.test/token".to_owned()),
        service: "service".to_owned(),
        issuer: "issuer".to_owned(),
        rootcertbundle: Some(bundle),
        jwks: None,
        algorithms: Signing::all(),
    });
    Service {
        name: keys
            .names()
            .find(|name| name.contains(':'))
            .unwrap()
            .to_owned(),
        outside: outside.unwrap(),
        key,
        certificate,
        params,
        _root: root,
    }
}

const KINDS: [(&rcgen::SignatureAlgorithm, &str); 3] = [
    (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
    (&rcgen::PKCS_ED25519, "EdDSA"),
    (&rcgen::PKCS_RSA_SHA256, "RS256"),
];

#[tokio::test]
async fn keys_of_each_kind_sign_by_either_name_and_by_certificates() {
    for (kind, alg) in KINDS {
        let service = service(kind);
        let bundle = service.outside.bundle.as_ref().unwrap().current().await;
        for name in bundle.keys.names() {
            let token = sign(&service.key, &json!({"alg": alg, "kid": name}), &claims());
            let caller = service.outside.identify(&token).await.unwrap();
            assert_eq!(caller.identity.to_string(), "alice");
            let scope = caller.scope.unwrap();
            let here = scope.actions(&"team/app".parse().unwrap());
            assert!(here.has(Action::Pull) && !here.has(Action::Push));
        }
        // Of the bundle itself, and vouched for by it.
        let own = STANDARD.encode(service.certificate.der());
        let token = sign(&service.key, &json!({"alg": alg, "x5c": [own]}), &claims());
        assert!(service.outside.identify(&token).await.is_ok(), "{alg}");
        let leaf_key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&service.params, &service.key);
        let leaf = CertificateParams::new(Vec::new()).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        let chain = json!({"alg": "ES256", "x5c": [STANDARD.encode(leaf.der())]});
        let token = sign(&leaf_key, &chain, &claims());
        assert!(
            service.outside.identify(&token).await.is_ok(),
            "{alg} chain"
        );
    }
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let service = service(&rcgen::PKCS_ECDSA_P256_SHA256);
    let name = service.name.clone();
    let good = json!({"alg": "ES256", "kid": name});
    let other = KeyPair::generate().unwrap();
    let foreign = CertificateParams::new(Vec::new()).unwrap();
    let foreign = foreign.self_signed(&other).unwrap();
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"});
    let mut forged = Vec::new();
    // A key of their own, however it is brought or named.
    for header in [
        json!({"alg": "ES256", "kid": name}),
        json!({"alg": "ES256", "jwk": jwk}),
        json!({"alg": "ES256", "jku": "http://127.0.0.1:1/keys", "kid": "mine"}),
        json!({"alg": "ES256", "x5u": "http://127.0.0.1:1/cert", "kid": "mine"}),
        json!({"alg": "ES256", "x5c": [STANDARD.encode(foreign.der())]}),
        json!({"alg": "ES256", "x5c": [STANDARD.encode(foreign.der()), STANDARD.encode(service.certificate.der())]}),
        json!({"alg": "ES256", "x5c": []}),
        json!({"alg": "ES256", "kid": "../../../dev/null"}),
        json!({"alg": "ES256", "kid": "' OR 1=1 --"}),
        json!({"alg": "ES256"}),
    ] {
        forged.push(sign(&other, &header, &claims()));
    }
    // Another algorithm, extensions, and headers that aren't any.
    for header in [
        json!({"alg": "none", "kid": name}),
        json!({"alg": "NONE", "kid": name}),
        json!({"alg": "HS256", "kid": name}),
        json!({"alg": "ES384", "kid": name}),
        json!({"alg": "RS256", "kid": name}),
        json!({"alg": "es256", "kid": name}),
        json!({"alg": ["ES256"], "kid": name}),
        json!({"alg": "ES256", "kid": [name]}),
        json!({"alg": "ES256", "kid": name, "crit": ["exp"]}),
        json!({"kid": name}),
        json!([]),
    ] {
        forged.push(sign(&service.key, &header, &claims()));
    }
    let text = sign(&service.key, &good, &claims());
    assert!(service.outside.identify(&text).await.is_ok());
    let (signed, _) = text.rsplit_once('.').unwrap();
    forged.push(format!("{signed}."));
    forged.push(signed.to_owned());
    forged.push(format!("{text}."));
    forged.push(format!(
        "{}.{}.",
        part(&json!({"alg": "none"})),
        part(&claims())
    ));
    // A signature by the public key as a secret is not even tried.
    forged.push("a".repeat(20_000));
    for token in forged {
        assert_eq!(
            service.outside.identify(&token).await,
            Err(Unidentified::Wrong),
            "{token}"
        );
    }
}

#[tokio::test]
async fn claims_are_read_strictly() {
    let service = service(&rcgen::PKCS_ED25519);
    let header = json!({"alg": "EdDSA", "kid": service.name});
    let soon = now() + 300;
    let mut wrong = Vec::new();
    for name in ["iss", "aud", "exp"] {
        wrong.push(with(name, None));
    }
    for name in ["iss", "aud", "sub"] {
        wrong.push(with(name, Some(json!(1))));
    }
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!(soon.to_string()),
            json!(null),
            json!([soon]),
            json!(1.5),
            json!(-1),
            json!(true),
            json!(u64::MAX),
        ] {
            wrong.push(with(name, Some(value)));
        }
    }
    wrong.push(with("iss", Some(json!("other"))));
    wrong.push(with("aud", Some(json!("other"))));
    wrong.push(with("aud", Some(json!(["other"]))));
    wrong.push(with("aud", Some(json!(["service", 1]))));
    wrong.push(with("exp", Some(json!(now() - 61))));
    wrong.push(with("nbf", Some(json!(now() + 65))));
    wrong.push(with("sub", Some(json!("a:b"))));
    wrong.push(with("access", Some(json!("all"))));
    let mut neither = with("nbf", None);
    neither.as_object_mut().unwrap().remove("iat");
    wrong.push(neither);
    for claims in wrong {
        let token = sign(&service.key, &header, &claims);
        let answer = service.outside.identify(&token).await;
        assert_eq!(answer, Err(Unidentified::Wrong), "{claims}");
    }
    for claims in [
        with("aud", Some(json!(["other", "service"]))),
        with("exp", Some(json!(now() - 30))),
        with("nbf", Some(json!(now() + 30))),
        with("nbf", None),
        with("access", None),
    ] {
        let token = sign(&service.key, &header, &claims);
        assert!(service.outside.identify(&token).await.is_ok(), "{claims}");
    }
    // A service lets nobody in particular pull.
    let token = sign(&service.key, &header, &with("sub", Some(json!(""))));
    assert!(
        service
            .outside
            .identify(&token)
            .await
            .unwrap()
            .is_anonymous()
    );
}

#[test]
fn a_challenge_says_where_and_what_for() {
    let service = service(&rcgen::PKCS_ED25519);
    let needed = [crate::auth::caller::Needed::Catalog];
    let mut asked = Asked {
        needed: &needed,
        why: Unidentified::Narrow,
        token: true,
        url: None,
        prefix: "",
    };
    let says = |asked: &Asked<'_>| {
        let value = service.outside.challenge(asked).unwrap();
        value.to_str().unwrap().to_owned()
    };
    let start = "Bearer realm=\"https://auth.test/token\",service=\"service\"";
    assert_eq!(
        says(&asked),
        format!("{start},scope=\"registry:catalog:*\",error=\"insufficient_scope\"")
    );
    asked.why = Unidentified::Wrong;
    asked.needed = &[];
    assert_eq!(says(&asked), format!("{start},error=\"invalid_token\""));
    asked.why = Unidentified::Missing;
    assert_eq!(says(&asked), start);
}
