//! `wharf healthcheck`: asks the running server whether it answers. For
//! container images, which hold no shell and no curl.

mod ask;
mod target;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use self::target::Target;

/// The time for everything: name, connection, TLS, answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks a running server whether it is well: exit code 0 if it is, 1 if not.
#[derive(Debug, clap::Args)]
pub struct HealthcheckArgs {
    /// What to ask for; by default `/` at the address that REGISTRY_HTTP_ADDR
    /// names (else port 5000), over https if REGISTRY_HTTP_TLS_CERTIFICATE is set
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Runs the command. The environment is the container's own, so that the check
/// finds the server that was configured by it.
pub fn run(args: HealthcheckArgs) -> ExitCode {
    match check(args.url.as_deref(), |name| std::env::var(name).ok()) {
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

fn check(url: Option<&str>, environment: impl Fn(&str) -> Option<String>) -> Result<String, Error> {
    let target = match url {
        Some(url) => Target::from_url(url)?,
        None => Target::from_environment(environment)?,
    };
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
        Ok(Ok(ask::Answer::Status(status))) if status >= 500 => {
            Err(Error::Status { target, status })
        }
        Ok(Ok(ask::Answer::Status(status))) => Ok(format!("healthy: {target} answers {status}")),
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
