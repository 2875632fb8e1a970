//! Runs files through a target's check without a fuzzer: `reproduce TARGET FILE...`. A crash is a panic with its reason.
#![allow(clippy::disallowed_methods, reason = "a tool on the developer's machine")]

use std::process::ExitCode;

use ottla_fuzz_checks::TARGETS;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let Some((_, check)) = TARGETS.into_iter().find(|(target, _)| *target == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
        eprintln!(
            "usage: reproduce TARGET FILE..., where TARGET is one of {}",
            names.join(", ")
        );
        return ExitCode::FAILURE;
    };
    for path in args {
        match std::fs::read(&path) {
            Ok(bytes) => {
                println!("{path}: {} bytes", bytes.len());
                check(&bytes);
            }
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
