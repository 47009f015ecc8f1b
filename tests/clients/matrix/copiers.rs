//! skopeo, crane, regctl and oras: clients that copy between a registry and a
//! layout and change nothing on the way.

use super::site::Site;
use super::{As, Client, Kind, debian_client, go_client, run_large, run_matrix};
use crate::content::{Layout, TAG, digest_in};
use crate::support::{Run, run};

#[test]
fn skopeo_pushes_pulls_and_is_refused() {
    if debian_client("skopeo").met() {
        run_matrix(&Skopeo, &Site::start());
    }
}

#[test]
fn skopeo_moves_a_layer_of_2_gib() {
    if debian_client("skopeo").met() {
        run_large(&Skopeo, &Site::start());
    }
}

#[test]
fn skopeo_compresses_to_zstd_on_the_way() {
    if !debian_client("skopeo").met() {
        return;
    }
    let site = Site::start();
    let layout = site.image();
    Skopeo
        .copy(&site, As::User, "dest")
        .args(["--dest-compress-format", "zstd", "--format", "oci"])
        .arg(format!("oci:{}:{TAG}", layout.dir.display()))
        .arg(format!("docker://{}", site.name("skopeo/compressed:v1")))
        .ok();
    let digest = site.verify("skopeo/compressed", TAG);
    assert_ne!(digest, layout.digest);
    Skopeo
        .pull(&site, Kind::Zstd, "skopeo/compressed:v1", As::User)
        .ok();
}

#[test]
fn crane_pushes_pulls_and_is_refused() {
    if go_client("crane").met() {
        run_matrix(&Crane, &Site::start());
    }
}

#[test]
fn crane_moves_a_layer_of_2_gib() {
    if go_client("crane").met() {
        run_large(&Crane, &Site::start());
    }
}

#[test]
fn regctl_pushes_pulls_and_is_refused() {
    if go_client("regctl").met() {
        run_matrix(&Regctl, &Site::start());
    }
}

#[test]
fn regctl_moves_a_layer_of_2_gib() {
    if go_client("regctl").met() {
        run_large(&Regctl, &Site::start());
    }
}

#[test]
fn oras_pushes_pulls_and_is_refused() {
    if go_client("oras").met() {
        run_matrix(&Oras, &Site::start());
    }
}

#[test]
fn oras_moves_a_layer_of_2_gib() {
    if go_client("oras").met() {
        run_large(&Oras, &Site::start());
    }
}

pub struct Skopeo;

impl Skopeo {
    fn copy(&self, site: &Site, who: As, end: &str) -> Run {
        let copy = site.no_logins(run("skopeo")).arg("copy");
        let copy = copy
            .arg(format!("--{end}-cert-dir"))
            .arg(site.authority(who).dir());
        match site.pair(who) {
            Some(pair) => copy.arg(format!("--{end}-creds")).arg(pair),
            None => copy.arg(format!("--{end}-no-creds")),
        }
    }
}

impl Client for Skopeo {
    fn name(&self) -> &'static str {
        "skopeo"
    }

    fn carries(&self, _kind: Kind) -> bool {
        true
    }

    fn push(&self, site: &Site, _kind: Kind, layout: &Layout, to: &str, who: As) -> Run {
        self.copy(site, who, "dest")
            .args(["--all", "--preserve-digests"])
            .arg(format!("oci:{}:{TAG}", layout.dir.display()))
            .arg(format!("docker://{}", site.name(to)))
    }

    fn pull(&self, site: &Site, _kind: Kind, from: &str, who: As) -> Run {
        let out = site.emptied("pulled");
        self.copy(site, who, "src")
            .args(["--all", "--preserve-digests"])
            .arg(format!("docker://{}", site.name(from)))
            .arg(format!("oci:{}:{TAG}", out.display()))
    }

    fn words(&self, who: As) -> &'static [&'static str] {
        match who {
            As::Stranger => &["certificate signed by unknown authority"],
            _ => &["unauthorized: authentication required", "unauthorized"],
        }
    }

    fn keeps_bytes(&self) -> bool {
        true
    }

    fn pulled(&self, site: &Site, _from: &str) -> Option<String> {
        Some(digest_in(&site.path("pulled")))
    }
}

struct Crane;

impl Crane {
    /// crane takes its password from Docker's configuration only.
    fn command(&self, site: &Site, who: As) -> Run {
        let config = site.path(&format!("crane-{who:?}"));
        if let Some((user, password)) = site.credentials(who) {
            run("crane")
                .args(["auth", "login", &site.host, "-u", user, "-p"])
                .arg(password)
                .env("DOCKER_CONFIG", &config)
                .ok();
        }
        site.go_trust(run("crane"), who)
            .env("DOCKER_CONFIG", config)
    }
}

impl Client for Crane {
    fn name(&self) -> &'static str {
        "crane"
    }

    fn carries(&self, _kind: Kind) -> bool {
        true
    }

    fn push(&self, site: &Site, _kind: Kind, layout: &Layout, to: &str, who: As) -> Run {
        let command = self.command(site, who).arg("push");
        command.arg(&layout.dir).arg(site.name(to))
    }

    fn pull(&self, site: &Site, _kind: Kind, from: &str, who: As) -> Run {
        let out = site.emptied("pulled");
        let command = self.command(site, who).args(["pull", "--format", "oci"]);
        command.arg(site.name(from)).arg(out)
    }

    fn words(&self, who: As) -> &'static [&'static str] {
        match who {
            As::Stranger => &["certificate signed by unknown authority"],
            _ => &["401 Unauthorized", "UNAUTHORIZED"],
        }
    }

    fn keeps_bytes(&self) -> bool {
        true
    }

    fn pulled(&self, site: &Site, _from: &str) -> Option<String> {
        Some(digest_in(&site.path("pulled")))
    }
}

struct Regctl;

impl Regctl {
    fn command(&self, site: &Site, who: As) -> Run {
        let mut host = format!("reg={},tls=enabled", &site.host);
        if let Some((user, password)) = site.credentials(who) {
            host += &format!(",user={user},pass={password}");
        }
        site.go_trust(run("regctl"), who)
            .env("REGCTL_CONFIG", site.path("regctl.json"))
            .args(["--host", &host])
    }
}

impl Client for Regctl {
    fn name(&self) -> &'static str {
        "regctl"
    }

    fn carries(&self, _kind: Kind) -> bool {
        true
    }

    fn push(&self, site: &Site, _kind: Kind, layout: &Layout, to: &str, who: As) -> Run {
        let command = self.command(site, who).args(["image", "copy"]);
        let from = format!("ocidir://{}:{TAG}", layout.dir.display());
        command.arg(from).arg(site.name(to))
    }

    fn pull(&self, site: &Site, _kind: Kind, from: &str, who: As) -> Run {
        let out = site.emptied("pulled");
        let command = self.command(site, who).args(["image", "copy"]);
        let to = format!("ocidir://{}:{TAG}", out.display());
        command.arg(site.name(from)).arg(to)
    }

    fn words(&self, who: As) -> &'static [&'static str] {
        match who {
            As::Stranger => &["certificate signed by unknown authority"],
            _ => &["unauthorized"],
        }
    }

    fn keeps_bytes(&self) -> bool {
        true
    }

    fn pulled(&self, site: &Site, _from: &str) -> Option<String> {
        Some(digest_in(&site.path("pulled")))
    }

    fn referrers(&self, site: &Site, image: &str) -> Option<Run> {
        let command = self.command(site, As::User).args(["artifact", "list"]);
        Some(command.arg(site.name(image)))
    }
}

struct Oras;

impl Oras {
    /// `end` is `--to`, `--from`, or `-` where a command knows one registry.
    fn command(&self, site: &Site, who: As, verb: &str, end: &str) -> Run {
        let command = site
            .go_trust(run("oras"), As::User)
            .arg(verb)
            .args([format!("{end}-ca-file"), site.ca(who)]);
        match site.credentials(who) {
            None => command,
            Some((user, password)) => command
                .args([format!("{end}-username"), user.to_owned()])
                .args([format!("{end}-password"), password.to_owned()]),
        }
    }
}

impl Client for Oras {
    fn name(&self) -> &'static str {
        "oras"
    }

    fn carries(&self, _kind: Kind) -> bool {
        true
    }

    fn push(&self, site: &Site, _kind: Kind, layout: &Layout, to: &str, who: As) -> Run {
        let command = self.command(site, who, "cp", "--to");
        let from = format!("{}:{TAG}", layout.dir.display());
        command
            .args(["--from-oci-layout", &from])
            .arg(site.name(to))
    }

    fn pull(&self, site: &Site, _kind: Kind, from: &str, who: As) -> Run {
        let out = site.emptied("pulled");
        let command = self.command(site, who, "cp", "--from");
        let to = format!("{}:{TAG}", out.display());
        command.arg("--to-oci-layout").arg(site.name(from)).arg(to)
    }

    fn words(&self, who: As) -> &'static [&'static str] {
        match who {
            As::Stranger => &["certificate signed by unknown authority"],
            As::Nobody => &["basic credential not found", "unauthorized"],
            _ => &["unauthorized"],
        }
    }

    fn keeps_bytes(&self) -> bool {
        true
    }

    fn pulled(&self, site: &Site, _from: &str) -> Option<String> {
        Some(digest_in(&site.path("pulled")))
    }

    fn referrers(&self, site: &Site, image: &str) -> Option<Run> {
        let command = self.command(site, As::User, "discover", "-");
        Some(command.args(["--format", "json"]).arg(site.name(image)))
    }
}
