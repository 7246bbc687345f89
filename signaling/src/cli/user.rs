//! `klieg user`: accounts, for those who may read and write the database itself.

use std::fs::DirBuilder;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use uuid::Uuid;

use super::Settings;
use crate::auth::{Account, AccountRole, Secret, check_new, display_name, hash};
use crate::store::{self, IdentityStore, Location, StoredAccount};
use crate::time::Timestamp;

/// What to do with accounts, and where they are.
#[derive(Debug, Args)]
pub struct UserArguments {
    #[command(subcommand)]
    action: Action,
    /// Configuration file [default: klieg.toml in this folder, where there is one]
    #[arg(long, env = "KLIEG_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Folder of the database [default: data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an account. The password is asked for, or read from standard input.
    Add {
        /// Name to sign in with, 1 to 40 characters
        name: String,
        /// What it may do: look after the server (admin), create rooms (host), watch and chat (viewer)
        #[arg(long, default_value = "host")]
        role: AccountRole,
    },
    /// List accounts: role, when it was made, name.
    List,
    /// Change a password, and sign out everywhere. The new one is asked for, or read from standard input.
    Password {
        /// Name of the account
        name: String,
    },
    /// Change what an account may do, and sign it out everywhere. A viewer's rooms on air end.
    Role {
        /// Name of the account
        name: String,
        /// What it may do
        role: AccountRole,
    },
    /// Delete an account, and sign it out everywhere. Its rooms stay; those on air end, and their stream keys are useless.
    Delete {
        /// Name of the account
        name: String,
    },
}

impl UserArguments {
    /// Does it, and returns what there is to say.
    ///
    /// # Errors
    /// It was not done, and why.
    pub async fn carry_out(&self) -> anyhow::Result<String> {
        let settings = Settings {
            config: self.config.clone(),
            data: self.data.clone(),
            ..Settings::default()
        };
        let config = settings.load()?;
        let location = config.database()?;
        let made = match &location {
            Location::Sqlite(file) if !file.exists() => Some(file),
            Location::Sqlite(_) | Location::Postgres(_) => None,
        };
        if let (Some(file), Action::Add { .. }) = (made, &self.action) {
            // The first account may be made before the server has ever run. Chat and secrets will be in the folder.
            let folder = file.parent().unwrap_or(&config.data);
            make_folder(&config.data)?;
            make_folder(folder)?;
        } else if let Some(file) = made {
            let file = file.display();
            bail!("there is no database {file}: is the folder right (--data)?");
        }
        let stores = store::open(&location).await;
        let stores = stores.map_err(|error| anyhow!("{error}{}", error.hint()))?;
        let accounts = &*stores.identities;
        match &self.action {
            Action::Add { name, role } => {
                let done = add(accounts, name, *role).await?;
                let note = made.map(|file| format!("\nThe database {} is new.", file.display()));
                Ok(done + &note.unwrap_or_default())
            }
            Action::List => list(accounts).await,
            Action::Password { name } => {
                let account = find(accounts, name).await?;
                let hash = ask_password(&account.name)?;
                let now = Timestamp::now();
                let done = accounts.set_password(&account.id, &hash, now).await?;
                done.context("the account was deleted meanwhile")?;
                Ok(format!("{} has a new password.", account.name))
            }
            Action::Role { name, role } => {
                let account = find(accounts, name).await?;
                let done = accounts.set_role(&account.id, *role, Timestamp::now());
                done.await?.context("the account was deleted meanwhile")?;
                Ok(format!("{} is {} now.", account.name, role.as_str()))
            }
            Action::Delete { name } => {
                let account = find(accounts, name).await?;
                let done = accounts.delete(&account.id, Timestamp::now());
                done.await?.context("the account was deleted meanwhile")?;
                Ok(format!("{} is deleted.", account.name))
            }
        }
    }
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("data folder {}", folder.display()))
}

async fn add(
    accounts: &dyn IdentityStore,
    name: &str,
    role: AccountRole,
) -> anyhow::Result<String> {
    let name = display_name(name)?;
    let hash = ask_password(&name)?;
    let account = Account {
        id: Uuid::now_v7().to_string(),
        name,
        role,
        created_at: Timestamp::now(),
    };
    if !accounts.create(&account, &hash).await? {
        bail!("somebody has the name {}", account.name);
    }
    Ok(format!(
        "{} can sign in as {}.",
        account.name,
        role.as_str()
    ))
}

async fn list(accounts: &dyn IdentityStore) -> anyhow::Result<String> {
    let (mut lines, mut after) = (Vec::new(), String::new());
    loop {
        let page = accounts.list(&after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.account.name);
        lines.extend(page.iter().map(line));
    }
    Ok(if lines.is_empty() {
        "There are no accounts.".to_owned()
    } else {
        lines.join("\n")
    })
}

fn line(stored: &StoredAccount) -> String {
    let Account {
        name,
        role,
        created_at,
        ..
    } = &stored.account;
    let note = if stored.password_hash.is_some() {
        ""
    } else {
        "  (no password)"
    };
    format!("{:6}  {created_at}  {name}{note}", role.as_str())
}

async fn find(accounts: &dyn IdentityStore, name: &str) -> anyhow::Result<Account> {
    let name = display_name(name)?;
    let found = accounts.find_by_name(&name).await?;
    let found = found.with_context(|| format!("there is no account {name}"))?;
    Ok(found.account)
}

/// Asks for a password, checks it and returns its hash.
fn ask_password(name: &str) -> anyhow::Result<String> {
    let password = if std::io::stdin().is_terminal() {
        let (first, again) = (prompt("Password: ")?, prompt("Once more: ")?);
        if !first.is(again.expose()) {
            bail!("the two passwords differ");
        }
        first
    } else {
        read_line()?
    };
    check_new(&password, name)?;
    Ok(hash(&password)?)
}

/// Reads a line from the terminal without showing it.
fn prompt(text: &str) -> anyhow::Result<Secret> {
    let stdin = std::io::stdin();
    let mut terminal = std::io::stderr();
    write!(terminal, "{text}")?;
    terminal.flush()?;
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let line = read_line();
    tcsetattr(&stdin, OptionalActions::Now, &shown)?;
    writeln!(terminal)?;
    line
}

fn read_line() -> anyhow::Result<Secret> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// How many accounts are read at once.
const PAGE: u32 = 500;
