//! `init` and `id`: a device's own keys. Both act on the home folder alone.

use clap::Args;
use serde_json::json;
use tearline_crdt::keys::{DeviceKeys, Signer};

use super::context::Context;
use super::output::Outcome;
use super::render::facts;
use crate::config::Config;
use crate::failure::Failure;
use crate::home::{Agency, Home, Identity, write_atomically};

/// Make this device's keys and settings
///
/// With --agency the device founds an agency: its root key is made here, and belongs offline once
/// the agency has joined or founded a coalition. With --unit it is a device without a root of its
/// own, which an agency's invitation takes in.
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
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        let agency = match (&self.agency, &self.country) {
            (Some(name), Some(country)) => Some(Agency::generate(name, country)?),
            _ => None,
        };
        let name = self.unit.or(self.agency).unwrap_or_default();
        initialise(home, &name, agency.as_ref())?;
        let outcome = describe(home)?;
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
        describe(&context.home)
    }
}

/// Makes a home with a new device in it, and with an agency's root if one is given.
pub(crate) fn initialise(home: &Home, name: &str, agency: Option<&Agency>) -> Result<(), Failure> {
    crate::home::check_name("a device's name", name)?;
    home.create()?;
    let lock = home.lock()?;
    home.refuse_if_initialised()?;
    if !home.config().exists() {
        write_atomically(&home.config(), Config::template(name).as_bytes())?;
    }
    home.write_keys(&lock, &Identity::generate()?, agency)
}

fn describe(home: &Home) -> Result<Outcome, Failure> {
    let identity = home.read_identity()?;
    let agency = home.read_agency()?;
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
    lines.push(("home", home.root().display().to_string()));
    let data = json!({
        "device": device.to_string(),
        "name": config.name,
        "incarnation": format!("{:016x}", identity.incarnation),
        "agency": agency.as_ref().map(|a| json!({ "name": a.name, "country": a.country })),
        "root": root,
        "home": home.root(),
    });
    Ok(Outcome::new(data, facts(lines)))
}
