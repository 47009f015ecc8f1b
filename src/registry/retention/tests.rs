//! What goes and what stays, as tables: repositories that are made up, by rules.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::json;

use super::decide::Policy;
use super::plan::{Plan, plan};
use super::settings::{Keep, Newest, Order};
use super::steps::{Step, levels};
use super::view::{Relations, Tagged, View, Written};
use crate::oci::{Algorithm, Digest, RepositoryName, Tag};
use crate::registry::{Immutable, ImmutableTags, PullTimes};

const DAY: Duration = Duration::from_secs(86_400);

/// A repository; ages are in days.
#[derive(Debug, Clone, Default)]
struct Made {
    tags: Vec<(String, u8, u32)>,
    /// Which, how old, its children, its subject.
    manifests: Vec<(u8, u32, Vec<u8>, Option<u8>)>,
    /// A tag or the number of a manifest, and how long ago it was pulled.
    pulls: Vec<(String, u32)>,
}

impl Made {
    fn tag(mut self, tag: &str, manifest: u8, age: u32) -> Self {
        self.tags.push((tag.to_owned(), manifest, age));
        self
    }

    fn image(self, manifest: u8, age: u32) -> Self {
        self.manifest(manifest, age, &[], None)
    }

    fn manifest(mut self, manifest: u8, age: u32, children: &[u8], subject: Option<u8>) -> Self {
        self.manifests
            .push((manifest, age, children.to_vec(), subject));
        self
    }

    fn pulled(mut self, what: &str, age: u32) -> Self {
        self.pulls.push((what.to_owned(), age));
        self
    }

    fn view(&self) -> View {
        let mut view = View::default();
        for (manifest, age, children, subject) in &self.manifests {
            let relations = Relations {
                children: children.iter().map(|child| digest(*child)).collect(),
                subject: subject.map(digest),
            };
            view.graph.add(&digest(*manifest), relations);
            let written = Written::once(ago(*age));
            view.manifests.insert(digest(*manifest), written);
        }
        for (tag, manifest, age) in &self.tags {
            let tagged = Tagged {
                digest: digest(*manifest),
                written: Written::once(ago(*age)),
            };
            view.tags.insert(tag.parse().unwrap(), tagged);
        }
        view.graph.name(&view.tags, view.manifests.keys());
        let (mut tags, mut manifests) = (BTreeMap::new(), BTreeMap::new());
        for (what, age) in &self.pulls {
            let seconds = ago(*age).duration_since(SystemTime::UNIX_EPOCH).unwrap();
            match what.parse::<u8>() {
                Ok(manifest) => manifests.insert(digest(manifest).to_string(), seconds.as_secs()),
                Err(_) => tags.insert(what.clone(), seconds.as_secs()),
            };
        }
        let record = json!({"tags": tags, "manifests": manifests});
        view.pulls = PullTimes::read(record.to_string().as_bytes());
        view
    }

    fn plan(&self, rule: &Ruled) -> Plan {
        let policy = Policy {
            repository: &rule.repository,
            keep: rule.keep.as_ref(),
            untagged: rule.untagged,
            immutable: &rule.immutable,
            now: now(),
        };
        plan(&self.view(), &policy, None)
    }

    /// The tags and manifests that go.
    fn going(&self, rule: &Ruled) -> (Vec<String>, Vec<u8>) {
        let plan = self.plan(rule);
        let tags = plan.going().map(|tag| tag.tag.to_string()).collect();
        let number = |wanted: &Digest| (0..=u8::MAX).find(|n| digest(*n) == *wanted).unwrap();
        let manifests = plan.manifests.iter().map(|one| number(&one.digest));
        let manifests: BTreeSet<u8> = manifests.collect();
        (tags, manifests.into_iter().collect())
    }
}

struct Ruled {
    repository: RepositoryName,
    keep: Option<Keep>,
    untagged: Option<Duration>,
    immutable: Immutable,
}

fn keep(keep: Keep) -> Ruled {
    Ruled {
        repository: "team/app".parse().unwrap(),
        keep: Some(keep),
        untagged: None,
        immutable: Immutable::default(),
    }
}

fn newest(count: usize, order: Order) -> Keep {
    Keep {
        newest: Some(Newest { count, order }),
        ..Keep::default()
    }
}

fn matching(patterns: &[&str]) -> Keep {
    Keep {
        tags: patterns.iter().map(|one| one.parse().unwrap()).collect(),
        ..Keep::default()
    }
}

impl Ruled {
    fn untagged(mut self, days: u32) -> Self {
        self.untagged = Some(DAY * days);
        self
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_000
}

fn ago(days: u32) -> SystemTime {
    now() - DAY * days
}

fn digest(number: u8) -> Digest {
    Algorithm::Sha256.digest(&[number])
}

fn attached(number: u8, ending: &str) -> String {
    format!("sha256-{}{ending}", digest(number).hex())
}

fn some_tags() -> Made {
    Made::default()
        .image(1, 1)
        .image(2, 10)
        .image(3, 20)
        .image(4, 40)
        .tag("1.9", 1, 1)
        .tag("latest", 2, 10)
        .tag("1.10", 3, 20)
        .tag("1.10.0-rc1", 4, 40)
}

#[test]
fn tags_stay_for_one_reason_of_several() {
    let within = |pushed: Option<u32>, pulled: Option<u32>| Keep {
        pushed_within: pushed.map(|days| DAY * days),
        pulled_within: pulled.map(|days| DAY * days),
        ..Keep::default()
    };
    let cases: Vec<(&str, Made, Keep, &[&str])> = vec![
        (
            "newest by push",
            some_tags(),
            newest(2, Order::Pushed),
            &["1.10", "1.10.0-rc1"],
        ),
        (
            "newest by version, others behind",
            some_tags(),
            newest(3, Order::Version),
            &["latest"],
        ),
        (
            "one version",
            some_tags(),
            newest(1, Order::Version),
            &["1.10.0-rc1", "1.9", "latest"],
        ),
        (
            "more than there are",
            some_tags(),
            newest(9, Order::Pushed),
            &[],
        ),
        (
            "pushed",
            some_tags(),
            within(Some(20), None),
            &["1.10.0-rc1"],
        ),
        (
            "a tag that was pulled",
            some_tags().pulled("1.10.0-rc1", 3).pulled("1.10", 19),
            within(None, Some(5)),
            &["1.10", "latest"],
        ),
        (
            "pulled by digest",
            some_tags().pulled("4", 3),
            within(None, Some(5)),
            &["1.10", "latest"],
        ),
        (
            "never pulled, but pushed",
            some_tags(),
            within(None, Some(15)),
            &["1.10", "1.10.0-rc1"],
        ),
        (
            "patterns",
            some_tags(),
            matching(&["1.1?", "la*"]),
            &["1.10.0-rc1", "1.9"],
        ),
        (
            "any reason",
            some_tags(),
            Keep {
                pushed_within: Some(DAY * 5),
                ..matching(&["*-rc*"])
            },
            &["1.10", "latest"],
        ),
    ];
    for (what, made, reasons, expected) in cases {
        let rule = keep(reasons);
        let (tags, manifests) = made.going(&rule);
        assert_eq!(tags, expected, "{what}");
        // Each is the only tag of its image.
        assert_eq!(manifests.len(), tags.len(), "{what}");
        let plan = made.plan(&rule);
        assert!(plan.tags.iter().all(|tag| !tag.verdict.why().is_empty()));
    }
}

#[test]
fn a_pull_of_a_child_is_one_of_the_index() {
    let made = Made::default()
        .manifest(1, 90, &[2, 3], None)
        .image(2, 90)
        .image(3, 90)
        .tag("v1", 1, 90)
        .pulled("3", 2);
    let rule = keep(Keep {
        pulled_within: Some(DAY * 30),
        ..Keep::default()
    });
    assert_eq!(made.going(&rule), (vec![], vec![]));
    let plan = made.plan(&rule);
    assert_eq!(plan.tags[0].pulled, Some(ago(2)));
}

#[test]
fn a_pull_of_a_wrong_clock_counts_for_nothing() {
    let mut made = Made::default().image(1, 90).tag("v1", 1, 90);
    let rule = keep(Keep {
        pulled_within: Some(DAY * 30),
        ..Keep::default()
    });
    made.pulls = vec![("v1".to_owned(), 0)];
    assert_eq!(made.going(&rule).0.len(), 0);
    let mut view = made.view();
    let ahead = (now() + DAY * 400).duration_since(SystemTime::UNIX_EPOCH);
    let record = json!({"tags": {"v1": ahead.unwrap().as_secs()}});
    view.pulls = PullTimes::read(record.to_string().as_bytes());
    let policy = Policy {
        repository: &rule.repository,
        keep: rule.keep.as_ref(),
        untagged: None,
        immutable: &rule.immutable,
        now: now(),
    };
    assert_eq!(plan(&view, &policy, None).going().count(), 1);
}

#[test]
fn immutable_tags_stay() {
    let mut rule = keep(newest(1, Order::Pushed));
    rule.immutable.rules.push(ImmutableTags {
        repositories: vec!["team/*".parse().unwrap()],
        tags: vec!["1.1*".parse().unwrap()],
    });
    assert_eq!(
        some_tags().going(&rule),
        (vec!["latest".to_owned()], vec![2])
    );
    let plan = some_tags().plan(&rule);
    assert!(plan.tags[0].verdict.why().contains("immutable"), "{plan:?}");
}

#[test]
fn what_was_pushed_a_moment_ago_stays() {
    let made = Made::default()
        .image(1, 0)
        .image(2, 0)
        .tag("new", 1, 0)
        .tag("other", 2, 0);
    assert_eq!(made.going(&keep(matching(&["x"]))), (vec![], vec![]));
}

#[test]
fn manifests_go_with_their_last_tag_and_take_along_what_nothing_else_needs() {
    let image = |n| Made::default().image(n, 50).tag("old", n, 50);
    let stays = |made: Made, n| made.tag("stays", n, 50);
    let index = || {
        Made::default()
            .manifest(1, 50, &[2, 3], None)
            .image(2, 50)
            .image(3, 50)
            .tag("old", 1, 50)
    };
    let cases: Vec<(&str, Made, &[&str], &[u8])> = vec![
        ("alone", image(1), &["old"], &[1]),
        ("another tag", stays(image(1), 1), &["old"], &[]),
        ("an index", index(), &["old"], &[1, 2, 3]),
        (
            "a child that a tag names",
            stays(index(), 2),
            &["old"],
            &[1, 3],
        ),
        (
            "a child of an index that stays",
            stays(index().manifest(4, 50, &[3], None), 4),
            &["old"],
            &[1, 2],
        ),
        (
            "a child of an index without a tag",
            index().manifest(4, 50, &[3], None),
            &["old"],
            &[1, 2],
        ),
        (
            "a child of an index in an index that stays",
            stays(
                index()
                    .manifest(5, 50, &[4], None)
                    .manifest(4, 50, &[3], None),
                5,
            ),
            &["old"],
            &[1, 2],
        ),
        (
            "what has no tag stays",
            image(1).image(9, 50),
            &["old"],
            &[1],
        ),
        (
            "a signature and that one's own",
            image(1)
                .manifest(7, 1, &[], Some(1))
                .manifest(8, 1, &[], Some(7)),
            &["old"],
            &[1, 7, 8],
        ),
        (
            "signatures of a child",
            index().manifest(7, 1, &[], Some(2)),
            &["old"],
            &[1, 2, 3, 7],
        ),
        (
            "a referrer with a tag that stays",
            stays(image(1).manifest(7, 1, &[], Some(1)), 7),
            &["old"],
            &[1],
        ),
        (
            "a referrer of something that stays",
            stays(image(1).image(2, 50).manifest(7, 90, &[], Some(2)), 2),
            &["old"],
            &[1],
        ),
    ];
    for (what, made, tags, manifests) in cases {
        let going = made.going(&keep(matching(&["stays"])));
        assert_eq!(going.0, tags, "{what}");
        assert_eq!(going.1, manifests, "{what}");
    }
}

#[test]
fn tags_of_a_digest_go_and_stay_with_it() {
    let signed = |tag: &str| {
        Made::default()
            .image(1, 50)
            .tag(tag, 1, 50)
            // The specification's: an index of referrers.
            .manifest(10, 50, &[11], None)
            .image(11, 50)
            .tag(&attached(1, ""), 10, 50)
            // cosign's.
            .image(12, 50)
            .tag(&attached(1, ".sig"), 12, 50)
            // Somebody signed the signature.
            .image(13, 50)
            .tag(&attached(12, ".sig"), 13, 50)
    };
    let rule = keep(newest(1, Order::Pushed));
    assert_eq!(signed("v1").going(&rule), (vec![], vec![]));
    let going = signed("v1").tag("v2", 2, 1).image(2, 1).going(&rule);
    let mut tags = vec![
        attached(1, ""),
        attached(1, ".sig"),
        attached(12, ".sig"),
        "v1".to_owned(),
    ];
    tags.sort();
    assert_eq!(going, (tags, vec![1, 10, 11, 12, 13]));

    // One that a pattern keeps stays, with what it names.
    let going = signed("v1").going(&keep(matching(&["*.sig"])));
    assert_eq!(going.1, [1, 10, 11]);

    // Whose subject never came, or is gone.
    let orphan = Made::default()
        .image(12, 50)
        .tag(&attached(1, ".sig"), 12, 50);
    assert_eq!(orphan.going(&rule), (vec![], vec![]));
    assert_eq!(orphan.going(&rule_of_age(60)), (vec![], vec![]));
    let going = orphan.going(&rule_of_age(40));
    assert_eq!(going, (vec![attached(1, ".sig")], vec![12]));
}

fn rule_of_age(days: u32) -> Ruled {
    keep(newest(1, Order::Pushed)).untagged(days)
}

#[test]
fn manifests_without_a_tag_go_when_they_are_old() {
    let cases: Vec<(&str, Made, &[u8])> = vec![
        ("old", Made::default().image(1, 8), &[1]),
        ("young", Made::default().image(1, 6), &[]),
        ("pulled", Made::default().image(1, 60).pulled("1", 3), &[]),
        ("a tag", Made::default().image(1, 60).tag("v1", 1, 60), &[]),
        (
            "a child of an index with a tag",
            Made::default()
                .image(1, 60)
                .manifest(2, 60, &[1], None)
                .tag("v1", 2, 60),
            &[],
        ),
        (
            "a child of a young index",
            Made::default().image(1, 60).manifest(2, 1, &[1], None),
            &[],
        ),
        (
            "a child of an old index",
            Made::default().image(1, 60).manifest(2, 60, &[1], None),
            &[1, 2],
        ),
        (
            "a young child of an old index",
            Made::default().image(1, 1).manifest(2, 60, &[1], None),
            &[2],
        ),
        (
            "signatures of what stays, at any depth",
            Made::default()
                .image(1, 60)
                .tag("v1", 1, 60)
                .manifest(7, 60, &[], Some(1))
                .manifest(8, 60, &[9], Some(7))
                .image(9, 60),
            &[],
        ),
        (
            "a signature of what isn't there",
            Made::default().manifest(7, 60, &[], Some(1)),
            &[7],
        ),
    ];
    for (what, made, expected) in cases {
        let mut all = keep(matching(&["*"])).untagged(7);
        assert_eq!(made.going(&all), (vec![], expected.to_vec()), "{what}");
        // The same for repositories without a rule.
        all.keep = None;
        assert_eq!(made.going(&all), (vec![], expected.to_vec()), "{what}");
    }
    // The tags of its digest go along.
    let mut rule = keep(Keep::default()).untagged(7);
    rule.keep = None;
    let signed = Made::default()
        .image(1, 60)
        .image(2, 60)
        .tag(&attached(1, ".sig"), 2, 60);
    assert_eq!(signed.going(&rule), (vec![attached(1, ".sig")], vec![1, 2]));
}

#[test]
fn a_push_that_is_under_way_keeps_what_it_needs() {
    let made = Made::default()
        .manifest(1, 50, &[2, 3], None)
        .image(2, 50)
        .image(3, 50)
        .tag("old", 1, 50);
    let mut view = made.view();
    view.pushing.insert(digest(3));
    let rule = keep(matching(&["x"]));
    let policy = Policy {
        repository: &rule.repository,
        keep: rule.keep.as_ref(),
        untagged: None,
        immutable: &rule.immutable,
        now: now(),
    };
    let plan = plan(&view, &policy, None);
    let going: Vec<&Digest> = plan.manifests.iter().map(|one| &one.digest).collect();
    assert!(!going.contains(&&digest(3)), "{going:?}");
    assert_eq!(going.len(), 2);
}

#[test]
fn a_tag_that_names_its_own_subject_does_no_harm() {
    let made = Made::default()
        .image(1, 50)
        .tag("old", 1, 50)
        .tag(&attached(1, ""), 1, 50);
    let rule = keep(matching(&["x"]));
    assert_eq!(made.going(&rule).0, ["old".to_owned(), attached(1, "")]);
    let steps: Vec<Step> = levels(&made.plan(&rule), &made.view().graph).concat();
    assert_eq!(steps.len(), 3);
}

/// Children and subjects have greater numbers: content addresses have no cycles.
fn any_repository() -> impl Strategy<Value = Made> {
    let manifest = (0..6_u32, any::<u16>(), proptest::option::of(0..8_u8));
    let tags = proptest::collection::vec((0..8_u8, 0..6_u32, 0..3_u8), 0..6);
    (proptest::collection::vec(manifest, 8), tags).prop_map(|(manifests, tags)| {
        let mut made = Made::default();
        for (number, (age, children, subject)) in (0..8).zip(manifests) {
            let children: Vec<u8> = (number + 1..8)
                .filter(|child| children >> child & 3 == 0)
                .collect();
            let subject = subject.filter(|subject| *subject > number);
            made = made.manifest(number, age + 1, &children, subject);
        }
        for (at, (manifest, age, kind)) in tags.into_iter().enumerate() {
            let tag = match kind {
                0 => format!("keep{at}"),
                1 => format!("v{at}"),
                _ => attached(u8::try_from(at).unwrap(), ".sig"),
            };
            made = made.tag(&tag, manifest, age + 1);
        }
        made
    })
}

proptest! {
    #[test]
    fn what_stays_is_whole_and_the_order_is_right(
        made in any_repository(),
        untagged in proptest::option::of(1..6_u32),
        count in 1..4_usize,
    ) {
        let mut rule = keep(Keep { newest: Some(Newest { count, order: Order::Pushed }), ..matching(&["keep*"]) });
        rule.untagged = untagged.map(|days| DAY * days);
        let (plan, view) = (made.plan(&rule), made.view());
        let going: BTreeSet<&Digest> = plan.manifests.iter().map(|one| &one.digest).collect();
        let gone_tags: BTreeSet<&Tag> = plan.going().map(|one| &one.tag).collect();
        for (tag, tagged) in &view.tags {
            prop_assert!(gone_tags.contains(tag) || !going.contains(&tagged.digest), "{tag}");
        }
        for digest in view.manifests.keys().filter(|one| !going.contains(one)) {
            for (_, other) in view.graph.bonds(digest) {
                prop_assert!(!going.contains(other), "{digest} stays and needs {other}");
            }
        }
        let order = levels(&plan, &view.graph);
        let mut level_of: BTreeMap<Step, usize> = BTreeMap::new();
        for (at, level) in order.iter().enumerate() {
            for step in level {
                prop_assert!(level_of.insert(step.clone(), at).is_none());
            }
        }
        prop_assert_eq!(level_of.len(), going.len() + gone_tags.len());
        for digest in &going {
            let at = level_of[&Step::Manifest((*digest).clone())];
            for (_, other) in view.graph.bonds(digest) {
                let later = level_of.get(&Step::Manifest(other.clone()));
                // A signature's tag may make a circle.
                prop_assert!(later.is_none_or(|later| *later > at || at == order.len() - 1));
            }
        }
    }
}
