//! The harness itself: the engine comes back after a kill with what it had, the
//! proxy does what it is told, the balancer goes round.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::{Balancer, Fault, Needs, Program, Proxy, Registry, S3Engine};
use crate::wire::Request;

#[test]
fn an_engine_that_was_killed_has_what_it_had() {
    if !reference().met() || !S3Engine::needs().met() {
        return;
    }
    let mut engine = S3Engine::start();
    let bucket = engine.bucket();
    let registry = Registry::with()
        .program(Program::Distribution)
        .s3(&bucket)
        .start();
    let repo = crate::repo::Repo::on(&registry, "kept");
    repo.tag("latest", "one");
    let before = bucket.objects();
    assert!(before.len() > 4, "{before:?}");
    engine.kill();
    engine.launch();
    assert_eq!(bucket.objects(), before);
    assert_eq!(repo.tags(), ["latest"]);
    bucket.remove("");
    assert_eq!(bucket.objects(), []);
}

#[test]
fn the_proxy_counts_delays_answers_and_cuts() {
    if !S3Engine::needs().met() {
        return;
    }
    let engine = S3Engine::shared();
    let proxy = Proxy::to(&engine.host());
    let client = reqwest::blocking::Client::builder()
        .no_proxy()
        .build()
        .unwrap();
    let ask = || client.get(proxy.url() + "/registry/none").send();
    assert_eq!(ask().unwrap().status(), 403);
    let seen = proxy.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].operation(), "GetObject");

    proxy.fault(1, |_| true, Fault::s3("503 Slow Down", "SlowDown"));
    let answer = ask().unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().unwrap().contains("<Code>SlowDown</Code>"));
    assert_eq!(proxy.faults_left(), 0);
    assert_eq!(ask().unwrap().status(), 403);

    for fault in [Fault::Cut, Fault::LoseAnswer] {
        proxy.fault(1, |seen| seen.method == "PUT", fault);
        let put = client.put(proxy.url() + "/registry/none").body("x");
        assert!(put.send().is_err());
    }
    proxy.delay(Duration::from_millis(300));
    let begun = Instant::now();
    ask().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    proxy.refuse();
    assert!(ask().is_err());
    proxy.heal();
    assert_eq!(ask().unwrap().status(), 403);
}

#[test]
fn the_balancer_takes_the_next_one_for_each_request() {
    if !S3Engine::needs().met() || !Balancer::needs().met() {
        return;
    }
    let registry = Registry::with().replicas(3).start();
    let answered: Vec<String> = (0..6)
        .map(|_| Request::new(registry.host(), "GET", "/v2/").send())
        .map(|answer| answer.expect(200).must("x-replica").to_owned())
        .collect();
    let replicas: BTreeSet<&String> = answered.iter().collect();
    assert_eq!(replicas.len(), 3, "{answered:?}");
}

fn reference() -> Needs {
    Needs::of("docker-registry").program("docker-registry", "apt install docker-registry")
}
