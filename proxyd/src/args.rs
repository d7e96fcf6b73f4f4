//! The command line. Everything else the proxy is told comes through the control socket or from the table on disk.

use std::net::SocketAddr;
use std::path::PathBuf;

pub const USAGE: &str = "usage: tako-proxyd --state-dir DIR [--control PATH] [--threads N] \
[--bind-http ADDR] [--bind-https ADDR] [--log-level error|warn|info|debug] | --version";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// tako-server's socket; without one the proxy serves by the table on disk alone.
    pub control: Option<PathBuf>,
    /// Where `table.json` is kept.
    pub state_dir: PathBuf,
    pub threads: usize,
    pub bind_http: Option<SocketAddr>,
    pub bind_https: Option<SocketAddr>,
    pub log_level: log::LevelFilter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Version,
    Help,
    Run(Args),
}

/// Reads the arguments after the program's name; the error is a sentence for a person.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Asked, String> {
    let mut words = words.into_iter();
    let (mut control, mut state_dir) = (None, None);
    let (mut bind_http, mut bind_https) = (None, None);
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut log_level = log::LevelFilter::Info;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--version" => return Ok(Asked::Version),
            "--help" | "-h" => return Ok(Asked::Help),
            _ => {}
        }
        let value = words
            .next()
            .ok_or_else(|| format!("{word} needs a value; {USAGE}"))?;
        match word.as_str() {
            "--control" => control = Some(PathBuf::from(value)),
            "--state-dir" => state_dir = Some(PathBuf::from(value)),
            "--threads" => threads = positive(&word, &value)?,
            "--bind-http" => bind_http = Some(address(&word, &value)?),
            "--bind-https" => bind_https = Some(address(&word, &value)?),
            "--log-level" => {
                log_level = value
                    .parse()
                    .map_err(|_| format!("{word}: unknown level {value:?}"))?;
            }
            _ => return Err(format!("unknown option {word:?}; {USAGE}")),
        }
    }
    let state_dir = state_dir.ok_or_else(|| format!("--state-dir is required; {USAGE}"))?;
    Ok(Asked::Run(Args {
        control,
        state_dir,
        threads,
        bind_http,
        bind_https,
        log_level,
    }))
}

fn positive(option: &str, value: &str) -> Result<usize, String> {
    match value.parse() {
        Ok(number) if (1..=256).contains(&number) => Ok(number),
        _ => Err(format!("{option}: {value:?} is not a number from 1 to 256")),
    }
}

fn address(option: &str, value: &str) -> Result<SocketAddr, String> {
    value
        .parse()
        .map_err(|_| format!("{option}: {value:?} is not an address like 127.0.0.1:8443"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_full_line_is_read() {
        let Asked::Run(args) = parse(words(
            "--control /c --state-dir /s --threads 3 --bind-https 127.0.0.1:0 --log-level warn",
        ))
        .unwrap() else {
            panic!("not a run");
        };
        assert_eq!(args.threads, 3);
        assert_eq!(args.control, Some(PathBuf::from("/c")));
        assert_eq!(args.bind_https, Some("127.0.0.1:0".parse().unwrap()));
        assert_eq!(args.log_level, log::LevelFilter::Warn);
    }

    #[test]
    fn a_wrong_line_is_refused_with_its_reason() {
        for (line, reason) in [
            ("--control /c", "--state-dir is required"),
            ("--state-dir", "needs a value"),
            ("--state-dir /s --threads 0", "not a number"),
            ("--state-dir /s --bind-http localhost", "not an address"),
            ("--state-dir /s --colour red", "unknown option"),
        ] {
            let error = parse(words(line)).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
