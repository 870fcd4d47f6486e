//! `init` and `id`: a device's own keys, in the home folder alone. `device`: those of the coalition.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde_json::json;
use tearline_crdt::keys::{DeviceKeys, Signer};

use super::context::Context;
use super::grant::{LimitArgs, RIGHTS};
use super::keys::{method_name, method_text, seal_hint};
use super::output::Outcome;
use super::render::{Table, agency, counted, facts, short, standing, time};
use super::secrets::Seals;
use super::when::{KEEP_BY, since};
use crate::config::Config;
use crate::control::reply::Invitation;
use crate::control::trust::{
    Device as Shown, DeviceLost, DeviceName, Devices, KeptLog, Lost, Void,
};
use crate::control::{Empty, PeerInvite, Request};
use crate::failure::{Failure, Kind};
use crate::files::write_atomically;
use crate::home::{Agency, Home, Identity};
use crate::length;
use crate::protection::{Opener, Protection};
use crate::store::check_clock;

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
        // Its daemon would not start; and what the keys' files say of their age would be wrong.
        check_clock(SystemTime::now())?;
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
    home.refuse_if_half_restored()?;
    if home.config().exists() {
        let called = Config::read(home)?.name;
        // The name of an agency is not the device's: that may be another.
        if called.is_empty() || agency.is_none() && called != name {
            let path = home.config().display().to_string();
            return Err(Failure::usage(format!(
                "{path} calls this device {called:?}, and the command calls it {name:?}"
            ))
            .hint(format!(
                "nothing was made: write name = {name:?} there, or give its name here"
            )));
        }
    } else {
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

/// Enrol, list and give up devices
#[derive(Debug, Subcommand)]
pub(super) enum Device {
    /// Make an invitation for a further device of this agency
    ///
    /// The device joins with it, and both sides then show the same eight digits: read them to each
    /// other. If they differ, somebody else came in: `device lost`.
    #[command(after_help = "\
Example:
  tearline device enrol KILO --expires 1h --qr
  tearline device enrol DESK-2 --history          reads what was written before it came, too
  tearline device enrol GATE-4 --right read       writes nothing
  tearline device enrol PATROL --kind sighting,alert --until 2026-12-31T00:00:00Z
  tearline --home ~/kilo join INVITATION          on the device
  tearline device list                            shows the check")]
    Enrol {
        /// What the device is called here
        name: String,
        /// How long the invitation is good
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = expiry)]
        expires: u64,
        /// What it may do; each right includes those before it
        #[arg(long, value_parser = RIGHTS, default_value = "write")]
        right: String,
        #[command(flatten)]
        limits: LimitArgs,
        /// Show it as a QR code, too
        #[arg(long)]
        qr: bool,
    },
    /// List the coalition's devices
    #[command(after_help = "\
Example:
  tearline device list")]
    List,
    /// Call a device by a name, on this peer
    #[command(after_help = "\
Example:
  tearline device name 4be1a09c KILO")]
    Name {
        /// The device: its id, or the beginning of it
        device: String,
        /// The name
        name: String,
    },
    /// A device is in other hands: end its standing, begin new keys, show what it could read
    ///
    /// One duty officer of the device's agency suffices. What this peer held of the device at the time
    /// still counts; what came after is quarantined on every peer alike, and can be adopted entry by
    /// entry. How far the device's own dates would have it count is listed beside that.
    #[command(after_help = "\
Example:
  tearline device lost KILO --since 01:40 --dry-run
  tearline device lost KILO --since 01:40 --json")]
    Lost {
        /// The device: its name here, its id, or the beginning of it
        device: String,
        /// Since when: a time, a time of day in UTC, or so long ago
        #[arg(long, value_name = "TIME", value_parser = since, allow_hyphen_values = true)]
        since: String,
        /// By what that is told: what this peer held by then, or what the entries say of themselves, which
        /// who has the device's keys chooses [default: arrival]
        #[arg(long, value_parser = KEEP_BY)]
        by: Option<String>,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

const EXPIRES_S_MAX: u64 = 30 * 86_400;

fn expiry(text: &str) -> Result<u64, String> {
    length::read(text, EXPIRES_S_MAX)
}

impl Device {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Enrol { .. } => "device.enrol",
            Self::List => "device.list",
            Self::Name { .. } => "device.name",
            Self::Lost { .. } => "device.lost",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Enrol { name, expires, right, limits, qr } => {
                let invite = PeerInvite {
                    name: Some(name),
                    device: true,
                    right: Some(right),
                    limits: limits.into(),
                    expires_s: expires,
                    addresses: Vec::new(),
                };
                enrol(context, invite, qr)
            }
            Self::List => {
                let answer = context.ask::<Devices>(Request::DeviceList(Empty {}))?;
                let mut table =
                    Table::new(&["device", "name", "agency", "right", "standing", "check"]);
                for device in &answer.typed.devices {
                    table.row([
                        short(&device.device),
                        device.name.clone().unwrap_or_default(),
                        agency(&device.agency),
                        device.right.clone(),
                        standing(&device.standing),
                        device.check.clone().unwrap_or_default(),
                    ]);
                }
                Ok(Outcome::new(answer.data, table.text("no devices")))
            }
            Self::Name { device, name } => {
                let request = Request::DeviceName(DeviceName { device, name });
                let answer = context.ask::<Shown>(request)?;
                let text = facts([("device", device_label(&answer.typed))]);
                Ok(Outcome::new(answer.data, text))
            }
            Self::Lost { device, since, by, dry_run } => {
                let request = Request::DeviceLost(DeviceLost { device, since, by, dry_run });
                let answer = context.ask::<Lost>(request)?;
                let lost = &answer.typed;
                let done = lost.statement.is_some() || lost.already;
                let mut outcome = Outcome::new(answer.data, lost_text(lost)).without(&lost.unread);
                if done {
                    outcome = outcome.hint(late_work(context));
                }
                Ok(outcome.short_of(Kind::Incomplete, lost.unlisted.is_some()))
            }
        }
    }
}

fn enrol(context: &Context, invite: PeerInvite, qr: bool) -> Result<Outcome, Failure> {
    let answer = context.ask::<Invitation>(Request::PeerInvite(invite))?;
    let invitation = &answer.typed;
    let reads = match invitation.right.as_deref() {
        Some("relay") => NOTHING,
        _ if invitation.history => ALL,
        _ => FROM_NOW,
    };
    let mut text = facts([
        ("invitation", invitation.invitation.clone()),
        ("expires", time(&invitation.expires)),
        ("right", invitation.right.clone().unwrap_or_default()),
        ("limits", invitation.limits.clone().unwrap_or_default()),
        ("will read", reads.into()),
    ]);
    if qr {
        let code = qrcode::QrCode::new(invitation.invitation.as_bytes());
        let code = code.map_err(|_| Failure::failed("the invitation is too long for a QR code"))?;
        text += "\n";
        text += &code.render::<qrcode::render::unicode::Dense1x2>().quiet_zone(true).build();
        text += "\n";
    }
    Ok(Outcome::new(answer.data, text)
        .hint("on the device: tearline init --unit NAME, tearline run, tearline join INVITATION")
        .hint("then read the eight digits of `join` and of `device list` to each other"))
}

/// Where what a device wrote waits that does not count.
pub(super) fn late_work(context: &Context) -> String {
    let (inbox, adopt) = (context.home.command("inbox"), context.home.command("grant adopt ENTRY"));
    format!(
        "what it wrote that does not count, and what of it is still to come, waits in: {inbox}; what is honest of \
         that comes to count by: {adopt}"
    )
}

/// What an enrolled device will read, for people.
const NOTHING: &str = "nothing; it stores and passes on";
const ALL: &str = "all records of the agency's compartments, old ones too";
const FROM_NOW: &str = "what is written or changed from its joining on; --history for all";

/// A device, for people: its name here, or the beginning of its id.
pub(super) fn device_label(device: &Shown) -> String {
    match &device.name {
        Some(name) => format!("{name} ({})", short(&device.device)),
        None => short(&device.device),
    }
}

/// What a device said that does not count any more, for people; empty if it said nothing.
pub(super) fn void_text(void: &[Void]) -> String {
    if void.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["what", "times", "compartment", "how to say it again"]);
    for one in void.iter().take(VOID_SHOWN_MAX) {
        let times = one.times.to_string();
        table.row([one.what.clone(), times, one.compartment.clone(), one.again.clone()]);
    }
    let more = match void.len().saturating_sub(VOID_SHOWN_MAX) {
        0 => String::new(),
        more => format!("and {more} more; --json has them all\n"),
    };
    format!("\nWhat it said that does not count without it\n{}{more}", table.text(""))
}

/// Most of it that is shown to people.
const VOID_SHOWN_MAX: usize = 40;

fn by_text(by: &str) -> &'static str {
    if by == KEEP_BY[0] {
        "arrival: what this peer held then still counts"
    } else {
        "own-dates: what is dated before then still counts"
    }
}

fn statement(lost: &Lost) -> String {
    match &lost.statement {
        Some(statement) => statement.clone(),
        None if lost.already => {
            let by = lost.device.standing.by.join(", ");
            format!("none: it was lost already, {}, by {by}", standing(&lost.device.standing))
        }
        None => "none: nothing was done".into(),
    }
}

/// By what it was told which entries still count, where arrival and dates say different things, for people.
fn cut_text(lost: &Lost) -> String {
    let sum = |entries: &dyn Fn(&KeptLog) -> u64| lost.kept.iter().map(entries).sum::<u64>();
    let late = sum(&|log| log.by_dates.entries.saturating_sub(log.by_arrival.entries));
    let ahead = sum(&|log| log.by_arrival.entries.saturating_sub(log.by_dates.entries));
    let arrival = lost.by == KEEP_BY[0];
    let mut text = String::new();
    if late > 0 && arrival {
        text += &format!(
            "{} dated before that came here after it: late, or forged by who has the keys. What of them does\n\
             not count waits in `tearline inbox`. If you know them to be honest, up to the last of each log:\n",
            entries(late),
        );
        for log in lost.kept.iter().filter(|log| log.by_dates.entries > log.kept) {
            let last = log.by_dates.last.as_deref().map(short).unwrap_or_default();
            text += &format!("  tearline grant adopt {last}\n");
        }
    } else if late > 0 {
        text += &format!(
            "{} came here after that and count by their own dates, which who has the keys could choose.\n",
            entries(late),
        );
    }
    if ahead > 0 {
        text += &format!(
            "{} came here before that, dated after it or out of order: by a clock that was wrong. {}\n",
            entries(ahead),
            if arrival { "They count." } else { "They do not count." },
        );
    }
    if arrival && sum(&|log| log.by_arrival.entries) == 0 && sum(&|log| log.held) > 0 {
        text += "This peer held nothing of it at that time. A desk that did keeps more.\n";
    }
    text
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".into() } else { format!("{count} entries") }
}

/// What came of a lost device, for people.
pub(super) fn lost_text(lost: &Lost) -> String {
    let mut text = facts([
        ("device", device_label(&lost.device)),
        ("agency", agency(&lost.device.agency)),
        ("since", time(&lost.since)),
        ("by", by_text(&lost.by).into()),
        ("statement", statement(lost)),
        (
            "new keys",
            match (&lost.statement, lost.rotated.is_empty()) {
                (None, _) => "none".into(),
                (Some(_), true) => "begun by whoever writes next".into(),
                (Some(_), false) => lost.rotated.join(", "),
            },
        ),
    ]);
    let mut logs = Table::new(&[
        "compartment",
        "class",
        "held",
        "came before",
        "dated before",
        "kept",
        "last good entry",
        "written",
        "next",
    ]);
    for log in &lost.kept {
        logs.row([
            log.compartment.clone(),
            log.class.clone(),
            log.held.to_string(),
            log.by_arrival.entries.to_string(),
            log.by_dates.entries.to_string(),
            log.kept.to_string(),
            log.last.as_deref().map(short).unwrap_or_default(),
            log.last_at.as_deref().map(time).unwrap_or_default(),
            log.next_at.as_deref().map(time).unwrap_or_default(),
        ]);
    }
    text += &format!("\nWhat it wrote\n{}", logs.text("nothing that is held here"));
    if lost.more_logs > 0 {
        text += &format!("and {} more\n", counted(lost.more_logs, "log"));
    }
    if lost.unnamed > 0 {
        text += &format!(
            "nothing is kept of {}: one statement cannot name more. What was honest there is adopted from\n\
             `tearline inbox`.\n",
            counted(lost.unnamed, "log")
        );
    }
    text += &cut_text(lost);
    text += &void_text(&lost.void);
    if !lost.exposed.is_empty() {
        let mut records =
            Table::new(&["compartment", "epochs", "record", "label", "title", "flags"]);
        for exposed in &lost.exposed {
            for (n, record) in exposed.records.iter().enumerate() {
                let first = n == 0;
                records.row([
                    if first { exposed.name.clone() } else { String::new() },
                    if first { exposed.epochs.len().to_string() } else { String::new() },
                    short(&record.record),
                    record.label.clone(),
                    record.title.clone(),
                    if record.quarantined { "quarantined".into() } else { String::new() },
                ]);
            }
            if exposed.records.is_empty() {
                let epochs = exposed.epochs.len().to_string();
                records.row([exposed.name.clone(), epochs, "no records".into()]);
            }
        }
        text += &format!("\nWhat it could read\n{}", records.text("nothing"));
        let count: u64 = lost.exposed.iter().map(|exposed| exposed.count).sum();
        let listed: usize = lost.exposed.iter().map(|exposed| exposed.records.len()).sum();
        if count > listed as u64 {
            text += &format!("and {} further records\n", count - listed as u64);
        }
    }
    if let Some(why) = &lost.unlisted {
        text += &format!("\nWhat it could read cannot be listed: {why}\n");
    }
    let names = |devices: &[Shown]| {
        let names: Vec<String> = devices
            .iter()
            .map(|device| format!("{} {}", agency(&device.agency), device_label(device)))
            .collect();
        names.join(", ")
    };
    if lost.statement.is_some() || lost.already {
        text += "\n";
        text += &facts([
            ("have heard", names(&lost.heard)),
            ("not known to have heard", names(&lost.not_heard)),
        ]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::trust::KeptUpTo;

    #[test]
    fn where_dates_and_arrival_differ_it_is_said_what_counts_and_what_adopts_the_rest() {
        let up_to = |entries, last: &str| KeptUpTo {
            entries,
            last: Some(last.into()),
            ..KeptUpTo::default()
        };
        let said = |by: &str, arrival, dates, kept| {
            let log = KeptLog {
                held: 9,
                kept,
                by_arrival: up_to(arrival, "aaaaaaaaaaaa"),
                by_dates: up_to(dates, "dddddddddddd"),
                ..KeptLog::default()
            };
            cut_text(&Lost { by: by.into(), kept: vec![log], ..Lost::default() })
        };
        assert_eq!(said("arrival", 4, 4, 4), "");
        let late = said("arrival", 1, 4, 1);
        assert!(late.starts_with("3 entries dated before that came here after it"), "{late}");
        assert!(late.contains("tearline grant adopt dddddddd\n"), "{late}");
        assert!(!said("arrival", 1, 4, 4).contains("grant adopt"), "it was adopted");
        assert!(said("own-dates", 3, 4, 4).starts_with("1 entry came here after that"));
        assert!(said("arrival", 4, 1, 4).ends_with("They count.\n"));
        assert!(said("own-dates", 4, 1, 1).ends_with("They do not count.\n"));
        assert!(said("arrival", 0, 0, 0).contains("held nothing of it"));
    }
}
