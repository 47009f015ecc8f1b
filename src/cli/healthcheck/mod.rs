//! `wharf healthcheck`: asks the running server whether it answers. For
//! container images, which hold no shell and no curl.

mod ask;
mod target;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::target::{InvalidTarget, Target};
use super::config::{environment, found, variable};
use crate::config::Config;

/// The time for everything: name, connection, TLS, answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks a running server whether it is well: exit code 0 if it is, 1 if not.
#[derive(Debug, clap::Args)]
pub struct HealthcheckArgs {
    /// The configuration that the server was started with; else the one that
    /// REGISTRY_CONFIGURATION_PATH names. It says where the server listens
    pub config: Option<PathBuf>,
    /// What to ask for; without it and without a configuration `/` at the address
    /// that REGISTRY_HTTP_ADDR names (else port 5000), over https if
    /// REGISTRY_HTTP_TLS_CERTIFICATE is set
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub url: Option<String>,
}

/// Runs the command. The environment is the container's own, so that the check
/// finds the server that was configured by it.
pub fn run(args: HealthcheckArgs) -> ExitCode {
    let target = target(&args, variable);
    match target.map_err(Error::from).and_then(check) {
        Ok(told) => {
            let _ = writeln!(io::stdout(), "{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "unhealthy: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whom to ask: what the arguments say, else what the server's configuration
/// says, else its environment alone.
fn target(
    args: &HealthcheckArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Target, InvalidTarget> {
    if let Some(url) = &args.url {
        return Target::from_url(url);
    }
    // What is wrong with a configuration is the server's to tell.
    match found(args.config.as_deref(), &variable)
        .map(|found| Config::read(&found.path, environment()))
    {
        Some(Ok(loaded)) => Target::from_settings(&loaded.config.server),
        Some(Err(_)) | None => Target::from_environment(variable),
    }
}

fn check(target: Target) -> Result<String, Error> {
    match ask_once(target) {
        // A TLS port that nothing told us of: `wharf serve` without a configuration.
        Err(Error::Status {
            mut target,
            status: 400,
        }) if !target.tls => {
            target.tls = true;
            ask_once(target)
        }
        told => told,
    }
}

fn ask_once(target: Target) -> Result<String, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let answer = async { tokio::time::timeout(PATIENCE, ask::ask(&target)).await };
    let answered = runtime.block_on(answer);
    // A name that is still being looked up must not hold the program.
    runtime.shutdown_background();
    match answered {
        Err(_) => Err(Error::Late {
            target,
            seconds: PATIENCE.as_secs(),
        }),
        Ok(Err(cause)) => Err(Error::Silent { target, cause }),
        // A login that is asked for is an answer, too.
        Ok(Ok(ask::Answer::Status(status))) if (200..400).contains(&status) || status == 401 => {
            Ok(format!("healthy: {target} answers {status}"))
        }
        Ok(Ok(ask::Answer::Status(status))) => Err(Error::Status { target, status }),
        Ok(Ok(ask::Answer::WantsCertificate)) => {
            Ok(format!("healthy: {target} asks for a client certificate"))
        }
    }
}

/// Why the server is not well, or can't be asked.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Target(#[from] target::InvalidTarget),
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error("{target} did not answer within {seconds} s")]
    Late { target: Target, seconds: u64 },
    #[error("{target} cannot be asked: {cause}")]
    Silent {
        target: Target,
        #[source]
        cause: io::Error,
    },
    #[error("{target} answers {status}: its log, or /debug/health, says why")]
    Status { target: Target, status: u16 },
}

#[cfg(test)]
mod tests;
