//! TLS, its mistakes and its changes.

use super::*;
use reqwest::{Certificate, Client};

fn client(issued: &Issued) -> reqwest::ClientBuilder {
    let authority = std::fs::read(&issued.ca).unwrap();
    Client::builder().tls_certs_only([Certificate::from_pem(&authority).unwrap()])
}

async fn start_tls(issued: &Issued, change: impl FnOnce(&mut Settings)) -> Running {
    let mut settings = settings();
    settings.tls = Some(tls_settings(issued));
    change(&mut settings);
    start(settings, Limits::default()).await
}

async fn fetch(client: &Client, url: &str) -> String {
    client.get(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn http2_is_negotiated_and_the_peer_is_known() {
    let (_directory, issued) = issued();
    let running = start_tls(&issued, |_| {}).await;
    assert!(running.url.starts_with("https://127.0.0.1:"));
    let text = fetch(&client(&issued).build().unwrap(), &running.url).await;
    assert_eq!(text, "HTTP/2.0 Some(127.0.0.1) tls=true");
    let http1 = client(&issued).http1_only().build().unwrap();
    let text = fetch(&http1, &running.url).await;
    assert_eq!(text, "HTTP/1.1 Some(127.0.0.1) tls=true");
}

#[tokio::test]
async fn http2_can_be_turned_off() {
    let (_directory, issued) = issued();
    let running = start_tls(&issued, |settings| settings.http2 = false).await;
    let text = fetch(&client(&issued).build().unwrap(), &running.url).await;
    assert_eq!(text, "HTTP/1.1 Some(127.0.0.1) tls=true");
}

#[tokio::test]
async fn h2c_by_prior_knowledge_beside_http1() {
    let settings = Settings {
        h2c: true,
        ..settings()
    };
    let running = start(settings, Limits::default()).await;
    let h2c = Client::builder().http2_prior_knowledge().build().unwrap();
    let text = fetch(&h2c, &running.url).await;
    assert_eq!(text, "HTTP/2.0 Some(127.0.0.1) tls=false");
    let text = fetch(&Client::new(), &running.url).await;
    assert_eq!(text, "HTTP/1.1 Some(127.0.0.1) tls=false");
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_and_logged_once() {
    let log = Log::default();
    let _guard = log.start();
    let (_directory, issued) = issued();
    let running = start_tls(&issued, |_| {}).await;
    let request = b"GET /v2/ HTTP/1.1\r\nHost: reg.test:5000\r\n\r\n";
    for _ in 0..2 {
        let answer = running.exchange(request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("docker login reg.test:5000"), "{answer}");
        assert!(!answer.to_lowercase().contains("www-authenticate"));
    }
    log.wait_for("127.0.0.1 speaks plain HTTP to the TLS port")
        .await;
    assert_eq!(log.text().matches("speaks plain HTTP").count(), 1);
}

#[tokio::test]
async fn tls_on_a_plain_port_is_answered_and_logged_with_its_name() {
    let log = Log::default();
    let _guard = log.start();
    let running = start(settings(), Limits::default()).await;
    let port = running.address.port();
    let client = Client::builder()
        .resolve("reg.test", running.address)
        .build()
        .unwrap();
    let refused = client.get(format!("https://reg.test:{port}/v2/")).send();
    assert!(refused.await.is_err());
    log.wait_for(&format!("add \"reg.test:{port}\" to insecure-registries"))
        .await;
}

#[tokio::test]
async fn a_client_without_our_authority_is_logged_with_the_fingerprint() {
    let log = Log::default();
    let _guard = log.start();
    let (_directory, issued) = issued();
    let running = start_tls(&issued, |_| {}).await;
    let (_other_directory, other) = super::issued();
    let stranger = client(&other).build().unwrap();
    let url = format!("https://localhost:{}/", running.address.port());
    assert!(stranger.get(url).send().await.is_err());
    log.wait_for(&issued.fingerprint).await;
    log.wait_for(&format!(
        "/etc/docker/certs.d/localhost:{}/ca.crt",
        running.address.port()
    ))
    .await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_on_reload_and_a_broken_one_is_not() {
    let log = Log::default();
    let _guard = log.start();
    let (directory, issued) = issued();
    let limits = Limits {
        certificate_poll: Duration::from_millis(10),
        ..Limits::default()
    };
    let mut settings = settings();
    settings.tls = Some(tls_settings(&issued));
    let running = start(settings, limits).await;
    let url = format!("https://new.test:{}/", running.address.port());
    let fresh = || {
        let client = client(&issued).resolve("new.test", running.address);
        client.pool_max_idle_per_host(0).build().unwrap()
    };
    assert!(fresh().get(&url).send().await.is_err());

    let names = certificates::default_names(&["new.test".to_owned()]);
    certificates::ensure(directory.path(), &names).unwrap();
    log.wait_for("took up the new certificate").await;
    assert!(fresh().get(&url).send().await.is_ok());

    std::fs::write(&issued.key, "garbage").unwrap();
    log.wait_for("holds no unencrypted private key").await;
    assert!(fresh().get(&url).send().await.is_ok());
}

#[tokio::test]
async fn client_certificates_are_asked_for() {
    let (_directory, issued) = issued();
    let required = start_tls(&issued, |settings| {
        let tls = settings.tls.as_mut().unwrap();
        tls.client_cas = vec![issued.ca.clone()];
    })
    .await;
    let client = client(&issued).build().unwrap();
    assert!(client.get(&required.url).send().await.is_err());

    let optional = start_tls(&issued, |settings| {
        let tls = settings.tls.as_mut().unwrap();
        tls.client_cas = vec![issued.ca.clone()];
        tls.client_auth = ClientAuth::IfGiven;
    })
    .await;
    assert!(client.get(&optional.url).send().await.is_ok());
}

#[tokio::test]
async fn the_minimum_version_holds() {
    let (_directory, issued) = issued();
    let running = start_tls(&issued, |settings| {
        settings.tls.as_mut().unwrap().minimum = Version::Tls13;
    })
    .await;
    let old = client(&issued)
        .tls_version_max(reqwest::tls::Version::TLS_1_2)
        .build()
        .unwrap();
    assert!(old.get(&running.url).send().await.is_err());
    let new = client(&issued).build().unwrap();
    assert!(new.get(&running.url).send().await.is_ok());
}

#[tokio::test]
async fn a_mismatched_pair_stops_the_start() {
    let ((_one, mut issued), (_other, foreign)) = (issued(), super::issued());
    issued.key = foreign.key;
    let settings = Settings {
        tls: Some(tls_settings(&issued)),
        ..settings()
    };
    let refused = Server::bind(settings).await.unwrap_err();
    assert!(matches!(refused, ServerError::Tls(_)), "{refused}");
}

#[tokio::test]
async fn a_handshake_that_stalls_is_ended() {
    let (_directory, issued) = issued();
    let limits = Limits {
        handshake: Duration::from_secs(1),
        ..Limits::default()
    };
    let mut settings = settings();
    settings.tls = Some(tls_settings(&issued));
    let running = start(settings, limits).await;
    assert_eq!(running.exchange(&[0x16, 3, 1]).await, "");
    assert_eq!(running.exchange(b"").await, "");
    let text = fetch(&client(&issued).build().unwrap(), &running.url).await;
    assert!(text.ends_with("tls=true"));
}
