//! `backup`: a home in one sealed file, and back. Acts on the home folder alone.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::context::Context;
use super::output::{Outcome, data};
use super::render::{bytes, facts};
use super::secrets::Seals;
use crate::backup::{self, Contents};
use crate::failure::Failure;
use crate::protection::{Method, Protection};
use crate::service::core::Clock;

/// Make, look into and restore sealed backups of a home
#[derive(Debug, Subcommand)]
pub(super) enum Backup {
    Create(Create),
    Inspect(Inspect),
    Restore(Restore),
}

/// Write this home into one sealed file: secrets, settings, logs and records
///
/// The file is sealed under what --new-passphrase-file or --new-key-file names, or else under what
/// opens the home, if that is named, or else a passphrase is asked for. The daemon must not be
/// running. Nothing is overwritten.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline backup create /media/safe/kilo.backup
  tearline --passphrase-file P backup create kilo.backup --new-key-file /media/stick/backup.key")]
pub(super) struct Create {
    /// Where to write it
    file: PathBuf,
    #[command(flatten)]
    seals: Seals,
}

/// Show what is in a backup, and check every byte of it
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline backup inspect /media/safe/kilo.backup")]
pub(super) struct Inspect {
    /// The backup
    file: PathBuf,
}

/// Make a home from a backup, as the same device in a new life
///
/// The device begins new logs, so that it forks none of those that it went on writing after the
/// backup was made; its peers bring what is missing. The home that the backup was made of must not
/// run any more: one device is one daemon. The new home's secrets are sealed under what
/// --new-passphrase-file or --new-key-file names, or else under what opens the backup.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline backup restore /media/safe/kilo.backup --home NEW")]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    seals: Seals,
    /// Put the new home's secrets in clear, readable by their owner alone
    #[arg(long, conflicts_with_all = ["new_passphrase_file", "new_key_file"])]
    in_clear: bool,
}

impl Backup {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "backup.create",
            Self::Inspect(_) => "backup.inspect",
            Self::Restore(_) => "backup.restore",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Create(verb) => verb.run(context),
            Self::Inspect(verb) => verb.run(context),
            Self::Restore(verb) => verb.run(context),
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        home.check_root()?;
        let lock = home.lock()?;
        let file = absolute(&self.file)?;
        let mut opener = context.opener();
        // What opens the home is asked for before what seals the backup.
        home.read_identity(&mut opener)?;
        let sealing = opener.sealing_for_new(&self.seals.sources(), "the backup")?;
        let created = Clock::start().now().wall;
        let contents = backup::create(home, &lock, &mut opener, &sealing, &file, created)?;
        let sealed = sealing.head().method;
        Ok(outcome(&contents, &[("backup", sealed_text(&sealed))])?
            .hint("keep what it is sealed under apart from it: together they are the device"))
    }
}

impl Inspect {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let file = absolute(&self.file)?;
        outcome(&backup::inspect(&file, &mut context.opener())?, &[])
    }
}

impl Restore {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        let file = absolute(&self.file)?;
        let (in_clear, named) = (self.in_clear, self.seals.sources());
        let mut kept = String::new();
        let restored = backup::restore(&file, home, &mut context.opener(), |opener| {
            let protection =
                if in_clear { Protection::Clear } else { opener.protection_for_new(&named)? };
            kept = protection.to_string();
            Ok(protection)
        })?;
        let life = format!("{:016x}", restored.incarnation);
        let extra =
            [("home", home.root().display().to_string()), ("keys", kept), ("new life", life)];
        Ok(outcome(&restored.contents, &extra)?
            .hint("see that the home it was made of never runs again: one device is one daemon")
            .hint(format!("start the daemon: {}", home.command("run"))))
    }
}

fn outcome(contents: &Contents, extra: &[(&'static str, String)]) -> Result<Outcome, Failure> {
    let root = match &contents.agency {
        Some(agency) => format!("of {agency}"),
        None => "not in it".to_owned(),
    };
    let mut lines = vec![
        ("made", contents.created.clone()),
        ("device", format!("{} ({})", contents.name, contents.device)),
        ("incarnation", contents.incarnation.clone()),
        ("agency root", root),
        ("logs", contents.logs.to_string()),
        ("records", contents.records.to_string()),
        ("store", bytes(contents.store_bytes)),
        ("file", bytes(contents.file_bytes)),
    ];
    lines.extend(extra.iter().cloned());
    let mut data = data(contents)?;
    if let Some(object) = data.as_object_mut() {
        object
            .extend(extra.iter().map(|(key, value)| (key.replace(' ', "_"), value.clone().into())));
    }
    Ok(Outcome::new(data, facts(lines)))
}

fn sealed_text(method: &Method) -> String {
    method.to_string()
}

/// A path that has a folder.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|e| Failure::io(format_args!("cannot use {}", path.display()), &e))
}
