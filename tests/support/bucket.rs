//! Where a registry's content lies in an engine: what its configuration says,
//! and what is really there, seen without S3.

use std::path::Path;

use super::S3Engine;

/// Where one registry, or several, keep their content: everything that the
/// `storage.s3` section says.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// `http://HOST:PORT`; a proxy's, where a test puts one in between.
    pub endpoint: String,
    /// The bucket's name.
    pub name: String,
    /// `rootdirectory`, beginning with a slash.
    pub root: String,
    /// `accesskey`
    pub access_key: String,
    /// `secretkey`
    pub secret_key: String,
    /// `redirectendpoint`, where clients reach the store elsewhere.
    pub redirect_endpoint: Option<String>,
    /// The engine's own view of what lies there, without S3.
    pub(super) filer: String,
}

impl Bucket {
    /// The same root directory for whoever is given the same volume.
    pub fn for_volume(data: &Path) -> Bucket {
        S3Engine::shared().bucket_at(&data.display().to_string())
    }

    /// The lines of the `storage` section, indented by two.
    pub fn yaml(&self) -> String {
        let redirect = self.redirect_endpoint.iter();
        let redirect = redirect.map(|endpoint| format!("    redirectendpoint: {endpoint}\n"));
        let redirect: String = redirect.collect();
        format!(
            "  s3:\n    region: us-east-1\n    regionendpoint: {}\n    forcepathstyle: true\n    \
             secure: false\n    v4auth: true\n    bucket: {}\n    rootdirectory: {}\n    \
             accesskey: {}\n    secretkey: {}\n{redirect}",
            self.endpoint, self.name, self.root, self.access_key, self.secret_key
        )
    }

    /// All objects below the root directory, by their keys from there, with
    /// their sizes. What uploads left unfinished is none.
    pub fn objects(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        self.walk("", &mut found);
        found.sort();
        found
    }

    /// Removes everything below a key, behind the registry's back.
    pub fn remove(&self, key: &str) {
        let url = format!("{}/{key}?recursive=true", self.filer);
        let answer = reqwest::blocking::Client::new().delete(url).send();
        let status = answer.expect("an answer of the engine").status();
        assert!(status.is_success(), "{status}");
    }

    /// Replaces an object, behind the registry's back.
    pub fn replace(&self, key: &str, content: &[u8]) {
        let url = format!("{}/{key}", self.filer);
        let put = reqwest::blocking::Client::new().put(url);
        let answer = put.body(content.to_vec()).send();
        let status = answer.expect("an answer of the engine").status();
        assert!(status.is_success(), "{status}");
    }

    fn walk(&self, below: &str, found: &mut Vec<(String, u64)>) {
        let mut last = String::new();
        loop {
            let url = format!("{}/{below}?limit=1000&lastFileName={last}", self.filer);
            let client = reqwest::blocking::Client::builder().no_proxy().build();
            let request = client.expect("an HTTP client").get(url);
            let answer = request.header("accept", "application/json").send();
            let answer = answer.expect("an answer of the engine");
            if answer.status() == 404 {
                return;
            }
            let text = answer.text().expect("text");
            let page: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            for entry in page["Entries"].as_array().into_iter().flatten() {
                let path = entry["FullPath"].as_str().expect("a path");
                let name = path.rsplit('/').next().expect("a name");
                let key = format!("{below}{name}");
                // The mode's highest bit says directory, as Go has it.
                if entry["Mode"].as_u64().is_some_and(|mode| mode >> 31 == 1) {
                    self.walk(&format!("{key}/"), found);
                } else {
                    found.push((key, entry["FileSize"].as_u64().unwrap_or(0)));
                }
            }
            if page["ShouldDisplayLoadMore"] != true {
                return;
            }
            last = page["LastFileName"].as_str().expect("a name").to_owned();
        }
    }
}
