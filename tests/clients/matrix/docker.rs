//! docker: the command line and its engine, under a name that the engine
//! verifies.

use std::fs;
use std::time::Duration;

use base64::Engine as _;

use super::site::Site;
use super::{As, Client, Kind, run_large, run_matrix};
use crate::content::{Layout, layer_files};
use crate::engine::{Engine, Trust, engine, needs};
use crate::support::Run;

#[test]
fn docker_pushes_pulls_and_is_refused() {
    if needs("docker").met() {
        let site = Site::start_verified();
        run_matrix(&Docker::new(&site), &site);
    }
}

#[test]
fn docker_moves_a_layer_of_2_gib() {
    if needs("docker").met() {
        let site = Site::start_verified();
        run_large(&Docker::new(&site), &site);
    }
}

pub struct Docker {
    engine: &'static Engine,
    trust: Trust,
}

impl Docker {
    pub fn new(site: &Site) -> Docker {
        Docker {
            engine: engine(),
            trust: Trust::of(&site.host, &site.authority(As::User).certificate()),
        }
    }

    /// A command of somebody who logged in with what they have. The engine
    /// reads certs.d at each request.
    fn command(&self, site: &Site, who: As) -> Run {
        self.trust.replace(&site.authority(who).certificate());
        let config = site.path(&format!("docker-{who:?}"));
        fs::create_dir_all(&config).expect("a directory");
        let auths = match site.pair(who) {
            None => "{}".to_owned(),
            Some(pair) => {
                let auth = base64::engine::general_purpose::STANDARD.encode(pair);
                format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, site.host)
            }
        };
        fs::write(config.join("config.json"), auths).expect("config.json written");
        self.engine.docker(&config).limit(Duration::from_secs(600))
    }
}

impl Client for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    /// Its command line knows no artifacts, and engine 20.10 no zstd.
    fn carries(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Image | Kind::Index)
    }

    /// Engine 20.10 pushes one platform at a time.
    fn pushes(&self, kind: Kind) -> bool {
        kind != Kind::Index
    }

    fn push(&self, site: &Site, _kind: Kind, layout: &Layout, to: &str, who: As) -> Run {
        let name = site.name(to);
        let import = self.command(site, As::User).arg("import");
        import.arg(&layer_files(layout)[0]).arg(&name).ok();
        self.command(site, who).args(["push", &name])
    }

    fn pull(&self, site: &Site, _kind: Kind, from: &str, who: As) -> Run {
        let command = self.command(site, who);
        command.args(["pull", &site.name(from)])
    }

    fn words(&self, who: As) -> &'static [&'static str] {
        match who {
            As::Stranger => &["x509: certificate signed by unknown authority"],
            As::Nobody => &["no basic auth credentials"],
            _ => &["unauthorized: authentication required", "unauthorized"],
        }
    }

    fn keeps_bytes(&self) -> bool {
        false
    }

    fn pulled(&self, site: &Site, from: &str) -> Option<String> {
        let inspect = self.command(site, As::User).args(["image", "inspect"]);
        let inspect = inspect.args(["--format", "{{index .RepoDigests 0}}"]);
        let known = inspect.arg(site.name(from)).ok().stdout;
        let (_, digest) = known.trim().split_once('@')?;
        Some(digest.to_owned())
    }

    fn forget(&self, site: &Site, image: &str) {
        let remove = self.command(site, As::User).args(["rmi", "-f"]);
        remove.arg(site.name(image)).output();
    }
}
