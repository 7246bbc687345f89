//! Klieg: a self-hosted live-streaming server.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use klieg_signaling::{
    BackupArguments, Cli, Command, Config, ConfigError, LogFormat, Server, Settings,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve(&cli.settings),
        Some(Command::Serve(settings)) => serve(&settings),
        Some(Command::Backup(arguments)) => back_up(&arguments),
        Some(Command::Openapi) => say(klieg_signaling::openapi().trim_end()),
        Some(Command::Token(arguments)) => arguments.mint().and_then(|token| say(&token)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not be there yet, and a person at a terminal reads this. Our errors name their
            // causes themselves, so the chain would say everything twice.
            let _ = writeln!(std::io::stderr(), "klieg: {error}");
            ExitCode::from(if error.is::<ConfigError>() {
                EX_USAGE
            } else {
                1
            })
        }
    }
}

fn serve(settings: &Settings) -> anyhow::Result<()> {
    let config = settings.load()?;
    start_log(&config)?;
    tokio::runtime::Runtime::new()?.block_on(run(config))
}

fn back_up(arguments: &BackupArguments) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(arguments.write())
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::start(config).await?;
    let media: Vec<String> = server.media().iter().map(ToString::to_string).collect();
    say(&format!(
        "klieg listening http=http://{} media={}",
        server.http(),
        media.join(",")
    ))?;
    let port = server.http().port();
    say(&if server.http().ip().is_unspecified() {
        format!("Open http://localhost:{port}/ in a browser.")
    } else {
        format!("Open http://{}/ in a browser.", server.http())
    })?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop().await;
    Ok(())
}

/// Logs go to standard error, so that standard output has only what was asked for.
fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| ConfigError::Invalid {
        setting: "log",
        reason: error.to_string(),
    })?;
    // These write whole messages into the log at their lowest levels, tokens and all.
    let quiet = [
        "tungstenite=info",
        "tokio_tungstenite=info",
        "hyper=info",
        "hyper_util=info",
    ];
    let quiet = quiet
        .into_iter()
        .filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// "The command was used incorrectly", as sysexits.h has it.
const EX_USAGE: u8 = 64;
