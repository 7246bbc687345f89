//! Klieg: a self-hosted live-streaming server.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use klieg_signaling::{
    BackupArguments, CheckArguments, Cli, Command, Config, ConfigError, Log, Server, Settings,
    UserArguments,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Help and the version come this way, too.
            let is_wrong = error.use_stderr();
            return ExitCode::from(if is_wrong { EX_USAGE } else { 0 });
        }
    };
    let done = match cli.command {
        None => serve(&cli.settings),
        Some(Command::Serve(settings)) => serve(&settings),
        Some(Command::Backup(arguments)) => back_up(&arguments),
        Some(Command::Openapi) => say(klieg_signaling::openapi().trim_end()),
        Some(Command::Protocol) => say(klieg_signaling::protocol().trim_end()),
        Some(Command::Token(arguments)) => arguments.mint().and_then(|token| say(&token)),
        Some(Command::User(arguments)) => user(&arguments),
        Some(Command::Check(arguments)) => check(&arguments),
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
    let log = Log::start(&config)?;
    tokio::runtime::Runtime::new()?.block_on(run(settings, config, &log))
}

fn back_up(arguments: &BackupArguments) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(arguments.write())
}

fn user(arguments: &UserArguments) -> anyhow::Result<()> {
    let done = tokio::runtime::Runtime::new()?.block_on(arguments.carry_out())?;
    say(&done)
}

fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let found = tokio::runtime::Runtime::new()?.block_on(arguments.check())?;
    say(found.text.trim_end())?;
    let text = match found.problems {
        0 => return Ok(()),
        1 => "there is a problem".to_owned(),
        problems => format!("there are {problems} problems"),
    };
    if found.is_unusable {
        return Err(ConfigError::Unreadable(text).into());
    }
    anyhow::bail!(text)
}

async fn run(settings: &Settings, config: Config, log: &Log) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let public_url = config.public_url.clone();
    let server = Server::start(config).await?;
    let media: Vec<String> = server.media().iter().map(ToString::to_string).collect();
    let scheme = server.scheme();
    say(&format!(
        "klieg listening http={scheme}://{} media={}",
        server.http(),
        media.join(",")
    ))?;
    let port = server.http().port();
    say(&if let Some(url) = public_url {
        format!("Open {url} in a browser.")
    } else if server.http().ip().is_unspecified() {
        format!("Open {scheme}://localhost:{port}/ in a browser.")
    } else {
        format!("Open {scheme}://{}/ in a browser.", server.http())
    })?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => read_again(settings, &server, log),
        }
    }
    server.stop().await;
    Ok(())
}

/// Reads the settings again. What cannot be used changes nothing.
fn read_again(settings: &Settings, server: &Server, log: &Log) {
    server.read_certificate_again();
    let config = settings
        .load()
        .and_then(|config| log.change(&config).map(|()| config));
    match config {
        Ok(config) => {
            let waiting = server.reload(&config);
            info!(
                ?waiting,
                "settings read again; those that wait need a new start"
            );
        }
        Err(error) => error!(%error, "settings stay as they were"),
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// "The command was used incorrectly", as sysexits.h has it.
const EX_USAGE: u8 = 64;
