//! Simulates publishers and viewers and reports what arrived, seeing the server only from outside.

mod options;

mod api;

mod socket;

mod light;

mod vp8;

mod stamp;

mod publisher;

mod session;

mod peer;

mod viewer;

mod meter;

mod server;

mod measure;

mod live;

mod run;

mod report;

mod html;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use crate::options::Options;

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("klieg_loadtest=info,off")),
        )
        .with_writer(std::io::stderr)
        .init();
    let options = Arc::new(Options::parse());
    if let Err(problem) = options.check() {
        let kind = clap::error::ErrorKind::ArgumentConflict;
        Options::command().error(kind, problem).exit();
    }
    let report = run::run(&options).await?;
    report.write_table(&mut std::io::stdout().lock())?;
    if let Some(path) = &options.json {
        write(path, &serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(path) = &options.html {
        write(path, html::page(&report).as_bytes())?;
    }
    // So that a script can tell success without reading the report.
    Ok(if report.everyone_saw_media() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
