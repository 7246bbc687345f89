//! Watches a room as many viewers at once and reports what arrived, seeing the server only from outside.

mod options;

mod api;

mod socket;

mod peer;

mod viewer;

mod meter;

mod publisher;

mod keyframe;

mod vp8;

mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::options::Options;
use crate::publisher::Publisher;
use crate::report::Report;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("klieg_loadtest=info,off")),
        )
        .with_writer(std::io::stderr)
        .init();
    let options = Arc::new(Options::parse());
    let report = run(&options).await?;
    report.write_table(&mut std::io::stdout().lock())?;
    if let Some(path) = &options.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    // So that a script can tell success without reading the report.
    Ok(if report.everyone_saw_media() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Publishes if asked to, lets the viewers join one after the other, and collects their reports.
async fn run(options: &Arc<Options>) -> anyhow::Result<Report> {
    let publisher = match options.publishers {
        0 => None,
        _ => Some(
            Publisher::go_live(options)
                .await
                .context("the publisher could not go live")?,
        ),
    };
    let room = match &publisher {
        Some(publisher) => publisher.room().to_owned(),
        None => options
            .room
            .clone()
            .context("--room is needed without a publisher")?,
    };

    let joins_end = Instant::now() + options.join_interval * u32::from(options.viewers);
    let ends = joins_end + options.duration;
    let mut viewers = JoinSet::new();
    for number in 0..options.viewers {
        viewers.spawn(viewer::watch(
            Arc::clone(options),
            room.clone(),
            number,
            ends,
        ));
        sleep(options.join_interval).await;
    }
    info!(viewers = options.viewers, room, "everybody was let in");

    let mut reports = Vec::with_capacity(usize::from(options.viewers));
    while let Some(finished) = viewers.join_next().await {
        match finished {
            Ok(report) => reports.push(report),
            Err(error) => warn!(%error, "a viewer's task ended early"),
        }
    }
    reports.sort_by_key(|report| report.number);
    let sent = match publisher {
        Some(publisher) => Some(publisher.stop(Duration::from_secs(2)).await),
        None => None,
    };
    Ok(Report::new(options, room, sent, reports))
}
