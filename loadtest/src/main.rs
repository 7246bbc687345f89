//! Simulates publishers and viewers and reports what arrived, seeing the server only from outside.

mod units;

mod options;

mod net;

mod reason;

mod http;

mod api;

mod socket;

mod light;

mod vp8;

mod opus;

mod stamp;

mod stop;

mod base;

mod publisher;

mod talk;

mod clock;

mod patience;

mod entry;

mod session;

mod chatter;

mod peer;

mod gate;

mod viewer;

mod meter;

mod server;

mod source;

mod measure;

mod generator;

mod figures;

mod screen;

mod live;

mod run;

mod verdict;

mod made;

mod report;

mod table;

mod plot;

mod html;

mod output;

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::options::Options;
use crate::output::Output;
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
    let (json, html) = open(&options)?;
    let report = match run::run(options).await {
        Ok(report) => report,
        Err(error) => {
            json.into_iter().chain(html).for_each(Output::discard);
            return Err(error);
        }
    };
    // What cannot be written keeps nothing else from being written.
    let json = json.map(|file| file.write(&serde_json::to_vec_pretty(&report)?));
    let html = html.map(|file| file.write(html::page(&report).as_bytes()));
    for line in table::lines(&report) {
        writeln!(stdout(), "{line}")?;
    }
    json.transpose()?;
    html.transpose()?;
    Ok(code(&report))
}

fn open(options: &Options) -> anyhow::Result<(Option<Output>, Option<Output>)> {
    let [json, html] = [&options.json, &options.html].map(|path| {
        let output = path.as_deref().map(Output::open);
        output.transpose()
    });
    match (json, html) {
        (Ok(json), Err(error)) => {
            json.into_iter().for_each(Output::discard);
            Err(error)
        }
        (json, html) => Ok((json?, html?)),
    }
}

/// So that a script can tell success without reading the report.
fn code(report: &Report) -> ExitCode {
    if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
