//! The training "Docker registry for Linux", parts 1 to 3, step by step as a
//! reader types it, with our image under the name `registry:2` and nothing
//! else changed but the port (5000 may be taken) and two options of openssl
//! where the training's certificate no longer works anywhere (no
//! subjectAltName).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::engine::{Engine, REGISTRY_IMAGE, Trust, engine, needs};
use crate::support::{Finished, Run, eventually, free_port, run, timed};

/// The static binary that the image is made of, from
/// `WHARF_TEST_STATIC_BINARY`.
fn static_binary() -> Option<PathBuf> {
    let path = std::env::var_os("WHARF_TEST_STATIC_BINARY").map(PathBuf::from)?;
    path.is_file().then_some(path)
}

#[test]
fn the_training_works_with_our_image_in_place_of_registry_2() {
    let binary = static_binary();
    let ready = needs("docker training")
        .program("openssl", "apt install openssl")
        .condition(
            binary.is_some(),
            "WHARF_TEST_STATIC_BINARY names no static binary (.ci/run builds one)",
        )
        .met();
    let (true, Some(binary)) = (ready, binary) else {
        return;
    };
    let room = Room::new();
    room.engine.build_our_image(&binary);
    let config = room.path("docker");
    room.engine.build_hello_world(&config, "hello-world");

    let digest = timed("training, part 1: plain HTTP and a volume", || {
        part_1(&room)
    });
    timed("training, part 2: TLS", || part_2(&room, &digest));
    timed("training, part 3: users", || part_3(&room, &digest));
}

/// Part 1: run, tag, push, remove, pull; the same on a volume.
fn part_1(room: &Room) -> String {
    let host = room.host();
    let registry = room.run_registry(&[]);
    let refused = room.docker(&["pull", &format!("reg.test:{}/hello-world", room.port)]);
    refused.refused("server gave HTTP response to HTTPS client");
    room.docker(&["tag", "hello-world", &room.image()]).ok();
    let pushed = room.docker(&["push", &room.image()]).ok();
    let pushed = pushed.says("Using default tag: latest").says(": Pushed");
    let digest = digest_of(&pushed, "latest: digest: ");
    room.docker(&["rmi", &room.image()]).ok();
    room.docker(&["rmi", "hello-world"]).ok();
    room.pull_newer(&host, &digest);
    room.docker(&["run", "--rm", &room.image()])
        .ok()
        .says("Hello from");
    room.docker(&["kill", "registry"]).ok();
    drop(registry);

    let data = room.path("registry-data");
    fs::create_dir(&data).expect("registry-data");
    let registry = room.run_registry(&[]);
    room.docker(&["push", &room.image()]).ok().says(": Pushed");
    let root = data.join("docker/registry/v2");
    let hex = digest.strip_prefix("sha256:").expect("a SHA-256 digest");
    let blob = root.join("blobs/sha256").join(&hex[..2]).join(hex);
    assert!(blob.join("data").is_file(), "{}/data", blob.display());
    let repository = root.join("repositories/hello-world");
    for part in ["_layers", "_manifests"] {
        assert!(repository.join(part).is_dir(), "{part} on the volume");
    }
    let link = repository.join("_manifests/tags/latest/current/link");
    assert_eq!(fs::read_to_string(link).expect("the tag's link"), digest);
    let catalog = room.get("http", "/v2/_catalog");
    assert_eq!(catalog.text().unwrap().trim(), CATALOG);
    drop(registry);

    let registry = room.run_registry(&[]);
    room.docker(&["rmi", &room.image()]).ok();
    room.pull_newer(&host, &digest);
    drop(registry);
    digest
}

/// Part 2: a certificate by openssl, first exactly as in the training, then
/// with what a verifying client asks for today.
fn part_2(room: &Room, digest: &str) {
    let certs = room.path("certs");
    fs::create_dir(&certs).expect("certs");
    room.openssl("/CN=127.0.0.1", &[]);
    let registry = room.run_registry(&TLS);
    let trust = Trust::of(&room.host(), &certs.join("domain.crt"));
    let push = room.docker(&["push", &room.image()]).ok();
    push.says("Layer already exists");
    room.docker(&["rmi", &room.image()]).ok();
    room.pull_newer(&room.host(), digest);
    let plain = room.get("http", "/v2/");
    assert_eq!(plain.status(), 400, "plain HTTP on the TLS port");
    drop((trust, registry));

    room.openssl(
        "/CN=reg.test",
        &[
            "subjectAltName=DNS:reg.test",
            "basicConstraints=critical,CA:FALSE",
        ],
    );
    let registry = room.run_registry(&TLS);
    let name = room.verified_host();
    let pull = room.docker(&["pull", &format!("{name}/hello-world")]);
    pull.refused("x509: certificate signed by unknown authority");
    let trust = Trust::of(&name, &certs.join("domain.crt"));
    let image = format!("{name}/hello-world");
    room.docker(&["tag", &room.image(), &image]).ok();
    let push = room.docker(&["push", &image]).ok();
    push.says("Layer already exists").says(digest);
    drop((trust, registry));
}

/// Part 3: users by `htpasswd -Bbn`, refusals, login, push, pull, restart.
fn part_3(room: &Room, digest: &str) {
    let auth = room.path("auth");
    fs::create_dir(&auth).expect("auth");
    let htpasswd = room.docker(&[
        "run",
        "--rm",
        "--entrypoint",
        "htpasswd",
        REGISTRY_IMAGE,
        "-Bbn",
        "moby",
        "gordon",
    ]);
    let users = htpasswd.ok().stdout;
    assert!(users.starts_with("moby:$2y$"), "{users:?}");
    fs::write(auth.join("htpasswd"), users).expect("auth/htpasswd");

    let registry = room.run_registry(&[&TLS[..], &AUTH[..]].concat());
    let name = room.verified_host();
    let trust = Trust::of(&name, &room.path("certs/domain.crt"));
    let image = format!("{name}/hello-world");
    room.docker(&["push", &image])
        .refused("no basic auth credentials");
    room.docker(&["pull", &image])
        .refused("no basic auth credentials");
    room.docker(&["pull", &format!("{name}/nosuch")])
        .refused("no basic auth credentials");
    // On 127.0.0.1 the engine tries again without TLS and prints what it got
    // there.
    room.docker(&["pull", &room.image()])
        .refused("docker login");

    for (user, password) in [("moby", "wrong"), ("nobody", "gordon")] {
        room.login(&name, user, password).refused(&format!(
            "login attempt to https://{name}/v2/ failed with status: 401 Unauthorized"
        ));
    }
    let login = room.login(&name, "moby", "gordon").ok();
    login.says("Login Succeeded");
    let saved = fs::read_to_string(room.path("docker/config.json")).expect("config.json");
    assert!(saved.contains("bW9ieTpnb3Jkb24="), "{saved}");
    room.docker(&["push", &image]).ok().says(digest);
    room.docker(&["rmi", &image]).ok();
    room.pull_newer(&name, digest);
    room.docker(&["pull", &image])
        .ok()
        .says("Image is up to date");
    room.docker(&["pull", &format!("{name}/nosuch")])
        .refused("manifest unknown");

    room.docker(&["restart", "registry"]).ok();
    room.wait_until_it_listens(2);
    room.docker(&["rmi", &image]).ok();
    room.pull_newer(&name, digest);
    room.docker(&["run", "--rm", &image])
        .ok()
        .says("Hello from");
    let logout = room.docker(&["logout", &name]).ok();
    logout.says("Removing login credentials");
    room.docker(&["pull", &image])
        .refused("no basic auth credentials");
    drop((trust, registry));
}

/// The reader's working directory and terminal.
struct Room {
    engine: &'static Engine,
    dir: TempDir,
    port: u16,
}

impl Room {
    fn new() -> Room {
        Room {
            engine: engine(),
            dir: tempfile::tempdir().expect("a temporary directory"),
            port: free_port(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The training's `127.0.0.1:5000`.
    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same port under a name whose certificate the engine verifies.
    fn verified_host(&self) -> String {
        format!("reg.test:{}", self.port)
    }

    fn image(&self) -> String {
        format!("{}/hello-world", self.host())
    }

    fn docker(&self, args: &[&str]) -> Run {
        let docker = self.engine.docker(&self.path("docker"));
        docker.args(args).dir(self.dir.path())
    }

    fn login(&self, host: &str, user: &str, password: &str) -> Run {
        self.docker(&["login", host, "-u", user, "--password-stdin"])
            .stdin(format!("{password}\n"))
    }

    /// `docker run -d -p 5000:5000 --name registry ... registry:2`, with the
    /// volumes whose directories are there.
    fn run_registry(&self, env: &[&str]) -> Container<'_> {
        let publish = format!("{}:5000", self.port);
        let mut args = vec!["run", "-d", "-p", &publish, "--name", "registry"];
        args.extend(["--restart", "unless-stopped"]);
        let mounts: Vec<String> = MOUNTS
            .iter()
            .map(|(name, target)| (self.path(name), target))
            .filter(|(path, _)| path.is_dir())
            .map(|(path, target)| format!("{}:{target}", path.display()))
            .collect();
        args.extend(mounts.iter().flat_map(|mount| ["-v", mount]));
        args.extend(env.iter().flat_map(|set| ["-e", set]));
        args.push(REGISTRY_IMAGE);
        self.docker(&args).ok();
        let container = Container(self);
        self.wait_until_it_listens(1);
        container
    }

    fn wait_until_it_listens(&self, starts: usize) {
        eventually(
            "the container's listening line",
            Duration::from_secs(30),
            || {
                let logs = self.docker(&["logs", "registry"]).ok().text();
                (logs.matches("listening on ").count() >= starts).then_some(())
            },
        );
    }

    fn pull_newer(&self, host: &str, digest: &str) -> Finished {
        self.docker(&["pull", &format!("{host}/hello-world")])
            .ok()
            .says("Status: Downloaded newer image for")
            .says(&format!("Digest: {digest}"))
    }

    fn openssl(&self, subject: &str, extensions: &[&str]) {
        let command = run("openssl")
            .args(["req", "-newkey", "rsa:4096", "-nodes", "-sha256"])
            .args(["-keyout", "certs/domain.key", "-x509", "-days", "365"])
            .args(["-out", "certs/domain.crt", "-subj", subject]);
        command
            .args(
                extensions
                    .iter()
                    .flat_map(|extension| ["-addext", extension]),
            )
            .dir(self.dir.path())
            .ok();
    }

    fn get(&self, scheme: &str, path: &str) -> reqwest::blocking::Response {
        let client = reqwest::blocking::Client::builder().no_proxy().build();
        let url = format!("{scheme}://{}{path}", self.host());
        client.unwrap().get(url).send().expect("an answer")
    }
}

/// `docker kill registry; docker rm registry`, when dropped.
struct Container<'a>(&'a Room);

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = self.0.docker(&["logs", "registry"]).output();
            eprintln!("--- the container's log\n{}", logs.text());
        }
        self.0.docker(&["rm", "-f", "registry"]).output();
    }
}

fn digest_of(done: &Finished, before: &str) -> String {
    let text = done.text();
    let (_, after) = text.split_once(before).expect("a digest");
    after.chars().take_while(|c| !c.is_whitespace()).collect()
}

const CATALOG: &str = r#"{"repositories":["hello-world"]}"#;

const MOUNTS: [(&str, &str); 3] = [
    ("registry-data", "/var/lib/registry"),
    ("certs", "/certs"),
    ("auth", "/auth"),
];

const TLS: [&str; 2] = [
    "REGISTRY_HTTP_TLS_CERTIFICATE=/certs/domain.crt",
    "REGISTRY_HTTP_TLS_KEY=/certs/domain.key",
];

const AUTH: [&str; 3] = [
    "REGISTRY_AUTH=htpasswd",
    "REGISTRY_AUTH_HTPASSWD_REALM=Registry Realm",
    "REGISTRY_AUTH_HTPASSWD_PATH=/auth/htpasswd",
];
