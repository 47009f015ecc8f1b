//! Log lines on standard output: `log` of the configuration.
//!
//! One event is one line, whatever is in it: a name or a header can't forge
//! another. Wharf's own events appear from `log.level` on, those of the
//! libraries below it from `warn` on.

mod line;
mod output;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

pub(super) use self::line::escape_invisible;

use self::line::Line;
use self::output::Output;

/// How long the end of the program waits for a slow reader of the log.
const FLUSH: Duration = Duration::from_secs(2);

/// `log` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `level`
    pub level: tracing::Level,
    /// `formatter`
    pub format: Format,
    /// `fields`: added to every line.
    pub fields: Vec<(String, String)>,
    /// Not `accesslog.disabled`: one line per request.
    pub requests: bool,
}

/// `log.formatter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
    /// One JSON object per line with logstash's field names.
    Logstash,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The thread that writes could not be started.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[source] io::Error),
    /// [`init`] was called before in this process.
    #[error("the log of this process is already set up")]
    Twice,
}

/// The running log. Dropping it writes what is still waiting.
#[derive(Debug)]
pub struct Log {
    live: Arc<ArcSwap<Settings>>,
    output: Arc<Output>,
}

/// Sends the process's events to standard output, as `settings` say.
///
/// # Errors
/// When the process has a log already, or no thread can be started.
pub fn init(settings: &Settings) -> Result<Log, LogError> {
    let (lines, log) = build(settings, Box::new(io::stdout()), Timestamp::now)?;
    let subscriber = tracing_subscriber::registry().with(lines);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    Ok(log)
}

impl Log {
    /// Continues with other settings: level, format and fields.
    pub fn reload(&self, settings: &Settings) {
        self.live.store(Arc::new(settings.clone()));
        // `tracing` remembers for each place in the code whether it is heard.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Waits until every line is written, at most two seconds.
    pub fn flush(&self) {
        self.output.flush(FLUSH);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

fn build(
    settings: &Settings,
    sink: Box<dyn io::Write + Send>,
    now: fn() -> Timestamp,
) -> Result<(Lines, Log), LogError> {
    let live = Arc::new(ArcSwap::from_pointee(settings.clone()));
    let output = Arc::new(Output::start(sink).map_err(LogError::Thread)?);
    let log = Log {
        live: Arc::clone(&live),
        output: Arc::clone(&output),
    };
    Ok((Lines { live, output, now }, log))
}

/// Turns events into lines. Spans are not shown: what matters is on the event.
struct Lines {
    live: Arc<ArcSwap<Settings>>,
    output: Arc<Output>,
    now: fn() -> Timestamp,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && admits(self.live.load().level, metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.live.load().level.into())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let settings = self.live.load();
        let lost = self
            .output
            .push(&Line::of(event, (self.now)()).render(&settings));
        if lost > 0 {
            let notice = Line::new(
                (self.now)(),
                Level::WARN,
                format!("{lost} log lines were dropped: standard output is read too slowly"),
            );
            self.output.push(&notice.render(&settings));
        }
    }
}

/// Whether an event is shown at this level of the configuration.
fn admits(level: Level, metadata: &Metadata<'_>) -> bool {
    let least = if is_ours(metadata.target()) {
        level
    } else {
        level.min(Level::WARN)
    };
    *metadata.level() <= least
}

/// Whether an event is wharf's own.
fn is_ours(target: &str) -> bool {
    target
        .strip_prefix("wharf")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Reads back what a test logs.
#[cfg(test)]
pub(crate) mod testing {
    use std::io;
    use std::sync::{Arc, Mutex};

    use jiff::Timestamp;
    use tracing::subscriber::DefaultGuard;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::{Log, Settings};

    /// The log of the current thread, while it lives.
    pub(crate) struct Captured {
        pub(crate) log: Log,
        bytes: Arc<Mutex<Vec<u8>>>,
        _guard: DefaultGuard,
    }

    impl Captured {
        pub(crate) fn start(settings: &Settings) -> Self {
            let bytes = Arc::new(Mutex::new(Vec::new()));
            let sink = Box::new(Sink(Arc::clone(&bytes)));
            let (lines, log) = super::build(settings, sink, || Timestamp::UNIX_EPOCH).unwrap();
            let subscriber = tracing_subscriber::registry().with(lines);
            Self {
                log,
                bytes,
                _guard: tracing::subscriber::set_default(subscriber),
            }
        }

        pub(crate) fn text(&self) -> String {
            self.log.flush();
            String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
        }
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Captured;
    use super::*;

    fn settings(level: Level, format: Format) -> Settings {
        Settings {
            level,
            format,
            fields: vec![("environment".into(), "staging".into())],
            requests: true,
        }
    }

    fn say() {
        tracing::info!(
            repository = "team/app",
            agent = "a \"b\"\n2026 INFO forged",
            bytes = 12_u64,
            ms = 1.5,
            aborted = true,
            "response completed"
        );
        tracing::warn!(level = "mine", "odd name\u{1b}[31m\r\nnext \u{202e}line");
        tracing::debug!("too quiet");
    }

    #[test]
    fn text_is_for_people() {
        let captured = Captured::start(&settings(Level::INFO, Format::Text));
        say();
        insta::assert_snapshot!(captured.text(), @r#"
        1970-01-01T00:00:00.000Z INFO  response completed repository=team/app agent="a \"b\"\n2026 INFO forged" bytes=12 ms=1.5 aborted=true environment=staging
        1970-01-01T00:00:00.000Z WARN  odd name\u{1b}[31m\r\nnext \u{202e}line level=mine environment=staging
        "#);
    }

    #[test]
    fn json_has_the_names_of_registry_2() {
        let captured = Captured::start(&settings(Level::INFO, Format::Json));
        say();
        insta::assert_snapshot!(captured.text(), @r#"
        {"time":"1970-01-01T00:00:00.000Z","level":"info","msg":"response completed","repository":"team/app","agent":"a \"b\"\n2026 INFO forged","bytes":12,"ms":1.5,"aborted":true,"environment":"staging"}
        {"time":"1970-01-01T00:00:00.000Z","level":"warning","msg":"odd name\u001b[31m\r\nnext \u202eline","fields.level":"mine","environment":"staging"}
        "#);
    }

    #[test]
    fn logstash_has_its_own_names() {
        let captured = Captured::start(&settings(Level::INFO, Format::Logstash));
        tracing::error!(error = "disk full", "cannot write");
        insta::assert_snapshot!(captured.text(), @r#"{"@timestamp":"1970-01-01T00:00:00.000Z","@version":1,"level":"error","message":"cannot write","error":"disk full","environment":"staging"}"#);
    }

    #[test]
    fn libraries_are_heard_from_warn_on() {
        let captured = Captured::start(&settings(Level::DEBUG, Format::Text));
        tracing::debug!("ours");
        tracing::debug!(target: "wharf::access", "ours too");
        tracing::info!(target: "hyper::proto", "theirs");
        tracing::info!(target: "wharfage", "somebody else's");
        tracing::warn!(target: "h2::proto", "too many resets");
        insta::assert_snapshot!(captured.text(), @r"
        1970-01-01T00:00:00.000Z DEBUG ours environment=staging
        1970-01-01T00:00:00.000Z DEBUG ours too environment=staging
        1970-01-01T00:00:00.000Z WARN  too many resets target=h2::proto environment=staging
        ");
    }

    #[test]
    fn a_reload_changes_the_level_and_the_format() {
        let captured = Captured::start(&settings(Level::ERROR, Format::Text));
        let speak = || {
            tracing::info!("hello");
            tracing::warn!(target: "hyper", "theirs");
        };
        speak();
        assert_eq!(captured.text(), "");
        captured.log.reload(&settings(Level::INFO, Format::Json));
        speak();
        let text = captured.text();
        assert!(text.contains(r#""msg":"hello""#), "{text}");
        assert!(text.contains(r#""target":"hyper""#), "{text}");
    }
}
