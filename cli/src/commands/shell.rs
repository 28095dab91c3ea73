//! `provenn completions` and `provenn man`

use std::path::Path;

use clap::CommandFactory;

use crate::args::Cli;
use crate::error::{Code, Failure};
use crate::files;
use crate::report::Report;

pub fn completions(shell: clap_complete::Shell) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "provenn", &mut script);
    Report::text("completions", String::from_utf8_lossy(&script).into_owned())
}

pub fn man(dir: &Path) -> Result<Report, Failure> {
    files::create_dir(dir)?;
    let mut root = Cli::command();
    root.build();
    let mut pages = vec![("provenn".to_owned(), root.clone())];
    for command in root.get_subcommands() {
        pages.push((format!("provenn-{}", command.get_name()), command.clone()));
    }
    let mut report = Report::new("man");
    for (name, command) in pages {
        let mut page = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut page)
            .map_err(|e| Failure::new(Code::Bug, e.to_string()))?;
        let path = dir.join(format!("{name}.1"));
        files::write(&path, &page)?;
        report.line(path.display().to_string());
    }
    Ok(report)
}
