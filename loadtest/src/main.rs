//! Simulates publishers and viewers and reports what arrived, seeing the server only from outside.

mod units;

mod options;

mod net;

mod http;

mod api;

mod socket;

mod light;

mod vp8;

mod stamp;

mod stop;

mod base;

mod publisher;

mod talk;

mod session;

mod peer;

mod viewer;

mod meter;

mod server;

mod source;

mod measure;

mod generator;

mod screen;

mod live;

mod run;

mod report;

mod table;

mod html;

use std::io::{Write as _, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use crate::options::Options;
use crate::report::Report;
use crate::screen::{Log, Screen};

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("klieg_loadtest=info,off")),
        )
        .with_ansi(Screen::get().is_terminal())
        .with_writer(|| Log)
        .init();
    let options = Options::parse();
    if let Err(problem) = options.check() {
        let kind = clap::error::ErrorKind::ArgumentConflict;
        Options::command().error(kind, problem).exit();
    }
    test(options).await.unwrap_or_else(|error| {
        Screen::get().print(&format!("klieg-loadtest: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn test(options: Options) -> anyhow::Result<ExitCode> {
    let (json, html) = (options.json.clone(), options.html.clone());
    let report = run::run(options).await?;
    for line in table::lines(&report) {
        writeln!(stdout(), "{line}")?;
    }
    write(json.as_deref(), || Ok(serde_json::to_vec_pretty(&report)?))?;
    write(html.as_deref(), || Ok(html::page(&report).into_bytes()))?;
    Ok(code(&report))
}

/// So that a script can tell success without reading the report.
fn code(report: &Report) -> ExitCode {
    if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn write(
    path: Option<&Path>,
    content: impl FnOnce() -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, content()?).with_context(|| format!("cannot write {}", path.display()))
}
