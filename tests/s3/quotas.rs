//! Two replicas of one quota: each knows within half a minute what the other
//! one has taken, and after a restart at once.

use std::time::Duration;

use crate::content::{noise, sha256};
use crate::repo::Repo;
use crate::support::{Registry, S3Engine, eventually};
use crate::wire::Request;

/// What docs/usage.md promises.
const AGREED: Duration = Duration::from_secs(30);

const QUOTA: &str = "quotas:\n  - repositories: team/**\n    size: 1MiB\n";

const MIB: usize = 1024 * 1024;

fn size(replica: &Registry, name: &str) -> Option<u64> {
    let path = format!("/v2/_wharf/usage?repository={name}");
    let told = Request::new(replica.host(), "GET", &path).send();
    told.expect(200).json()["repositories"][0]["size"].as_u64()
}

#[test]
fn replicas_know_what_each_of_them_has_taken() {
    if !S3Engine::needs().met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let mut replicas = [(); 2].map(|()| Registry::with().s3(&bucket).section(QUOTA).start());
    let repos = |replicas: &[Registry; 2]| [0, 1].map(|at| Repo::on(&replicas[at], "team/app"));
    let [first, second] = repos(&replicas);
    first.push(&noise(1, MIB / 2));
    second.push(&noise(2, 1000));
    for replica in &replicas {
        let all = (MIB / 2 + 1000) as u64;
        eventually("what the other one has taken", AGREED, || {
            (size(replica, "team/app")? == all).then_some(())
        });
    }
    let more = noise(3, MIB / 2);
    for repo in [&first, &second] {
        let refused = repo.push_as(&sha256(&more), &more);
        refused.refused(403, "DENIED");
    }
    replicas[1].restart();
    let [_, second] = repos(&replicas);
    second.push_as(&sha256(&more), &more).refused(403, "DENIED");

    // A replica that stops leaves what it knows, and nothing of it counts twice.
    second.push(&noise(4, MIB / 4));
    replicas[1].stop();
    let all = (MIB / 2 + 1000 + MIB / 4) as u64;
    eventually("what it had taken", AGREED, || {
        (size(&replicas[0], "team/app")? == all).then_some(())
    });
}
