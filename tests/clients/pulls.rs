//! A pull by a real client keeps a tag that retention would remove, and so does
//! a second one, when the client only asks whether it has the image already.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::content::{self, TAG};
use crate::engine::needs;
use crate::matrix::copiers::Skopeo;
use crate::matrix::docker::Docker;
use crate::matrix::site::Site;
use crate::matrix::stores::{Ctr, PODMAN, ctr_needs};
use crate::matrix::{As, Client, Kind, debian_client};
use crate::support::{Registry, run};

const REPOSITORIES: &str = "docker/registry/v2/repositories";
const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn what_docker_pulls_stays() {
    if needs("docker").met() {
        let site = Site::of(rules().address("[::1]:0"), "reg.test");
        stays(&Docker::new(&site), site);
    }
}

#[test]
fn what_podman_pulls_stays() {
    if debian_client("podman").met() {
        stays(&PODMAN, site());
    }
}

#[test]
fn what_skopeo_pulls_stays() {
    if debian_client("skopeo").met() {
        stays(&Skopeo, site());
    }
}

#[test]
fn what_containerd_pulls_stays() {
    if ctr_needs().met() {
        let site = site();
        stays(&Ctr::start(&site), site);
    }
}

fn rules() -> crate::support::Setup {
    Registry::with()
        .section("retention: {rules: [{repositories: '**', keep: {pulledwithin: 30d}}]}")
}

fn site() -> Site {
    Site::of(rules(), "127.0.0.1")
}

fn stays(client: &dyn Client, mut site: Site) {
    let index = content::index(&site.path("index"));
    for (repository, layout) in [("image", site.image()), ("index", index)] {
        site.upload(repository, &layout, TAG);
        let other = site.path(&format!("beside-{repository}"));
        let other = content::artifact(&other, &layout);
        site.upload(repository, &other, "not-pulled");
    }
    let tree = site.registry.data().join(REPOSITORIES);
    age(&tree);
    let ever = ["image", "index"].map(|repository| (repository, TAG));
    assert_eq!(going(&site.registry), 4);
    for time in ["first", "second"] {
        for (repository, kind) in [("image", Kind::Image), ("index", Kind::Index)] {
            client
                .pull(&site, kind, &format!("{repository}:{TAG}"), As::User)
                .ok();
        }
        site.registry.stop();
        assert_eq!(
            going(&site.registry),
            2,
            "{} for the {time} time",
            client.name()
        );
        for (repository, tag) in ever {
            let told = of_tag(&site.registry, repository, tag);
            assert_eq!(told["goes"], json!(false), "{told}");
            // What was written of it is forgotten.
            fs::remove_dir_all(tree.join(repository).join("_pulls")).unwrap();
        }
        site.registry.restart();
    }
}

/// Makes every link look a hundred days old.
fn age(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path);
        } else if path.ends_with("link") {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - DAY * 100).unwrap();
        }
    }
}

fn plan(registry: &Registry) -> Value {
    let program = std::env::var_os("WHARF_TEST_SERVER");
    let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_wharf").into());
    let plan = run(program).dir(registry.dir());
    let plan = plan.args(["retention", "plan", "config.yml", "--json"]);
    serde_json::from_str(&plan.output().stdout).unwrap()
}

fn going(registry: &Registry) -> u64 {
    plan(registry)["tags"].as_u64().unwrap()
}

fn of_tag(registry: &Registry, repository: &str, tag: &str) -> Value {
    let plan = plan(registry);
    let mut repositories = plan["repositories"].as_array().unwrap().iter();
    let found = repositories.find(|one| one["repository"] == repository);
    let mut tags = found.unwrap()["tags"].as_array().unwrap().iter();
    tags.find(|one| one["tag"] == tag).unwrap().clone()
}
