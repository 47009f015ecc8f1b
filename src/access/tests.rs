//! Decisions: the first rule that matches, and nothing that none allows.

use super::rules::{Pattern, Rule, Subject};
use super::*;
use crate::auth::caller::{Grant, Identity, Proof, Scope};

fn rule(number: usize, repositories: &[&str], subjects: &[&str], actions: &[Action]) -> Rule {
    Rule {
        place: format!("access.rules[{number}]"),
        line: format!("config.yml:{number}"),
        repositories: repositories
            .iter()
            .map(|text| text.parse().unwrap())
            .collect(),
        subjects: subjects.iter().map(|text| text.parse().unwrap()).collect(),
        actions: actions.iter().copied().collect(),
    }
}

fn access() -> Access {
    use Action::{Create, Delete, Pull, Push};
    let mut groups = Groups::default();
    groups.add("dev", "alice".parse().unwrap());
    Access::new(Settings {
        rules: Some(vec![
            rule(
                0,
                &["team/secret/**"],
                &["group:ops"],
                &[Pull, Push, Delete],
            ),
            rule(1, &["team/secret/**"], &["authenticated", "anonymous"], &[]),
            rule(2, &["team/**"], &["group:dev"], &[Pull, Push]),
            rule(3, &["team/**"], &["ci"], &[Pull, Create]),
            rule(4, &["{user}/**"], &["authenticated"], &[Pull, Push, Delete]),
            rule(5, &["public/**"], &["anonymous", "authenticated"], &[Pull]),
        ]),
        groups,
        group_file: None,
    })
}

fn user(name: &str) -> Caller {
    Caller::known(Identity::User(name.parse().unwrap()), Proof::Nothing)
}

fn may(caller: &Caller, repository: &str) -> String {
    let decision = access().decide(caller, &repository.parse().unwrap());
    decision.actions.to_string()
}

#[test]
fn the_first_rule_that_matches_decides() {
    for (name, repository, actions) in [
        ("alice", "team/app", "pull,push"),
        ("alice", "team/secret/app", ""),
        ("alice", "alice/app", "pull,push,delete"),
        ("alice", "bob/app", ""),
        ("alice", "alice", ""),
        ("alice", "public/app", "pull"),
        ("ci", "team/app", "pull,create"),
        ("bob", "team/app", ""),
        ("bob", "public/app", "pull"),
    ] {
        assert_eq!(may(&user(name), repository), actions, "{name} {repository}");
    }
    assert_eq!(may(&Caller::anonymous(), "public/app"), "pull");
    assert_eq!(may(&Caller::anonymous(), "team/app"), "");
}

#[test]
fn a_user_name_is_no_pattern() {
    // Who may choose their name must not choose their rights with it.
    for name in [
        "*",
        "**",
        "team/secret",
        "a/..",
        "..",
        "{user}",
        "Alice",
        "t*",
    ] {
        assert_eq!(may(&user(name), "team/secret/app"), "", "{name}");
        assert_eq!(may(&user(name), "team/app"), "", "{name}");
    }
}

#[test]
fn without_rules_everybody_may_everything() {
    let decision = Access::default().decide(&Caller::anonymous(), &"a".parse().unwrap());
    assert_eq!(
        (decision.actions, decision.ground),
        (Actions::ALL, Ground::Open)
    );
}

#[test]
fn a_scope_narrows_and_never_widens() {
    let mut alice = user("alice");
    let scoped = |name: &str, actions| (name.parse().unwrap(), actions);
    alice.scope = Some(Scope {
        repositories: vec![
            scoped("team/app", Actions::NONE.with(Action::Pull)),
            scoped("bob/app", Actions::ALL),
        ],
        catalog: false,
    });
    assert_eq!(may(&alice, "team/app"), "pull");
    assert_eq!(may(&alice, "team/app2"), "");
    assert_eq!(may(&alice, "bob/app"), "");
    let denied = access().allows::<Push>(&alice, &"team/app".parse().unwrap());
    assert!(denied.unwrap_err().scope, "another token could");
    let denied = access().allows::<Push>(&alice, &"bob/app".parse().unwrap());
    assert!(!denied.unwrap_err().scope, "no token could");
    assert!(access().lists(&alice).unwrap_err().scope);
}

#[test]
fn a_robot_has_its_own_rights_and_no_others() {
    let mut robot = Caller::known(Identity::Robot("ci".to_owned()), Proof::Nothing);
    assert_eq!(may(&robot, "public/app"), "");
    robot.grants = Some(vec![Grant {
        repositories: "team/**".parse().unwrap(),
        actions: Actions::NONE.with(Action::Push),
    }]);
    assert_eq!(may(&robot, "team/secret/app"), "push");
    assert_eq!(may(&robot, "public/app"), "");
}

#[test]
fn groups_of_the_credential_count_as_the_configurations_do() {
    let mut workload = Caller::known(
        Identity::Workload {
            issuer: "github".to_owned(),
            subject: "repo:acme/app".to_owned(),
        },
        Proof::Nothing,
    );
    assert_eq!(may(&workload, "team/app"), "");
    workload.groups.push("dev".to_owned());
    assert_eq!(may(&workload, "team/app"), "pull,push");
}

#[test]
fn create_is_a_push_that_moves_no_tags() {
    let name = "team/app".parse().unwrap();
    let push = |caller| access().allows::<Push>(&caller, &name).unwrap();
    assert!(push(user("alice")).moves_tags());
    assert!(!push(user("ci")).moves_tags());
}

#[test]
fn lists_show_what_may_be_pulled() {
    let visible = access().lists(&user("alice")).unwrap();
    let seen = [
        "team/app",
        "team/secret/app",
        "bob/app",
        "public/x",
        "alice/x",
    ];
    let seen: Vec<_> = seen
        .into_iter()
        .filter(|name| visible.sees(&name.parse().unwrap()))
        .collect();
    assert_eq!(seen, ["team/app", "public/x", "alice/x"]);
}

#[test]
fn subjects_and_patterns_are_written_as_they_are_read() {
    for text in [
        "alice",
        "group:dev",
        "anonymous",
        "authenticated",
        "user:anonymous",
    ] {
        assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
    }
    for text in ["", "group:", "a:b", "robot:ci", "#a"] {
        assert!(text.parse::<Subject>().is_err(), "{text:?}");
    }
    for text in ["team/**", "{user}/**", "home/{user}", "{user}"] {
        assert_eq!(text.parse::<Pattern>().unwrap().to_string(), text);
    }
    for text in ["", "{users}/**", "x{user}/**", "{user}/***", "{user}//a"] {
        assert!(text.parse::<Pattern>().is_err(), "{text:?}");
    }
}

#[test]
fn spans_and_directories_leave_out_nothing_that_is_seen() {
    let names: Vec<RepositoryName> = [
        "team/app",
        "team/secret/app",
        "team/secret",
        "alice/x/y",
        "alice",
        "public/x",
        "bob/app",
        "publicity/x",
    ]
    .iter()
    .map(|name| name.parse().unwrap())
    .collect();
    let mut robot = Caller::known(Identity::Robot("ci".to_owned()), Proof::Nothing);
    robot.grants = Some(vec![Grant {
        repositories: "team/*".parse().unwrap(),
        actions: Actions::ALL,
    }]);
    for caller in [user("alice"), user("ci"), Caller::anonymous(), robot] {
        let visible = access().lists(&caller).unwrap();
        for name in &names {
            let decided = access().decide(&caller, name).actions.has(Action::Pull);
            assert_eq!(visible.sees(name), decided, "{} {name}", caller.identity);
            let spans = visible.spans();
            let in_spans = spans
                .iter()
                .any(|span| name.as_str().starts_with(span.start()));
            assert!(in_spans || !decided, "{} {name}", caller.identity);
            if let Some((directory, _)) = name.as_str().rsplit_once('/') {
                let below = visible.sees_below(&directory.parse().unwrap());
                assert!(below || !decided, "{} {name}", caller.identity);
            }
        }
    }
    let below = |caller: &Caller, directory: &str| {
        let visible = access().lists(caller).unwrap();
        visible.sees_below(&directory.parse().unwrap())
    };
    assert!(below(&user("alice"), "team") && !below(&user("alice"), "team/secret"));
    assert!(!below(&user("bob"), "team") && !below(&user("bob"), "alice"));
    assert_eq!(
        access().lists(&Caller::anonymous()).unwrap().spans().len(),
        1
    );
}

#[test]
fn a_mount_asks_only_where_the_token_reaches() {
    let mut alice = user("alice");
    alice.scope = Some(Scope {
        repositories: vec![
            (
                "team/app".parse().unwrap(),
                Actions::NONE.with(Action::Pull),
            ),
            (
                "team/out".parse().unwrap(),
                Actions::NONE.with(Action::Push),
            ),
            ("bob/app".parse().unwrap(), Actions::ALL),
        ],
        catalog: false,
    });
    let pulls = access().pulls(&alice);
    assert_eq!(pulls.spans().len(), 2);
    let sees = |name: &str| pulls.sees(&name.parse().unwrap());
    assert!(sees("team/app") && !sees("team/out") && !sees("bob/app"));
}
