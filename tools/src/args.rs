//! Command-line parsing for the tools: `--name value` options and `--name` flags.
//!
//! Must not know: the names of options.

use std::{collections::BTreeMap, path::PathBuf};

/// Parsed arguments. Every option takes one value; flags take none.
#[derive(Debug)]
pub struct Args(BTreeMap<String, String>);

impl Args {
    /// Parses `--name value` pairs. A name outside of `known` or a missing value is an error with a message.
    pub fn parse(args: impl Iterator<Item = String>, known: &[&str]) -> Result<Self, String> {
        Args::parse_with_flags(args, known, &[])
    }

    /// As [`Args::parse`], with `flags` that take no value.
    pub fn parse_with_flags(
        args: impl Iterator<Item = String>,
        known: &[&str],
        flags: &[&str],
    ) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        let mut args = args;
        while let Some(arg) = args.next() {
            if let Some(flag) = arg.strip_prefix("--").filter(|n| flags.contains(n)) {
                found.insert(flag.to_owned(), String::new());
                continue;
            }
            let Some(name) = arg.strip_prefix("--").filter(|n| known.contains(n)) else {
                return Err(format!("unknown argument '{arg}'; known: --{}", [known, flags].concat().join(", --")));
            };
            let value = args.next().ok_or_else(|| format!("--{name} needs a value"))?;
            found.insert(name.to_owned(), value);
        }
        Ok(Args(found))
    }

    pub fn path(&self, name: &str) -> Result<PathBuf, String> {
        self.0.get(name).map(PathBuf::from).ok_or_else(|| format!("--{name} is needed"))
    }

    /// Whether a flag or an option was given.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The number given, or `default` if the option is absent.
    pub fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        match self.0.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name} takes a number, not '{text}'")),
        }
    }

    /// The numbers given, separated by commas or spaces, or `default` if the option is absent.
    pub fn numbers(&self, name: &str, default: &[u64]) -> Result<Vec<u64>, String> {
        let Some(text) = self.0.get(name) else { return Ok(default.to_vec()) };
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        let numbers: Result<Vec<u64>, _> = words.map(str::parse).collect();
        numbers
            .ok()
            .filter(|numbers| !numbers.is_empty())
            .ok_or_else(|| format!("--{name} takes numbers, not '{text}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_known_and_complete() {
        let parse = |list: &[&str]| Args::parse(list.iter().map(|s| s.to_string()), &["out", "seconds"]);
        let args = parse(&["--out", "x", "--seconds", "7"]).unwrap();
        assert_eq!(args.path("out").unwrap(), PathBuf::from("x"));
        assert_eq!(args.number("seconds", 1).unwrap(), 7);
        assert!(parse(&["--other", "x"]).unwrap_err().contains("--out"));
        assert!(parse(&["--out"]).is_err());
        let list = ["--fast", "--out", "x"].map(String::from);
        let args = Args::parse_with_flags(list.into_iter(), &["out"], &["fast", "slow"]).unwrap();
        assert!(args.has("fast") && args.has("out") && !args.has("slow"));
        let list = parse(&["--seconds", "1,5 10"]).unwrap();
        assert_eq!(list.numbers("seconds", &[]).unwrap(), [1, 5, 10]);
        assert_eq!(list.numbers("out", &[7]).unwrap(), [7]);
        assert!(parse(&["--seconds", "1,x"]).unwrap().numbers("seconds", &[]).is_err());
        assert!(parse(&["--seconds", "many"]).unwrap().number("seconds", 1).is_err());
    }
}
