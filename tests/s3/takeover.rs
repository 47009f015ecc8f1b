//! A bucket that registry:2 wrote: it has no lists of referrers, but indexes
//! under `sha256-…` tags that clients kept (`it::fallback` is about a volume).

use serde_json::json;

use crate::content::{self, IMAGE, INDEX, bytes, sha256};
use crate::referrers::{digests, listed, refer};
use crate::repo::Repo;
use crate::support::{Needs, Program, Registry, S3Engine};

#[test]
fn what_clients_listed_under_a_tag_in_registry_2_is_merged_with_what_comes_later() {
    let needs = Needs::of("docker-registry");
    let needs = needs.program("docker-registry", "apt install docker-registry");
    if !S3Engine::needs().met() || !needs.met() {
        return;
    }
    let bucket = S3Engine::shared().bucket();
    let reference = Registry::with()
        .program(Program::Distribution)
        .s3(&bucket)
        .start();
    let before = Repo::on(&reference, "old/bucket");
    let manifest = before.image("the subject");
    let subject = sha256(&manifest);
    before.put(&subject, IMAGE, &manifest).expect(201);
    let mut document = content::image(&[]);
    document["subject"] = content::descriptor(IMAGE, &manifest);
    let old = bytes(&document);
    before.put(&sha256(&old), IMAGE, &old).expect(201);
    let index = bytes(&content::index(&[(IMAGE, &old)]));
    let tag = subject.replace(':', "-");
    before.put(&tag, INDEX, &index).expect(201);
    drop(reference);

    let registry = Registry::with().s3(&bucket).start();
    let repo = Repo::on(&registry, "old/bucket");
    let list = || listed(&repo.get(&format!("referrers/{subject}")).expect(200));
    assert_eq!(digests(&list()), [sha256(&old)]);
    let mut document = content::image(&[]);
    document["annotations"] = json!({"pushed": "later"});
    let new = refer(&repo, IMAGE, document, &subject);
    let mut both = [sha256(&old), sha256(&new)];
    both.sort();
    assert_eq!(digests(&list()), both);
}
