//! The `provenn` command.
//!
//! Results go to standard output, everything else (notes, warnings, progress, traces) to standard
//! error. With `--json` standard output carries exactly one JSON object, also on failure.

#![forbid(unsafe_code)]

mod args;
mod bounds;
mod commands;
mod disclosure;
mod error;
mod files;
mod progress;
mod report;
mod salts;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::error::Failure;
use crate::report::Report;

fn main() -> ExitCode {
    let cli = Cli::parse();
    progress::init(&cli.global);
    let result = run(&cli);
    progress::finish();
    match result {
        Ok(report) => {
            report.print(cli.global.json);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            failure.print(cli.global.json);
            ExitCode::from(failure.code as u8)
        }
    }
}

fn run(cli: &Cli) -> Result<Report, Failure> {
    match &cli.command {
        Command::Setup(args) => commands::setup::run(args),
        Command::Prove(args) => commands::prove::run(args),
        Command::Verify(args) => commands::verify::run(args),
        Command::Hash(args) => commands::hash::run(args),
        Command::Rekey(args) => commands::rekey::run(args),
        Command::Run(args) => commands::run::run(args),
        Command::Accuracy(args) => commands::accuracy::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Inspect(args) => commands::inspect::run(args),
        Command::Operators => Ok(commands::operators::run()),
        Command::Completions { shell } => Ok(commands::shell::completions(*shell)),
        Command::Man { dir } => commands::shell::man(dir),
    }
}
