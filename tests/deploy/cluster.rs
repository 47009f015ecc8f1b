//! Engines as a swarm, and the shipped stack on them: deployed, drained, looked
//! at.

use std::fs;
use std::time::Duration;

use crate::images;
use crate::nodes::Nodes;
use crate::site::{Site, shipped};
use crate::support::{Run, eventually, say};

/// How long the swarm may take for what it was told.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// The engines as a swarm, led by the first.
pub struct Swarm<'a> {
    nodes: &'a Nodes,
}

impl<'a> Swarm<'a> {
    /// The nodes joined, the first one leads.
    pub fn of(nodes: &'a Nodes) -> Swarm<'a> {
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

    /// The secrets that the stack names.
    pub fn keep_secrets(&self, site: &Site) {
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

    /// Deploys the stack as `wharf`, on the store beside the nodes.
    pub fn deploy(&self, site: &Site) {
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
    pub fn has_four_tasks(&self) {
        eventually("four tasks of the registry", PATIENCE, || {
            let services = self.leader().args(["service", "ls", "--format"]);
            let services = services.arg("{{.Name}} {{.Replicas}}").ok().stdout;
            services.contains("wharf_registry 4/4").then_some(())
        });
    }

    /// Where each task of the registry is, and in which state.
    pub fn tasks(&self) -> String {
        let tasks = self.leader().args(["service", "ps", "wharf_registry"]);
        let format = ["--format", "{{.Node}} {{.CurrentState}} {{.Error}}"];
        tasks.args(format).ok().stdout
    }

    /// The names of nodes where tasks of the registry run.
    pub fn nodes_with_tasks(&self) -> Vec<String> {
        let tasks = self.tasks();
        let running = tasks
            .lines()
            .filter_map(|line| line.split_once(" Running "));
        let mut nodes: Vec<String> = running.map(|(node, _)| node.to_owned()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// By the tasks' own logs: none answered with a server's error. How many
    /// requests met a task that was stopping is a matter of luck, and said.
    pub fn answered_to_the_end(&self) {
        let (mut all, mut late, mut stopped, mut faults) = (0, 0, 0, Vec::new());
        for log in self.logs() {
            let mut stopping = false;
            for line in log.lines() {
                if line.contains(" stopping: ") {
                    stopping = true;
                    stopped += 1;
                }
                if line.contains(" response completed") && line.contains(" user=") {
                    all += 1;
                    late += usize::from(stopping);
                    faults.extend(line.contains(" status=5").then(|| line.to_owned()));
                }
            }
        }
        say(&format!(
            "swarm: {all} requests, {late} of them answered by {stopped} tasks while they \
             stopped, {} with 5xx",
            faults.len()
        ));
        assert!(faults.is_empty(), "{faults:?}");
        // One at least left the drained node, four were replaced afterwards.
        assert!(stopped >= 5, "{stopped} tasks said that they were stopping");
    }

    /// What every task printed, also those that ended.
    fn logs(&self) -> Vec<String> {
        let label = "label=com.docker.swarm.service.name=wharf_registry";
        let mut logs = Vec::new();
        for node in 1..=3 {
            let list = self
                .nodes
                .docker(node)
                .args(["ps", "-aq", "--filter", label]);
            for id in list.ok().stdout.lines() {
                logs.push(self.nodes.docker(node).args(["logs", id]).ok().stdout);
            }
        }
        logs
    }

    /// Waits until no task runs on this node.
    pub fn has_left(&self, node: &str) {
        eventually("the node's last task", PATIENCE, || {
            (!self.nodes_with_tasks().contains(&node.to_owned())).then_some(())
        });
    }

    /// Sets what the second node is available for.
    pub fn set(&self, availability: &str) {
        let update = self
            .leader()
            .args(["node", "update", "--availability", availability]);
        update.arg("node2").ok();
    }

    /// `service update --force`, and its end.
    pub fn update(&self) {
        let update = self
            .leader()
            .args(["service", "update", "--detach", "--force"]);
        update.args(["-q", "wharf_registry"]).ok();
        eventually("the update's end", PATIENCE, || {
            let inspect = self
                .leader()
                .args(["service", "inspect", "wharf_registry", "-f"]);
            let state = inspect
                .arg("{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}")
                .ok()
                .stdout;
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
