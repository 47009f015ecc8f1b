//! No line of the specification's checklist is without a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many lines the checklist has.
const LINES: u32 = 113;

#[test]
fn every_line_of_the_checklist_is_covered() {
    let listed = listed();
    assert_eq!(listed, (1..=LINES).collect(), "the lines of checklist.md");
    let proved = proved();
    let missing: Vec<&u32> = listed.iter().filter(|n| !proved.contains_key(n)).collect();
    assert!(missing.is_empty(), "lines without a test: {missing:?}");
    let unknown: Vec<_> = proved.iter().filter(|(n, _)| !listed.contains(n)).collect();
    assert!(
        unknown.is_empty(),
        "tests of lines that are none: {unknown:?}"
    );
}

/// The numbers in the first column of the checklist's tables.
fn listed() -> BTreeSet<u32> {
    let numbers = include_str!("checklist.md").lines().filter_map(|line| {
        let cell = line.strip_prefix("| ")?.split(' ').next()?;
        cell.parse().ok()
    });
    numbers.collect()
}

/// Each number that a test names, with the tests that do.
fn proved() -> BTreeMap<u32, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut proved: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(numbers) = line.strip_prefix("// spec: ") else {
                continue;
            };
            let place = format!("{}:{}", path.display(), at + 1);
            // A number counts only above a test that runs.
            assert_eq!(lines.get(at + 1), Some(&"#[test]"), "{place}");
            let test = lines.get(at + 2).and_then(|line| line.strip_prefix("fn "));
            let test = test.unwrap_or_else(|| panic!("no test at {place}"));
            for number in numbers.split(", ") {
                let number = number.parse();
                let number = number.unwrap_or_else(|error| panic!("{place}: {error}"));
                let test = test.trim_end_matches("() {").to_owned();
                proved.entry(number).or_default().push(test);
            }
        }
    }
    proved
}
