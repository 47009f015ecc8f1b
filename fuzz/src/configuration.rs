//! A configuration: the text of a file and variables of the environment.

use std::path::Path;

use wharf::config::{Config, Origin};

/// The file's text and the variables `NAME=value`, parted by zero bytes.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut parts = text.split('\0');
    let text = parts.next().unwrap_or_default();
    let variables: Vec<(String, String)> = parts
        .filter_map(|part| part.split_once('='))
        // Those name a file to be read.
        .filter(|(name, _)| !name.to_ascii_uppercase().ends_with("_FILE"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let names: Vec<String> = variables.iter().map(|(name, _)| name.clone()).collect();
    // To YAML a carriage return alone is a line's end too.
    let lines = text.matches(['\r', '\n']).count() as u64 + 1;
    let told = match Config::load(Path::new("config.yml"), text, variables.into_iter()) {
        Ok(loaded) => loaded
            .notes
            .into_iter()
            .map(|note| (note.origin, note.text))
            .collect(),
        Err(problems) => {
            assert!(!problems.problems.is_empty());
            problems
                .problems
                .into_iter()
                .map(|problem| (problem.origin, problem.text))
                .chain(
                    problems
                        .notes
                        .into_iter()
                        .map(|note| (note.origin, note.text)),
                )
                .collect::<Vec<_>>()
        }
    };
    for (origin, text) in told {
        assert!(!text.trim().is_empty());
        assert!(!text.contains(char::is_control), "{text:?}");
        match origin {
            Origin::File { name, line, column } => {
                assert_eq!(&*name, "config.yml");
                assert!(line <= lines, "line {line} of {lines}: {text}");
                assert!(line == 0 || column > 0, "{text}");
            }
            Origin::Variable(name) => assert!(names.contains(&name), "{name}: {text}"),
        }
    }
}
