//! Whether one pattern stands for all that another does: inclusion of their
//! languages, within the valid names.
//!
//! Both patterns are automata over bytes. The search walks words that the
//! second takes and that a valid name may begin with, and keeps for each the
//! set of states that the first may be in; a word at whose end the first
//! takes nothing is the proof against. Of two sets at one place only the
//! smaller is followed: what the larger refuses, it refuses too.

use std::collections::BTreeMap;

use super::What;

/// The most places that are looked at before the search gives up. Patterns of
/// a configuration need a few hundred; only many wildcards in one pattern, as
/// in `*a????????????????`, need more.
const MOST: usize = 50_000;

/// Whether `cover` takes every valid name that `other` takes, which takes some.
pub(super) fn covers(what: What, cover: &str, other: &str) -> bool {
    // Most rules of a long list are told apart by how they begin.
    let mut begin = plain(cover).zip(plain(other));
    begin.all(|(one, two)| one == two) && includes(what, cover, other)
}

/// What every name begins with that a pattern takes.
fn plain(pattern: &str) -> impl Iterator<Item = u8> {
    pattern.bytes().take_while(|byte| !b"*?".contains(byte))
}

/// Whether some valid name is taken by `pattern`: that is, whether the pattern
/// that takes nothing fails to include it.
pub(super) fn matches_something(what: What, pattern: &str) -> bool {
    const NOTHING: &str = "//";
    !includes(what, NOTHING, pattern)
}

fn includes(what: What, cover: &str, other: &str) -> bool {
    let (cover, other) = (tokens(what, cover), tokens(what, other));
    let alphabet = alphabet(what, [&cover, &other]);
    let mut seen: BTreeMap<(usize, Name), Vec<Vec<usize>>> = BTreeMap::new();
    let mut waiting = Vec::new();
    let begin = enter(&cover, [0]);
    for state in enter(&other, [0]) {
        waiting.push((state, Name::Start, begin.clone()));
    }
    let mut looked = 0;
    while let Some((state, name, set)) = waiting.pop() {
        let known = seen.entry((state, name)).or_default();
        if known.iter().any(|smaller| within(smaller, &set)) {
            continue;
        }
        known.retain(|larger| !within(&set, larger));
        known.push(set.clone());
        looked += 1;
        if looked > MOST {
            return false;
        }
        let is_name = state == other.len() && name == Name::Word;
        if is_name && !set.contains(&cover.len()) {
            return false;
        }
        for byte in &alphabet {
            let Some(name) = name.after(what, *byte) else {
                continue;
            };
            let next = enter(&other, step(&other, state, *byte));
            if next.is_empty() {
                continue;
            }
            let stepped = set.iter().filter_map(|state| step(&cover, *state, *byte));
            let set = enter(&cover, stepped);
            waiting.extend(next.into_iter().map(|state| (state, name, set.clone())));
        }
    }
    true
}

/// Whether every state of `smaller` is in `larger`; both are in order.
fn within(smaller: &[usize], larger: &[usize]) -> bool {
    smaller
        .iter()
        .all(|state| larger.binary_search(state).is_ok())
}

/// One token of a pattern. State `n` of its automaton stands before token
/// `n`; the state behind the last token takes the word.
#[derive(Clone, Copy)]
enum Token {
    /// This byte.
    Byte(u8),
    /// One byte.
    One,
    /// Any run of bytes without a `/`.
    Run,
    /// Any number of components with their `/`: the place before one of them.
    Components,
    /// Always behind `Components`: the place within one of them.
    Within,
    /// All the rest.
    Rest,
}

fn tokens(what: What, pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern.as_bytes();
    loop {
        let (token, after) = match (what, rest) {
            (_, []) => return tokens,
            (What::Repositories, [b'*', b'*', b'/', after @ ..]) => (Token::Components, after),
            (What::Repositories, [b'*', b'*', after @ ..]) => (Token::Rest, after),
            (_, [b'*', after @ ..]) => (Token::Run, after),
            (What::Tags, [b'?', after @ ..]) => (Token::One, after),
            (_, [byte, after @ ..]) => (Token::Byte(*byte), after),
        };
        tokens.push(token);
        if matches!(token, Token::Components) {
            tokens.push(Token::Within);
        }
        rest = after;
    }
}

/// The states that `states` reach without a byte, themselves included, in
/// order and each once.
fn enter(tokens: &[Token], states: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut entered = Vec::new();
    for mut state in states {
        entered.push(state);
        loop {
            state += match tokens.get(state) {
                Some(Token::Run | Token::Rest) => 1,
                Some(Token::Components) => 2,
                _ => break,
            };
            entered.push(state);
        }
    }
    entered.sort_unstable();
    entered.dedup();
    entered
}

/// The state that `byte` leads to from `state`, if the pattern takes it there.
fn step(tokens: &[Token], state: usize, byte: u8) -> Option<usize> {
    let slash = byte == b'/';
    match tokens.get(state)? {
        Token::Byte(wanted) => (*wanted == byte).then_some(state + 1),
        Token::One => Some(state + 1),
        Token::Run => (!slash).then_some(state),
        Token::Components => (!slash).then_some(state + 1),
        Token::Within if slash => state.checked_sub(1),
        Token::Within | Token::Rest => Some(state),
    }
}

/// The bytes to try: those that either pattern names, those with a part in the
/// grammar of names, and one that stands for all the others.
fn alphabet(what: What, patterns: [&[Token]; 2]) -> Vec<u8> {
    let named = |byte: u8| {
        let mut tokens = patterns.into_iter().flatten();
        tokens.any(|token| matches!(token, Token::Byte(named) if *named == byte))
    };
    let letters = b'0'..=b'z';
    let (kept, others): (Vec<u8>, Vec<u8>) = letters
        .filter(|byte| what.allows(char::from(*byte)) && byte.is_ascii_alphanumeric())
        .partition(|byte| named(*byte));
    let joints = b"._-/".iter().copied();
    kept.into_iter()
        .chain(others.into_iter().take(1))
        .chain(joints)
        .collect()
}

/// Where in the grammar of names a word ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    /// At the start, or behind a `/`.
    Start,
    /// Where a name may end.
    Word,
    /// Behind a `.`, or two `_`.
    Joint,
    /// Behind one `_`.
    Underscore,
    /// Behind a `-`.
    Dash,
}

impl Name {
    /// Where the word ends after `byte`; nothing if no name begins so.
    fn after(self, what: What, byte: u8) -> Option<Self> {
        match (what, self, byte) {
            (_, _, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => Some(Name::Word),
            (What::Tags, _, b'_') | (What::Tags, Name::Word, b'.' | b'-') => Some(Name::Word),
            (What::Tags, ..) => None,
            (What::Repositories, Name::Word, b'/') => Some(Name::Start),
            (What::Repositories, Name::Word, b'.') => Some(Name::Joint),
            (What::Repositories, Name::Word, b'_') => Some(Name::Underscore),
            (What::Repositories, Name::Underscore, b'_') => Some(Name::Joint),
            (What::Repositories, Name::Word | Name::Dash, b'-') => Some(Name::Dash),
            (What::Repositories, ..) => None,
        }
    }
}
