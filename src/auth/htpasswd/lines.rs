//! The grammar of a users file: lines `user:hash`, comments, and empty lines
//! (httpd's `htpasswd -n` ends in one). Read by the server and by the editor.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::hash::{Cost, Hash};
use super::notice::{Notice, Problem};
use crate::auth::caller::Stamp;
use crate::auth::user_name::UserName;

/// More problems than these are only counted.
const MAX_NOTICES: usize = 100;

/// One line of a users file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Empty, or a comment.
    Ignored,
    /// A user and the text behind the colon.
    Entry(UserName, &'a str),
    /// Neither.
    Malformed(Problem),
}

/// The users of a file.
#[derive(Debug)]
pub(super) struct Users {
    by_name: HashMap<UserName, Arc<Hash>>,
    unmatchable: Unmatchable,
}

/// What a users file says.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) users: Users,
    pub(super) notices: Vec<Notice>,
    /// There are malformed lines and no entry: this is no users file.
    pub(super) broken: bool,
}

impl<'a> Line<'a> {
    /// Reads a line, with or without its end. As registry:2 does it: white
    /// space around the line is not part of it, the first colon parts.
    pub(super) fn parse(line: &'a [u8]) -> Self {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Self::Ignored;
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return Self::Malformed(Problem::NotText);
        };
        let Some((user, hash)) = text.split_once(':') else {
            return Self::Malformed(Problem::NoColon);
        };
        match user.parse() {
            Ok(user) => Self::Entry(user, hash),
            Err(invalid) => Self::Malformed(Problem::Name(invalid)),
        }
    }
}

/// What editors of Windows start a text with.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file, each with its end.
pub(super) fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    content.split_inclusive(|byte| *byte == b'\n')
}

impl Users {
    /// The hash to verify a login against, and whether the user exists. An
    /// unknown user gets a hash that takes as long and never matches.
    pub(super) fn hash_of(&self, user: &UserName) -> (Arc<Hash>, bool) {
        match self.by_name.get(user) {
            Some(hash) => (Arc::clone(hash), true),
            None => (self.unmatchable.hash_for(user), false),
        }
    }

    /// The version of a user's password; `None` if there is no such user.
    pub(super) fn stamp(&self, user: &UserName) -> Option<Stamp> {
        let hash = Sha256::digest(self.by_name.get(user)?.as_str());
        hash.first_chunk().copied().map(Stamp)
    }

    /// How many users can log in.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// Reads a whole file; `file` is its name in notices.
pub(super) fn parse(file: &Path, content: &[u8]) -> Parsed {
    let mut by_name = HashMap::new();
    let mut first_lines: HashMap<UserName, usize> = HashMap::new();
    let mut problems = Vec::new();
    let mut malformed = false;
    for (number, line) in (1..).zip(lines(content)) {
        match Line::parse(line) {
            Line::Ignored => {}
            Line::Malformed(problem) => {
                malformed = true;
                problems.push((number, problem));
            }
            Line::Entry(user, text) => {
                if let Some(earlier) = first_lines.insert(user.clone(), number) {
                    problems.push((number, Problem::Repeated(user.clone(), earlier)));
                }
                // The last line counts even if its hash is refused: whoever
                // wrote it meant the earlier password to be gone.
                by_name.remove(&user);
                match Hash::parse(text) {
                    Ok(hash) => {
                        by_name.insert(user, Arc::new(hash));
                    }
                    Err(refused) => problems.push((number, Problem::Hash(user, refused))),
                }
            }
        }
    }
    Parsed {
        notices: notices(file, problems, by_name.is_empty()),
        broken: malformed && first_lines.is_empty(),
        users: Users {
            unmatchable: Unmatchable::like(&by_name),
            by_name,
        },
    }
}

fn notices(file: &Path, problems: Vec<(usize, Problem)>, nobody: bool) -> Vec<Notice> {
    let more = problems.len().saturating_sub(MAX_NOTICES);
    let mut notices: Vec<Notice> = problems
        .into_iter()
        .take(MAX_NOTICES)
        .map(|(line, problem)| Notice::Line {
            file: file.to_owned(),
            line,
            problem,
        })
        .collect();
    if more > 0 {
        notices.push(Notice::More {
            file: file.to_owned(),
            count: more,
        });
    }
    if nobody {
        notices.push(Notice::NoUsers {
            file: file.to_owned(),
        });
    }
    notices
}

/// Hashes for users that don't exist: each name has one of a kind and cost that
/// stays the same, and all together they are as frequent as those of the users
/// who do, so that no time tells them apart.
#[derive(Debug)]
struct Unmatchable {
    /// With how many users have this or one before it.
    hashes: Vec<(u64, Arc<Hash>)>,
    users: u64,
    hasher: RandomState,
}

impl Unmatchable {
    fn like(users: &HashMap<UserName, Arc<Hash>>) -> Self {
        let mut counts: BTreeMap<Cost, u64> = BTreeMap::new();
        for hash in users.values() {
            *counts.entry(hash.cost()).or_default() += 1;
        }
        if counts.is_empty() {
            counts.insert(Cost::DEFAULT, 1);
        }
        let mut users = 0;
        let hashes = counts.into_iter().map(|(cost, count)| {
            users += count;
            (users, Arc::new(Hash::unmatchable(cost)))
        });
        Self {
            hashes: hashes.collect(),
            users,
            hasher: RandomState::new(),
        }
    }

    fn hash_for(&self, user: &UserName) -> Arc<Hash> {
        let place = self.hasher.hash_one(user).checked_rem(self.users);
        let place = place.unwrap_or_default();
        let found = self.hashes.iter().find(|(upto, _)| place < *upto);
        let hash = found.map(|(_, hash)| Arc::clone(hash));
        hash.unwrap_or_else(|| Arc::new(Hash::unmatchable(Cost::DEFAULT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BCRYPT: &str = "$2y$04$knGItLJl1vrpsdewkeI3i.hEmAo9ZeRaFNoZEHBb/GpS.xhHRXV8S";
    const APR1: &str = "$apr1$.I5CiQVV$BMFBSmRHRnVdsouAonuIs1";

    fn read(content: &str) -> (Vec<String>, Vec<String>, bool) {
        let parsed = parse(Path::new("f"), content.as_bytes());
        let mut users: Vec<String> = parsed
            .users
            .by_name
            .keys()
            .map(UserName::to_string)
            .collect();
        users.sort();
        let notices = parsed.notices.iter().map(Notice::to_string).collect();
        (users, notices, parsed.broken)
    }

    #[test]
    fn reads_what_apache_writes() {
        // `htpasswd -Bbn moby gordon` ends in an empty line.
        let (users, notices, broken) = read(&format!("moby:{BCRYPT}\n\n"));
        assert_eq!(users, ["moby"]);
        assert_eq!(notices, [""; 0]);
        assert!(!broken);
    }

    #[test]
    fn ignores_comments_blanks_and_line_ends_of_windows() {
        let (users, notices, _) = read(&format!(
            "\u{feff}# who\r\n\r\n  \t\r\n a:{BCRYPT} \r\n#b:{BCRYPT}\r\nc:{BCRYPT}"
        ));
        assert_eq!(users, ["a", "c"]);
        assert_eq!(notices, [""; 0]);
    }

    #[test]
    fn names_every_line_that_lets_nobody_in() {
        let (users, notices, broken) = read(&format!(
            "moby:{BCRYPT}\n# comment\nbob:{APR1}\nhenry:x\nrubbish\n:{BCRYPT}\n"
        ));
        assert_eq!(users, ["moby"]);
        assert!(!broken);
        assert_eq!(
            notices,
            [
                "f:3: user bob: apr1 hash is not accepted; run `wharf user passwd bob --file f`",
                "f:4: user henry: plain text, crypt or an unknown hash is not accepted; run `wharf user passwd henry --file f`",
                "f:5: not of the form `user:hash`; correct or remove the line",
                "f:6: the user name is empty; correct or remove the line",
            ]
        );
    }

    #[test]
    fn the_last_line_of_a_user_counts() {
        let other = Hash::unmatchable(Cost::Bcrypt(5));
        let content = format!("a:{BCRYPT}\na:{}\n", other.as_str());
        let parsed = parse(Path::new("f"), content.as_bytes());
        let name = "a".parse().unwrap();
        assert_eq!(*parsed.users.hash_of(&name).0, other);
        assert_eq!(
            read(&content).1,
            ["f:2: user a: stands on line 1 already; this line counts, remove the other"]
        );
        assert_eq!(read(&format!("a:{BCRYPT}\na:{APR1}\n")).0, [""; 0]);
    }

    #[test]
    fn a_file_without_users_says_so() {
        let nobody = "f: nobody can log in; run `wharf user add NAME --file f`";
        assert_eq!(read(""), (vec![], vec![nobody.to_owned()], false));
        let (_, notices, broken) = read("what is this\n");
        assert_eq!(notices.len(), 2);
        assert!(broken);
    }

    #[test]
    fn bytes_that_are_no_text_are_a_notice() {
        let parsed = parse(Path::new("f"), b"a\xff:x\nb:\xff\n#\xff\n");
        assert_eq!(parsed.notices.len(), 3);
        assert_eq!(parsed.users.len(), 0);
    }

    #[test]
    fn notices_are_bounded() {
        let (_, notices, _) = read(&"x\n".repeat(150));
        assert_eq!(notices.len(), 102);
        assert!(notices.iter().any(|notice| notice.contains("50 more")));
    }

    #[test]
    fn unknown_users_cost_what_users_cost_and_as_often() {
        let costs = |content: &str| {
            let parsed = parse(Path::new("f"), content.as_bytes());
            let mut counts: BTreeMap<Cost, usize> = BTreeMap::new();
            for number in 0..1000 {
                let name = format!("nobody{number}").parse().unwrap();
                let (hash, known) = parsed.users.hash_of(&name);
                assert!(!known);
                assert_eq!(parsed.users.hash_of(&name).0.cost(), hash.cost());
                *counts.entry(hash.cost()).or_default() += 1;
            }
            counts
        };
        let five = Hash::unmatchable(Cost::Bcrypt(5));
        assert_eq!(costs("")[&Cost::DEFAULT], 1000);
        assert_eq!(costs(&format!("a:{BCRYPT}\n"))[&Cost::Bcrypt(4)], 1000);
        let mixed = costs(&format!("a:{BCRYPT}\nb:{}\nc:{BCRYPT}\n", five.as_str()));
        assert!((550..780).contains(&mixed[&Cost::Bcrypt(4)]), "{mixed:?}");
        assert!((220..450).contains(&mixed[&Cost::Bcrypt(5)]), "{mixed:?}");
    }

    proptest! {
        #[test]
        fn arbitrary_files_never_panic(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(Path::new("f"), &content);
        }

        #[test]
        fn every_entry_is_found(names in proptest::collection::btree_set("[a-z0-9._-]{1,12}", 0..8)) {
            let content: String = names.iter().map(|name| format!("{name}:{BCRYPT}\n")).collect();
            prop_assert_eq!(read(&content).0, names.into_iter().collect::<Vec<_>>());
        }
    }
}
