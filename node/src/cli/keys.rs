//! `keys`: how a device's secrets are protected at rest. Acts on the home folder alone.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::Context;
use super::output::Outcome;
use super::render::facts;
use super::secrets::Seals;
use crate::failure::{Failure, Kind};
use crate::home::Home;
use crate::protection::{Method, Protection};

/// See and change how this device's secrets are protected
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Show how the secrets are protected; opens nothing
    #[command(after_help = "\
Example:
  tearline keys show")]
    Show,
    Protect(Protect),
}

/// Seal the secrets under a passphrase or a key file, or another one
///
/// The store is sealed under a key that lies among these secrets, so this protects it too. What
/// opens the secrets today is named by --passphrase-file or --key-file, or asked for. The old files
/// are overwritten; flash memory and snapshots may keep a copy all the same. If this breaks off in
/// the middle, do it again. The daemon must not be running.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline keys protect                                      asks for a new passphrase
  tearline keys protect --new-key-file /media/stick/tearline.key
  tearline keys protect --new-passphrase-file /run/credentials/tearline/passphrase")]
pub(super) struct Protect {
    #[command(flatten)]
    seals: Seals,
    /// Put them in clear, readable by their owner alone
    #[arg(long, conflicts_with_all = ["new_passphrase_file", "new_key_file"])]
    in_clear: bool,
}

impl Keys {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Show => "keys.show",
            Self::Protect(_) => "keys.protect",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Show => show(&context.home),
            Self::Protect(verb) => verb.run(context),
        }
    }
}

impl Protect {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        home.check_root()?;
        let lock = home.lock()?;
        let mut opener = context.opener();
        // What opens today is asked for before what shall open, and a wrong one ends it here. After
        // a break in the middle the device's own file is the one that has not changed yet.
        home.read_identity(&mut opener)?;
        let secret = if self.in_clear {
            None
        } else {
            let named = self.seals.sources();
            let given = opener.secret_for_new(&named, true, "this device")?;
            Some(given.ok_or_else(|| {
                Failure::usage("nothing was given to seal the secrets under").hint(
                    "--new-passphrase-file PATH, --new-key-file PATH, or run this on a terminal",
                )
            })?)
        };
        let protection = Protection::under(secret.as_ref())?;
        if let Some(secret) = secret {
            opener.also_try(secret);
        }
        home.protect(&lock, &mut opener, &protection)?;
        let outcome = show(home)?;
        Ok(match protection {
            Protection::Clear => outcome,
            Protection::Sealed(_) => outcome.hint(
                "without what they are sealed under, the secrets are lost: keep a second copy of \
                 it in a safe, and make a backup",
            ),
        })
    }
}

/// How a file is protected, for programs.
pub(super) const fn method_name(method: Option<&Method>) -> &'static str {
    match method {
        None => "clear",
        Some(Method::Passphrase(_)) => "passphrase",
        Some(Method::KeyFile) => "key-file",
    }
}

/// How a file is protected, for people.
pub(super) fn method_text(method: Option<&Method>) -> String {
    method.map_or_else(|| Protection::Clear.to_string(), ToString::to_string)
}

fn show(home: &Home) -> Result<Outcome, Failure> {
    let device = home.device_method()?;
    let agency = home.agency_method()?;
    let data = json!({
        "device": method_name(device.as_ref()),
        "agency": agency.as_ref().map_or(Value::Null, |a| method_name(a.as_ref()).into()),
    });
    let agency = agency.map_or("not on this device".into(), |agency| method_text(agency.as_ref()));
    let lines = [("device key", method_text(device.as_ref())), ("agency root", agency)];
    let outcome = Outcome::new(data, facts(lines));
    Ok(match device {
        None => outcome.hint(seal_hint(home)),
        Some(_) => outcome,
    })
}

/// How to seal what lies in clear.
pub(super) fn seal_hint(home: &Home) -> String {
    format!("seal them under a passphrase: {}", home.command("keys protect"))
}

/// Whether a check may go on without having opened a file: nothing was given to open it with.
pub(super) fn only_closed(failure: &Failure) -> bool {
    failure.kind == Kind::Usage
}
