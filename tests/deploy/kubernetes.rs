//! deploy/kubernetes and the counter's manifests, without a cluster: rendered by
//! kustomize, held to the API's schemas, and to what their parts promise each
//! other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::site::shipped;
use crate::support::{Finished, Needs, run};

/// The oldest version of the API that the manifests are for, and a newer one.
const VERSIONS: [&str; 2] = ["1.27", "1.34"];

fn needs() -> bool {
    Needs::of("kubernetes")
        .program("kustomize", "go install, see .ci/run")
        .program("kubernetes-validate", "pip install kubernetes-validate")
        .met()
}

#[test]
fn every_manifest_fits_the_schemas() {
    if !needs() {
        return;
    }
    let manifests = Manifests::new();
    for directory in ["kubernetes/s3", "kubernetes/volume", "counter/kubernetes"] {
        let rendered = manifests.render(directory);
        for version in VERSIONS {
            let done = validate(&rendered, version);
            assert!(done.success(), "{directory}: {done}");
        }
    }
    // The schemas are looked at, and what they don't know is refused.
    let wrong = manifests
        .render("kubernetes/s3")
        .replace("replicas: 4", "replicas: four");
    validate(&wrong, VERSIONS[0]).says("spec.replicas");
    let unknown = manifests
        .render("kubernetes/s3")
        .replace("replicas: 4", "replica: 4");
    validate(&unknown, VERSIONS[0]).says("replica");
}

#[test]
fn the_pods_configurations_are_accepted_and_end_in_time() {
    if !needs() {
        return;
    }
    let manifests = Manifests::new();
    for directory in ["kubernetes/s3", "kubernetes/volume"] {
        let objects = manifests.objects(directory);
        let config = text(&of_kind(&objects, "ConfigMap")["data"]["config.yml"]);
        let file = manifests.dir.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let pod = &of_kind(&objects, "Deployment")["spec"]["template"]["spec"];
        let mut check = run(env!("CARGO_BIN_EXE_wharf"))
            .args(["config", "check"])
            .arg(&file);
        for variable in pod["containers"][0]["env"].as_array().into_iter().flatten() {
            let at_home = format!(
                "{}/",
                manifests
                    .dir
                    .path()
                    .join(directory)
                    .join("secrets")
                    .display()
            );
            let value = text(&variable["value"]).replace("/etc/wharf/s3/", &at_home);
            check = check.env(text(&variable["name"]), value);
        }
        let done = check.ok();
        assert!(!done.text().contains("ignored"), "{done}");

        let config: Value = serde_saphyr::from_str(config).unwrap();
        let pause = config["http"].get("drainpause").map_or(0, seconds);
        let drain = seconds(&config["http"]["draintimeout"]);
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(
            pause + drain < grace,
            "{pause} s + {drain} s against {grace} s"
        );
    }
}

#[test]
fn every_pod_is_restricted_and_limited() {
    if !needs() {
        return;
    }
    let manifests = Manifests::new();
    for directory in ["kubernetes/s3", "kubernetes/volume", "counter/kubernetes"] {
        let objects = manifests.objects(directory);
        for deployment in objects
            .iter()
            .filter(|object| object["kind"] == "Deployment")
        {
            let pod = &deployment["spec"]["template"]["spec"];
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{pod}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"],
                "RuntimeDefault"
            );
            assert_eq!(pod["automountServiceAccountToken"], false, "{pod}");
            let container = &pod["containers"][0];
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{pod}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{pod}");
            assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
            assert!(container["resources"]["limits"]["cpu"].is_string(), "{pod}");
            assert!(
                container["resources"]["limits"]["memory"].is_string(),
                "{pod}"
            );
            assert!(container["readinessProbe"].is_object(), "{pod}");
            assert!(container["livenessProbe"].is_object(), "{pod}");
        }
    }
    let counter = manifests.objects("counter/kubernetes");
    let counter = of_kind(&counter, "Deployment");
    let pull = &counter["spec"]["template"]["spec"]["imagePullSecrets"];
    assert_eq!(pull, &serde_json::json!([{"name": "wharf-login"}]));
}

/// A copy of deploy/ with the secrets that the README has people make.
struct Manifests {
    dir: TempDir,
}

impl Manifests {
    fn new() -> Manifests {
        let dir = TempDir::with_prefix("wharf-manifests-").unwrap();
        for part in ["kubernetes", "counter"] {
            copy(&shipped(part), &dir.path().join(part));
        }
        for (directory, files) in [
            (
                "s3",
                ["htpasswd", "tls.crt", "tls.key", "accesskey", "secretkey"].as_slice(),
            ),
            ("volume", &["htpasswd", "tls.crt", "tls.key"]),
        ] {
            let secrets = dir
                .path()
                .join("kubernetes")
                .join(directory)
                .join("secrets");
            fs::create_dir(&secrets).unwrap();
            for file in files {
                fs::write(secrets.join(file), "secret").unwrap();
            }
        }
        Manifests { dir }
    }

    fn render(&self, directory: &str) -> String {
        let build = run("kustomize").arg("build");
        build.arg(self.dir.path().join(directory)).ok().stdout
    }

    fn objects(&self, directory: &str) -> Vec<Value> {
        serde_saphyr::from_multiple(&self.render(directory)).unwrap()
    }
}

fn validate(rendered: &str, version: &str) -> Finished {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rendered.yml");
    fs::write(&file, rendered).unwrap();
    let validate = run("kubernetes-validate").args(["--strict", "-k", version]);
    validate.arg(file).output()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}"))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn seconds(value: &Value) -> u64 {
    let number = text(value)
        .strip_suffix('s')
        .and_then(|number| number.parse().ok());
    number.expect("seconds")
}

fn copy(from: &Path, to: &PathBuf) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            // Somebody's own secrets are not for a test.
            if entry.file_name() != "secrets" {
                copy(&entry.path(), &target);
            }
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
