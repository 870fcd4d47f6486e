//! `init` and `id`: a device's own keys. Both act on the home folder alone.

use clap::Args;
use serde_json::json;
use tearline_crdt::keys::{DeviceKeys, Signer};

use super::context::Context;
use super::keys::{method_name, method_text, seal_hint};
use super::output::Outcome;
use super::render::facts;
use super::secrets::Seals;
use crate::config::Config;
use crate::failure::Failure;
use crate::files::write_atomically;
use crate::home::{Agency, Home, Identity};
use crate::protection::{Opener, Protection};

/// Make this device's keys and settings
///
/// With --agency the device founds an agency: its root key is made here, and belongs offline once
/// the agency has joined or founded a coalition. With --unit it is a device without a root of its
/// own, which an agency's invitation takes in.
///
/// The secrets are sealed under what --new-passphrase-file, --new-key-file, --passphrase-file or
/// --key-file names, or under what --ask-passphrase asks for. Without any of them they lie in clear,
/// readable by their owner alone, until `keys protect` seals them.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline init --agency 'Garde nationale' --country NE
  tearline --home ~/kilo init --unit KILO")]
pub(super) struct Init {
    /// Found an agency of this name
    #[arg(long, value_name = "NAME", requires = "country", required_unless_present = "unit")]
    agency: Option<String>,
    /// The agency's country: two letters, as in ISO 3166-1
    #[arg(long, value_name = "CC", requires = "agency")]
    country: Option<String>,
    /// Make a device of this name, without an agency root
    #[arg(long, value_name = "NAME", conflicts_with = "agency")]
    unit: Option<String>,
    #[command(flatten)]
    seals: Seals,
    /// Ask for a passphrase on the terminal, and seal the secrets under it
    #[arg(long, conflicts_with_all = ["new_passphrase_file", "new_key_file"])]
    ask_passphrase: bool,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        let agency = match (&self.agency, &self.country) {
            (Some(name), Some(country)) => Some(Agency::generate(name, country)?),
            _ => None,
        };
        let name = self.unit.or(self.agency).unwrap_or_default();
        home.refuse_if_initialised()?;
        let mut opener = context.opener();
        let secret =
            opener.secret_for_new(&self.seals.sources(), self.ask_passphrase, "this device")?;
        if self.ask_passphrase && secret.is_none() {
            return Err(Failure::usage("there is no terminal to ask for a passphrase on"));
        }
        let protection = Protection::under(secret.as_ref())?;
        initialise(home, &name, agency.as_ref(), &protection)?;
        if let Some(secret) = secret {
            opener.also_try(secret);
        }
        let mut outcome = describe(home, &mut opener)?;
        if matches!(protection, Protection::Clear) {
            outcome = outcome.hint(format!("the secrets lie in clear; {}", seal_hint(home)));
        }
        Ok(match agency {
            Some(_) => outcome
                .hint(format!(
                    "{} is the agency's root: once the agency is in a coalition, move it offline",
                    home.agency_key().display()
                ))
                .hint(format!("start the daemon: {}", home.command("run"))),
            None => outcome.hint(format!(
                "start the daemon ({}), then: {}",
                home.command("run"),
                home.command("join INVITATION")
            )),
        })
    }
}

/// Show this device's id and agency
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline id --json")]
pub(super) struct Id {}

impl Id {
    #[expect(clippy::unused_self, reason = "every verb runs alike")]
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        describe(&context.home, &mut context.opener())
    }
}

/// Makes a home with a new device in it, and with an agency's root if one is given.
pub(crate) fn initialise(
    home: &Home,
    name: &str,
    agency: Option<&Agency>,
    protection: &Protection,
) -> Result<(), Failure> {
    crate::home::check_name("a device's name", name)?;
    home.create()?;
    let lock = home.lock()?;
    home.refuse_if_initialised()?;
    if !home.config().exists() {
        write_atomically(&home.config(), Config::template(name).as_bytes())?;
    }
    home.write_keys(&lock, &Identity::generate()?, agency, protection)
}

fn describe(home: &Home, opener: &mut Opener) -> Result<Outcome, Failure> {
    let identity = home.read_identity(opener)?;
    let agency = home.read_agency(opener)?;
    let method = home.device_method()?;
    let config = Config::read(home)?;
    let device = DeviceKeys::from_seeds(&identity.device_seed, &identity.agreement_seed).id();
    let root = agency.as_ref().map(|agency| {
        Signer::from_seed(&agency.root_seed)
            .public()
            .iter()
            .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    });
    let mut lines = vec![
        ("device", device.to_string()),
        ("name", config.name.clone()),
        ("incarnation", format!("{:016x}", identity.incarnation)),
    ];
    if let (Some(agency), Some(root)) = (&agency, &root) {
        lines.push(("agency", format!("{} ({})", agency.name, agency.country)));
        lines.push(("root", root.clone()));
    }
    lines.push(("keys", method_text(method.as_ref())));
    lines.push(("home", home.root().display().to_string()));
    let data = json!({
        "device": device.to_string(),
        "name": config.name,
        "incarnation": format!("{:016x}", identity.incarnation),
        "agency": agency.as_ref().map(|a| json!({ "name": a.name, "country": a.country })),
        "root": root,
        "keys": method_name(method.as_ref()),
        "home": home.root(),
    });
    Ok(Outcome::new(data, facts(lines)))
}
