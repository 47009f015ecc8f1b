//! What `wharf token` says: tables for people, JSON for programs, and a secret
//! that alone stands on standard output.

use std::io::{self, Write as _};
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::auth::robots::book::Entry;
use crate::auth::robots::{Robot, RobotName, Secret};

/// A robot that was just made.
pub(super) fn made(name: &RobotName, robot: &Robot, secret: &Secret, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let mut told = as_json(name, Some(robot), None);
        if let Some(fields) = told.as_object_mut() {
            fields.insert("secret".to_owned(), secret.reveal().into());
        }
        return writeln!(out, "{told}");
    }
    eprintln!("made the robot {name}: {}", rights(robot));
    eprintln!("it expires: {}", end(robot));
    eprintln!("log in with: docker login -u {name} --password-stdin HOST");
    eprintln!("its secret, which is shown this once:");
    writeln!(out, "{}", secret.reveal())
}

/// All robots.
pub(super) fn all(entries: &[Entry], json: bool) -> io::Result<()> {
    let text = match json {
        true => {
            let robots = entries.iter().map(entry_as_json);
            format!("{}\n", json!({"robots": robots.collect::<Vec<_>>()}))
        }
        false => table(entries),
    };
    io::stdout().lock().write_all(text.as_bytes())
}

/// One robot.
pub(super) fn one(entry: &Entry, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(out, "{}", entry_as_json(entry));
    }
    writeln!(out, "name:     {}", entry.name)?;
    match &entry.robot {
        Some(robot) => {
            for grant in &robot.grants {
                writeln!(out, "allowed:  {grant}")?;
            }
            writeln!(out, "made:     {}", robot.made)?;
            writeln!(out, "expires:  {}", end(robot))?;
        }
        None => writeln!(out, "{UNREADABLE}")?,
    }
    writeln!(out, "used:     {}", time(entry.used))
}

const UNREADABLE: &str = "its record can't be read, so it can't log in: revoke it";

fn table(entries: &[Entry]) -> String {
    let mut rows = vec![["NAME", "EXPIRES", "LAST USED", "MADE", "ALLOWED"].map(str::to_owned)];
    rows.extend(entries.iter().map(|entry| {
        let robot = entry.robot.as_ref();
        [
            entry.name.to_string(),
            robot.map_or_else(|| "-".to_owned(), end),
            time(entry.used),
            time(robot.map(|robot| robot.made)),
            robot.map_or_else(|| UNREADABLE.to_owned(), rights),
        ]
    }));
    let mut wide = [0; 5];
    for row in &rows {
        for (wide, cell) in wide.iter_mut().zip(row) {
            *wide = cell.len().max(*wide);
        }
    }
    let line = |row: &[String; 5]| {
        let cells = row
            .iter()
            .zip(wide)
            .map(|(cell, wide)| format!("{cell:wide$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn rights(robot: &Robot) -> String {
    let grants = robot.grants.iter().map(ToString::to_string);
    grants.collect::<Vec<_>>().join("; ")
}

fn end(robot: &Robot) -> String {
    match robot.expires {
        None => "never".to_owned(),
        Some(end) if robot.is_expired(SystemTime::now()) => format!("{end} (over)"),
        Some(end) => end.to_string(),
    }
}

/// To the second.
fn time(time: Option<Timestamp>) -> String {
    let whole = time.and_then(|time| Timestamp::from_second(time.as_second()).ok());
    whole.map_or_else(|| "never".to_owned(), |time| time.to_string())
}

fn entry_as_json(entry: &Entry) -> Value {
    as_json(&entry.name, entry.robot.as_ref(), entry.used)
}

fn as_json(name: &RobotName, robot: Option<&Robot>, used: Option<Timestamp>) -> Value {
    let grants = robot.map(|robot| {
        let all = robot.grants.iter().map(|grant| {
            let actions = grant.actions.iter().map(|action| action.as_str());
            json!({
                "repositories": grant.repositories.as_str(),
                "actions": actions.collect::<Vec<_>>(),
            })
        });
        all.collect::<Vec<_>>()
    });
    json!({
        "name": name.as_str(),
        "allow": grants,
        "made": robot.map(|robot| robot.made.to_string()),
        "expires": robot.and_then(|robot| robot.expires).map(|end| end.to_string()),
        "expired": robot.map(|robot| robot.is_expired(SystemTime::now())),
        "used": used.map(|used| used.to_string()),
    })
}
