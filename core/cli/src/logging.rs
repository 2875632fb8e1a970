//! The program's own log: lines on stderr, filtered by `--log-level` or the variable OTTLA_LOG.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The variable that is asked when `--log-level` is not given.
const VARIABLE: &str = "OTTLA_LOG";
/// What is logged when nothing is said.
const DEFAULT: &str = "info";

/// Starts logging. `level` is that of the command line.
pub fn to_stderr(level: Option<&str>) -> Result<(), String> {
    let filter = filter(level, variable().as_deref())?;
    let colours = std::io::stderr().is_terminal();
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours);
    format
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|e| e.to_string())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command line's own variable, read once, here"
)]
fn variable() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())
}

/// The command line goes before the variable, the variable before the default.
fn filter(option: Option<&str>, variable: Option<&str>) -> Result<EnvFilter, String> {
    let (origin, text) = match (option, variable) {
        (Some(text), _) => ("--log-level", text),
        (None, Some(text)) => (VARIABLE, text),
        (None, None) => ("the default", DEFAULT),
    };
    EnvFilter::try_new(text).map_err(|error| {
        format!("{origin} `{text}`: {error}; use error, warn, info, debug or trace, or pairs like `info,ottla_node=debug`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_goes_before_the_variable() {
        assert_eq!(filter(Some("warn"), Some("debug")).unwrap().to_string(), "warn");
        assert_eq!(filter(None, Some("debug")).unwrap().to_string(), "debug");
        assert_eq!(filter(None, None).unwrap().to_string(), "info");
        let error = filter(Some("a=b=c"), None).unwrap_err();
        assert!(error.starts_with("--log-level `a=b=c`"), "{error}");
    }
}
