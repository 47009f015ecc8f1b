//! Hands the arguments to [`wharf::cli`] and its exit code to the system.

fn main() -> std::process::ExitCode {
    wharf::cli::main()
}
