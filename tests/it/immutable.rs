//! Immutable tags, by every route that could move or remove one; and children
//! of indexes that must not be deleted before them.

use std::sync::Barrier;
use std::thread;

use crate::content::{self, IMAGE, INDEX, bytes, sha256};
use crate::repo::Repo;
use crate::support::Registry;
use crate::wire::Answer;

const RULES: &str = "\
immutable:
  - repositories: pinned/open/**
    tags: []
  - repositories: [pinned/**, other]
    tags: [v*, latest]
";

/// What a tag names when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    New,
    /// What the request is about.
    Same,
    /// Another manifest.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    PutTag,
    PutDigest,
    DeleteTag,
    DeleteDigest,
}

/// Every route, on every state of a tag, whether or not the tag is immutable.
#[test]
fn an_immutable_tag_is_neither_moved_nor_removed_by_any_route() {
    use {Route::*, Tag::*};
    let registry = Registry::with().section(RULES).start();
    let cases = [
        (PutTag, New, 201, 201),
        (PutTag, Same, 201, 201),
        (PutTag, Other, 201, 403),
        (PutDigest, New, 201, 201),
        (PutDigest, Same, 201, 201),
        (PutDigest, Other, 201, 403),
        (DeleteTag, New, 404, 404),
        (DeleteTag, Same, 202, 403),
        (DeleteTag, Other, 202, 403),
        (DeleteDigest, New, 202, 202),
        (DeleteDigest, Same, 202, 403),
        (DeleteDigest, Other, 202, 202),
    ];
    for (number, (route, state, movable, immutable)) in cases.into_iter().enumerate() {
        for (tag, name, expected) in [
            ("free", format!("pinned/app{number}"), movable),
            ("v1", format!("pinned/app{number}"), immutable),
            ("latest", format!("pinned/app{number}"), immutable),
            ("v1", format!("pinned/open/app{number}"), movable),
            ("v1", format!("elsewhere/app{number}"), movable),
        ] {
            let repo = Repo::on(&registry, &name);
            let case = format!("{route:?} of {tag}, {state:?}, in {name}");
            let about = repo.image(&format!("about {tag}"));
            let digest = sha256(&about);
            let before = match state {
                New => None,
                Same => Some(repo.tag(tag, &format!("about {tag}"))),
                Other => Some(repo.tag(tag, &format!("other {tag}"))),
            };
            let answer = match route {
                PutTag => repo.put(tag, IMAGE, &about),
                PutDigest => repo.put(&format!("{digest}?tag={tag}"), IMAGE, &about),
                DeleteTag => repo.delete(&format!("manifests/{tag}")),
                DeleteDigest => {
                    if state != Same {
                        repo.put(&digest, IMAGE, &about).expect(201);
                    }
                    repo.delete(&format!("manifests/{digest}"))
                }
            };
            assert_eq!(answer.status, expected, "{case}: {answer}");
            let after = match (expected, route, state) {
                (201, ..) => Some(&digest),
                (202, DeleteTag, _) | (202, DeleteDigest, Same) => None,
                _ => before.as_ref(),
            };
            assert_eq!(named(&repo, tag).as_ref(), after, "{case}");
            if expected == 403 {
                refused(&answer, &name, tag, before.as_ref().unwrap());
            }
        }
    }
}

/// The refusal says which tag and rule it is about.
fn refused(answer: &Answer, name: &str, tag: &str, named: &str) {
    let pattern = if tag == "latest" { "latest" } else { "v*" };
    let json = answer.json();
    assert_eq!(json["errors"][0]["code"], "DENIED", "{answer}");
    assert_eq!(
        json["errors"][0]["message"],
        format!(
            "tag {tag} of {name} is immutable (`{pattern}` in rule 2 of `immutable`) and names {named}, so it can be neither moved nor removed: use another tag, or ask the registry's administrator to change the rule"
        )
    );
}

#[test]
fn a_put_with_several_tags_moves_none_if_one_is_immutable() {
    let registry = Registry::with().section(RULES).start();
    let repo = Repo::on(&registry, "pinned/several");
    let old = repo.tag("free", "old");
    repo.tag("v1", "old");
    let new = repo.image("new");
    let digest = sha256(&new);
    let put = repo.put(&format!("{digest}?tag=free&tag=v1&tag=v2"), IMAGE, &new);
    refused(&put.expect(403), "pinned/several", "v1", &old);
    assert_eq!(named(&repo, "free"), Some(old.clone()));
    assert_eq!(repo.tags(), ["free", "v1"]);
    repo.get(&format!("manifests/{digest}"))
        .refused(404, "MANIFEST_UNKNOWN");

    // One immutable tag keeps the manifest's other tags, too.
    repo.delete(&format!("manifests/{old}")).expect(403);
    assert_eq!(repo.tags(), ["free", "v1"]);
    repo.delete("manifests/free").expect(202);
    assert_eq!(repo.tags(), ["v1"]);
}

#[test]
fn of_many_pushes_of_a_new_immutable_tag_exactly_one_wins() {
    const CLIENTS: usize = 6;
    let registry = Registry::with().section(RULES).start();
    let repo = Repo::on(&registry, "pinned/race");
    let images: Vec<Vec<u8>> = (0..CLIENTS).map(|n| repo.image(&n.to_string())).collect();
    for round in 0..10 {
        let tag = format!("v{round}");
        let together = Barrier::new(CLIENTS);
        let won: Vec<String> = thread::scope(|scope| {
            let clients = images.iter().enumerate().map(|(number, image)| {
                let (repo, tag, together) = (&repo, &tag, &together);
                scope.spawn(move || {
                    let digest = sha256(image);
                    let reference = match number % 2 {
                        0 => tag.clone(),
                        _ => format!("{digest}?tag={tag}"),
                    };
                    together.wait();
                    let answer = repo.put(&reference, IMAGE, image);
                    if answer.status == 201 {
                        return Some(digest);
                    }
                    answer.refused(403, "DENIED");
                    None
                })
            });
            let clients: Vec<_> = clients.collect();
            let ended = clients.into_iter().map(|client| client.join().unwrap());
            ended.flatten().collect()
        });
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        assert_eq!(named(&repo, &tag).as_ref(), won.first());
    }
}

#[test]
fn deletes_take_nothing_of_an_immutable_tag_that_is_being_pushed() {
    let registry = Registry::with().section(RULES).start();
    let repo = Repo::on(&registry, "pinned/deletes");
    let mut acknowledged = 0;
    for round in 0..10 {
        let tag = format!("v{round}");
        let image = repo.image(&tag);
        let digest = sha256(&image);
        repo.put(&digest, IMAGE, &image).expect(201);
        let together = Barrier::new(3);
        let pushed = thread::scope(|scope| {
            let push = scope.spawn(|| {
                together.wait();
                repo.put(&tag, IMAGE, &image).status
            });
            for rest in [format!("manifests/{tag}"), format!("manifests/{digest}")] {
                let (repo, together) = (&repo, &together);
                scope.spawn(move || {
                    together.wait();
                    let answer = repo.delete(&rest);
                    assert!(matches!(answer.status, 202 | 403 | 404), "{answer}");
                });
            }
            push.join().unwrap()
        });
        assert_eq!(pushed, 201, "round {round}");
        acknowledged += 1;
        assert_eq!(named(&repo, &tag), Some(digest), "round {round}");
    }
    assert_eq!(repo.tags().len(), acknowledged);
}

#[test]
fn a_child_is_not_deleted_before_its_index_where_that_is_refused() {
    let registry = Registry::with()
        .env("REGISTRY_STORAGE_DELETE_CHILDREN", "refuse")
        .start();
    let repo = Repo::on(&registry, "parents");
    let child = repo.image("child");
    let child_digest = repo.tag("child", "child");
    let index = bytes(&content::index(&[(IMAGE, &child)]));
    repo.put("index", INDEX, &index).expect(201);
    let outer = bytes(&content::index(&[(INDEX, &index)]));
    repo.put(&sha256(&outer), INDEX, &outer).expect(201);
    let lone = repo.tag("lone", "lone");

    // The tag of a child is no part of the index.
    repo.delete("manifests/child").expect(202);
    let delete = |digest: &str| repo.delete(&format!("manifests/{digest}"));
    let answer = delete(&child_digest).refused(403, "DENIED");
    assert_eq!(
        answer.json()["errors"][0]["message"],
        format!(
            "manifest {child_digest} belongs to the index {}, so it can't be deleted before that (storage.delete.children): delete the index first",
            sha256(&index)
        )
    );
    repo.get(&format!("manifests/{child_digest}")).expect(200);
    delete(&sha256(&index)).refused(403, "DENIED");
    delete(&lone).expect(202);

    // Another repository's index keeps nothing here.
    let beside = repo.beside("beside");
    beside.tag("child", "child");
    beside
        .delete(&format!("manifests/{child_digest}"))
        .expect(202);

    for digest in [&sha256(&outer), &sha256(&index), &child_digest] {
        delete(digest).expect(202);
    }
}

/// The digest that a tag names.
fn named(repo: &Repo, tag: &str) -> Option<String> {
    let answer = repo.get(&format!("manifests/{tag}"));
    match answer.status {
        200 => Some(sha256(&answer.body)),
        _ => {
            answer.refused(404, "MANIFEST_UNKNOWN");
            None
        }
    }
}
