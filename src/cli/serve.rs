//! `wharf serve`: the registry, with a configuration or with secure defaults.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::CONFIGURATION;
use super::config::{environment, found, variable};
use crate::app::{App, Source, embedded_users};
use crate::auth::htpasswd::hash::NewHash;
use crate::auth::htpasswd::{Created, create_with_random_password};
use crate::config::{Config, Found, Loaded};
use crate::observe;
use crate::server::certificates::{self, Issued};
use crate::server::tls::{ClientAuth, Version};
use crate::server::{Shutdown, tls};

/// Set to `1`, core dumps and debuggers work as the system has them.
const KEEP_DUMPS: &str = "WHARF_CORE_DUMPS";

/// Arguments of `wharf serve`.
#[derive(Args)]
pub struct ServeArgs {
    /// registry:2's config.yml; else what REGISTRY_CONFIGURATION_PATH names; without either,
    /// the data directory, a certificate and a user are made
    #[arg(conflicts_with_all = ["data", "addr", "name"])]
    config: Option<PathBuf>,
    /// Where images, users and certificates lie
    #[arg(long, default_value = "wharf-data")]
    data: PathBuf,
    /// Where to listen: HOST:PORT, or :PORT for every address
    #[arg(long, default_value = ":5000")]
    addr: String,
    /// One more name or address by which clients reach the registry; may be repeated
    #[arg(long)]
    name: Vec<String>,
}

/// What was made ready before the registry starts.
struct Prepared {
    config: Config,
    notes: Vec<String>,
    source: Source,
    origin: Origin,
}

/// Where the configuration comes from.
enum Origin {
    /// A file: the line that says which.
    File(String),
    /// Nowhere: the embedded default.
    Embedded(Welcome),
}

/// What the banner of the embedded default tells.
struct Welcome {
    data: PathBuf,
    issued: Issued,
    created: Option<Created>,
}

/// Runs the command.
pub fn run(args: ServeArgs) -> ExitCode {
    let prepared = match found(args.config.as_deref(), variable) {
        Some(found) => from_file(found),
        None => embedded(&args.data, args.addr, &args.name),
    };
    match prepared.and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("wharf: {message}");
            ExitCode::from(CONFIGURATION)
        }
    }
}

/// `wharf serve CONFIG`: what the file and the environment say.
fn from_file(found: Found) -> Result<Prepared, String> {
    let Found { path, instead_of } = found;
    let name = path.display().to_string();
    let followed = path.clone();
    let reread = move || Config::read(&path, environment());
    let Loaded { config, notes } = reread().map_err(message)?;
    let read = match instead_of {
        Some(asked) => format!(
            "configuration: {name}, since there is no {}",
            asked.display()
        ),
        None => format!("configuration: {name}"),
    };
    let notes = notes.iter().map(ToString::to_string).collect();
    let reread = move || reread().map(|loaded| loaded.config).map_err(message);
    Ok(Prepared {
        config,
        notes,
        source: Source {
            path: Some(followed),
            read: Box::new(reread),
        },
        origin: Origin::File(read),
    })
}

/// `wharf serve`: everything is made that is missing, and kept.
fn embedded(data: &Path, addr: String, names: &[String]) -> Result<Prepared, String> {
    std::fs::create_dir_all(data).map_err(|error| {
        format!(
            "cannot make the data directory {}: {error}; choose another with --data",
            data.display()
        )
    })?;
    let data = data.canonicalize().map_err(message)?;
    let names = certificates::default_names(names);
    let issued = certificates::ensure(&data.join("tls"), &names).map_err(message)?;
    let users = embedded_users(&data);
    let created =
        create_with_random_password(&users, "admin", NewHash::Argon2id).map_err(message)?;
    let tls = tls::Settings {
        certificate: issued.certificate.clone(),
        key: issued.key.clone(),
        client_cas: Vec::new(),
        client_auth: ClientAuth::IfGiven,
        minimum: Version::Tls12,
        cipher_suites: Vec::new(),
    };
    let config = Config::embedded(data.clone(), addr, tls, users);
    let again = config.clone();
    Ok(Prepared {
        config,
        notes: unused_variables(),
        source: Source {
            path: None,
            read: Box::new(move || Ok(again.clone())),
        },
        origin: Origin::Embedded(Welcome {
            data,
            issued,
            created,
        }),
    })
}

/// registry:2's variables change a configuration, and here is none.
fn unused_variables() -> Vec<String> {
    let names = environment().map(|(name, _)| name);
    names
        .filter(|name| name.starts_with("REGISTRY_"))
        .map(|name| {
            format!("{name} has no effect without a configuration: write `wharf serve CONFIG`")
        })
        .collect()
}

fn serve(prepared: Prepared) -> Result<(), String> {
    let log = observe::log::init(&prepared.config.log).map_err(message)?;
    for note in &prepared.notes {
        tracing::warn!("{note}");
    }
    crate::server::raise_open_files();
    if std::env::var_os(KEEP_DUMPS).is_some_and(|value| value == "1") {
        tracing::warn!(
            "{KEEP_DUMPS} is set: core dumps and debuggers see passwords and keys; unset it when done"
        );
    } else {
        crate::server::keep_private();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(message)?;
    runtime.block_on(async {
        let shutdown = Shutdown::new().pausing(prepared.config.pause);
        shutdown.follow_signals().map_err(message)?;
        let app = match App::build(prepared.config, shutdown.clone()).await {
            Ok(app) => app,
            Err(error) => {
                prepared.origin.forget_user();
                return Err(message(error));
            }
        };
        match prepared.origin {
            Origin::File(line) => tracing::info!("{line}"),
            Origin::Embedded(welcome) => {
                let banner = welcome.banner(&app).await;
                // Whoever started us may not be reading.
                let _ = io::stdout().write_all(banner.as_bytes());
                let renewal =
                    certificates::keep(welcome.tls(), welcome.issued.names, shutdown.clone());
                shutdown.spawn("certificate renewal", renewal);
            }
        }
        app.run(log, prepared.source).await;
        Ok(())
    })
}

impl Origin {
    /// Removes a user whose password nobody was told: the next start makes
    /// another.
    fn forget_user(&self) {
        if let Self::Embedded(Welcome {
            created: Some(created),
            ..
        }) = self
        {
            let _ = std::fs::remove_file(&created.path);
        }
    }
}

impl Welcome {
    /// Where the certificate authority and the server's certificate lie.
    fn tls(&self) -> PathBuf {
        self.data.join("tls")
    }

    async fn banner(&self, app: &App) -> String {
        let port = app.local_addr().map_or(0, |address| address.port());
        let free = app
            .free_space()
            .await
            .map_or_else(String::new, |free| format!(" ({} free)", size(free)));
        let mut lines = vec![
            format!("wharf {}", env!("CARGO_PKG_VERSION")),
            String::new(),
            format!("  address   {}", app.url()),
            format!("  data      {}{free}", self.data.display()),
            format!("  CA        {}", self.issued.ca.display()),
            format!("            SHA-256 {}", self.issued.fingerprint),
        ];
        match &self.created {
            Some(created) => {
                lines.push(format!("  user      {}", created.user));
                lines.push(format!(
                    "  password  {}   (shown only now)",
                    created.password.reveal()
                ));
            }
            None => lines.push(format!(
                "  users     {}",
                embedded_users(&self.data).display()
            )),
        }
        lines.push(String::new());
        let user = self
            .created
            .as_ref()
            .map(|created| format!(" -u {}", created.user));
        lines.push(format!(
            "  docker login localhost:{port}{}",
            user.unwrap_or_default()
        ));
        lines.push(String::new());
        lines.join("\n") + "\n"
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = UNITS[0];
    for larger in UNITS.into_iter().skip(1) {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = larger;
    }
    format!("{amount:.1} {unit}")
}

fn message(error: impl Display) -> String {
    error.to_string()
}
