//! What a configuration's reader is told: notes, problems, and where each of
//! them comes from.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Where a setting was written. Orders as a reader finds things: the file from
/// top to bottom, then the variables by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A place in the configuration file.
    File {
        /// The file's name as it was given.
        name: Arc<str>,
        /// From 1; 0 is the file as a whole.
        line: u64,
        /// From 1, in characters.
        column: u64,
    },
    /// An environment variable.
    Variable(String),
}

/// Something to know that does not keep the registry from starting: a key that
/// is not known or has no effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// What it is about.
    pub origin: Origin,
    /// In words, with the key that it is about.
    pub text: String,
}

/// Something that keeps the registry from starting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What it is about.
    pub origin: Origin,
    /// In words, with what to do now.
    pub text: String,
}

/// Everything that keeps the registry from starting, in the order of the file;
/// one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// Never empty.
    pub problems: Vec<Problem>,
    /// What would have been noted beside.
    pub notes: Vec<Note>,
}

/// Gathers notes and problems while a configuration is read, so that all of
/// them are told at once.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: RefCell<(Vec<Note>, Vec<Problem>)>,
}

impl Report {
    pub(super) fn note(&self, origin: &Origin, text: impl Into<String>) {
        self.findings.borrow_mut().0.push(Note {
            origin: origin.clone(),
            text: one_line(text),
        });
    }

    pub(super) fn problem(&self, origin: &Origin, text: impl Into<String>) {
        self.findings.borrow_mut().1.push(Problem {
            origin: origin.clone(),
            text: one_line(text),
        });
    }

    /// The notes, or the problems if there are any.
    pub(super) fn into_result(self) -> Result<Vec<Note>, Problems> {
        let all = self.into_problems();
        if all.problems.is_empty() {
            Ok(all.notes)
        } else {
            Err(all)
        }
    }

    /// Everything, sorted, each once.
    pub(super) fn into_problems(self) -> Problems {
        let (mut notes, mut problems) = self.findings.into_inner();
        notes.sort();
        notes.dedup();
        problems.sort();
        problems.dedup();
        Problems { problems, notes }
    }
}

/// Values may hold line breaks; what is told of them is one line.
fn one_line(text: impl Into<String>) -> String {
    text.into().replace(char::is_control, " ")
}

impl Origin {
    /// The file as a whole.
    pub(super) fn whole(name: &Arc<str>) -> Self {
        Self::File {
            name: Arc::clone(name),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: 0, .. } => formatter.write_str(name),
            Self::File { name, line, column } => write!(formatter, "{name}:{line}:{column}"),
            Self::Variable(name) => formatter.write_str(name),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.origin, self.text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.origin, self.text)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u64, column: u64) -> Origin {
        Origin::File {
            name: "config.yml".into(),
            line,
            column,
        }
    }

    #[test]
    fn are_told_in_the_order_of_the_file_and_then_of_the_variables() {
        let report = Report::default();
        report.problem(&Origin::Variable("REGISTRY_B".to_owned()), "fifth");
        report.problem(&Origin::Variable("REGISTRY_A".to_owned()), "fourth");
        report.problem(&at(10, 1), "third");
        report.problem(&at(9, 5), "second");
        report.problem(&at(9, 5), "second");
        report.problem(&Origin::whole(&"config.yml".into()), "first");
        assert_eq!(
            report.into_result().unwrap_err().to_string(),
            "config.yml: first\n\
             config.yml:9:5: second\n\
             config.yml:10:1: third\n\
             REGISTRY_A: fourth\n\
             REGISTRY_B: fifth"
        );
    }
}
