//! `run`, `status` and `doctor`: the daemon, and how it is.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tearline_mesh::replica::RelayTerms;

use super::anew::Anew;
use super::context::Context;
use super::output::{Outcome, data};
use super::render::{Table, agency, bytes, clean, facts, short, time};
use super::{compartment, device, keys, peer};
use crate::config::Config;
use crate::control::reply::{
    Check, CheckStatus, Doctor as Report, Fork, Joining, Relay, Status as Shown,
};
use crate::control::unread::{self, UnreadEntries};
use crate::control::{Empty, Request, client};
use crate::daemon::{self, Options};
use crate::failure::{Failure, Kind};
use crate::gateway;
use crate::home::{Home, Identity};
use crate::length;
use crate::logging;
use crate::portal;
use crate::size;
use crate::store::{self, OpenError, StoreKey, VALUES_DAMAGED_FIX};

/// Run this device's daemon, until it is interrupted
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline run
  tearline run --listen /ip4/0.0.0.0/udp/4001/quic-v1 --listen /ip4/0.0.0.0/tcp/4001
  tearline run --api 127.0.0.1:8100        (docs/gateway.md)
  tearline run --api 192.0.2.7:8443 --tls-cert taxii.pem --tls-key taxii.key --api-url https://taxii.example.org:8443
  tearline run --portal 127.0.0.1:8080     (docs/portal.md)
  tearline run --relay --relay-quota 20GiB --relay-keep 14d

A relay holds sealed entries for others and can read none. Over its quota, or past the time that it
keeps them, it lets go of the least urgent first, and of those of the oldest; never of statements.")]
pub(super) struct Run {
    /// Where to listen for peers, instead of where the settings say
    #[arg(long, value_name = "MULTIADDR", num_args = 1..)]
    listen: Vec<String>,
    /// Serve other programs over HTTP there (TAXII 2.1, OGC API Features, JSON); each shows a pass
    #[arg(long, value_name = "ADDRESS:PORT")]
    api: Option<String>,
    /// The URL that clients reach it by, where that is a name or a proxy stands before it
    #[arg(long, value_name = "URL", requires = "api")]
    api_url: Option<String>,
    /// Serve it over TLS with the certificates in this file (PEM), its own first
    #[arg(long, value_name = "FILE", requires_all = ["api", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// The key of its own certificate, in a file (PEM) that nobody else may read
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve it to the network without TLS: passes and records can be read on the way
    #[arg(long, requires = "api")]
    api_plain: bool,
    /// Serve the portal there, to browsers on this machine; its link is printed
    #[arg(long, value_name = "ADDRESS:PORT")]
    portal: Option<String>,
    /// Be a blind relay: a device that may read is refused
    #[arg(long)]
    relay: bool,
    /// How much a relay holds: a number and B, KiB, MiB or GiB
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size::read, requires = "relay")]
    relay_quota: u64,
    /// For how long a relay keeps an entry: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = keep, requires = "relay")]
    relay_keep: u64,
    /// Look for members on the local network, by multicast DNS, and answer those who look
    #[arg(long)]
    mdns: bool,
    /// Stop when stdin ends, so that the daemon does not outlive the program that started it
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
    /// Quarantine nothing, to show what an exercise notices; never for a real peer
    #[arg(long, hide = true, requires = "until_stdin_ends")]
    sabotage: bool,
}

impl Run {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        home.check_root()?;
        let config = Config::read(home)?;
        logging::start(&logging::filter(&config.log, context.flags.quiet, context.flags.verbose));
        let (url, plain) = (self.api_url.as_deref(), self.api_plain);
        let tls = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        let api =
            self.api.map(|address| gateway::Options::new(&address, url, tls, plain)).transpose()?;
        let portal = self.portal.map(|address| portal::Options::new(&address)).transpose()?;
        let options = Options {
            listen: self.listen,
            api,
            portal,
            until_stdin_ends: self.until_stdin_ends,
            sabotage: self.sabotage,
            mdns: self.mdns,
            relay: self.relay.then(|| RelayTerms {
                quota_bytes: self.relay_quota,
                retention_ms: self.relay_keep * 1_000,
            }),
        };
        let reason = daemon::run(home, options, context.opener(), context.start)?;
        Ok(Outcome::new(json!({ "stopped": reason }), String::new()))
    }
}

/// Reads how long a relay keeps what it holds.
fn keep(text: &str) -> Result<u64, String> {
    length::read(text, RELAY_KEEP_S_MAX)
}

/// Longest time that a relay keeps an entry: ten years.
const RELAY_KEEP_S_MAX: u64 = 3_650 * length::DAY_S;

/// Show how this device, its peers and its compartments are
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline status")]
pub(super) struct Status {}

impl Status {
    #[expect(clippy::unused_self, reason = "every verb runs alike")]
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let answer = context.ask::<Shown>(Request::Status(Empty {}))?;
        let status = &answer.typed;
        let coalition = match &status.coalition {
            Some(coalition) => format!("{} ({})", coalition.name, short(&coalition.coalition)),
            None => status.joining.first().map_or_else(|| "none yet".into(), asked),
        };
        let head = facts([
            ("device", format!("{} ({})", status.name, status.device)),
            ("agency", status.agency.as_ref().map_or("none yet".into(), agency)),
            ("coalition", coalition),
            (
                "daemon",
                format!("{}, pid {}, since {}", status.version, status.pid, time(&status.started)),
            ),
            ("listens on", status.addresses.join(" ")),
            ("API", status.api.clone().unwrap_or_else(|| "not served".into())),
            ("portal", status.portal.clone().unwrap_or_else(|| "not served".into())),
            ("store", format!("{}, {}", bytes(status.store_bytes), status.patrol)),
        ]);
        let relays = status.relay.as_ref().map(|relay| facts([("relay", house(relay))]));
        let ended = status.ended.as_ref().map(|end| format!("{}\n\n", clean(&end.to_string())));
        let damage = status.damage.as_ref().map(|what| format!("DAMAGE: {}\n\n", clean(what)));
        let mut text = format!(
            "{}{}{}{head}{}\n{}\n{}",
            damage.unwrap_or_default(),
            unreadable(&status.unreadable),
            ended.unwrap_or_default(),
            relays.unwrap_or_default(),
            peer::table(&status.peers, status.known),
            compartment::table(&status.compartments)
        );
        if !status.forks.is_empty() {
            text += &format!("\n{}", forks(&status.forks));
        }
        let mut outcome = Outcome::new(answer.data, text);
        if let Some(end) = &status.ended {
            outcome = outcome.hint(end.fix.clone());
        }
        if status.damage.is_some() {
            outcome = outcome.hint(VALUES_DAMAGED_FIX);
        }
        if let Some(why) = &status.store_failure {
            outcome = outcome.hint(format!(
                "the store failed ({}): free disk space or repair the disk, then start the daemon \
                 again",
                clean(why)
            ));
        }
        if let Some(why) = &status.shortage {
            outcome = outcome.hint(clean(why));
        }
        if status.forks.iter().any(|fork| fork.current) {
            outcome =
                outcome.hint("this device cannot write to its forked logs: `tearline doctor`");
        }
        Ok(outcome)
    }
}

/// What this device asks to come into, for people.
fn asked(joining: &Joining) -> String {
    let (coalition, inviter) = (short(&joining.coalition), short(&joining.inviter));
    if joining.awaits_signatures {
        format!(
            "none yet: {inviter} proposed this device for {coalition}; the founders' signatures are awaited"
        )
    } else {
        format!("none yet: {inviter} is asked for {coalition}, and has not answered")
    }
}

/// What of logs cannot be read, for people.
fn unreadable(stretches: &[UnreadEntries]) -> String {
    let one = |one: &UnreadEntries| {
        format!(
            "UNREADABLE: {} entries of the {} log of {} in {}, from entry {} on; {}\n",
            one.count,
            one.class,
            device::device_label(&one.device),
            clean(&one.compartment),
            one.first,
            clean(&one.reason)
        )
    };
    let shown: String = stretches.iter().take(UNREADABLE_SHOWN).map(one).collect();
    let more = match stretches.len().saturating_sub(UNREADABLE_SHOWN) {
        0 => String::new(),
        more => format!("and {more} more such places\n"),
    };
    if shown.is_empty() { shown } else { format!("{shown}{more}\n") }
}

/// Places with unreadable entries that `status` shows.
const UNREADABLE_SHOWN: usize = 5;

/// How a relay's house is kept, for people.
fn house(relay: &Relay) -> String {
    let Some(quota) = relay.quota_bytes else {
        return "stores and forwards, reads nothing, holds all; a bound is set by `run --relay`"
            .into();
    };
    let held = size::near(relay.held_bytes);
    let mut text = format!("reads nothing; holds {held} of {}", size::text(quota));
    text += &relay.kept_s.map(|s| format!(", for up to {}", length::text(s))).unwrap_or_default();
    if relay.evicted_bytes > 0 {
        text += &format!("; let go of {} since it started", size::near(relay.evicted_bytes));
    }
    if relay.full {
        text += "; full of what is more urgent than what comes";
    }
    text
}

/// The logs with two histories, for people.
fn forks(forks: &[Fork]) -> String {
    let mut table = Table::new(&["forked log of", "agency", "compartment", "class", "from entry"]);
    for fork in forks {
        let whose = if fork.own { " (this device)" } else { "" };
        table.row([
            format!("{}{whose}", short(&fork.device)),
            agency(&fork.agency),
            fork.compartment_name.clone(),
            fork.class.clone(),
            fork.seq.to_string(),
        ]);
    }
    table.text("")
}

/// Check this device: files, settings, store, daemon, peers
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tearline doctor
  tearline doctor --rebuild        looks first, and asks

Exit code 1 when a check fails, and 9 when one finds damage.")]
pub(super) struct Doctor {
    #[command(flatten)]
    act: Anew,
}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        if let Some(done) = self.act.run(context) {
            return done;
        }
        let (mut checks, identity) = check_home(context)?;
        match context.ask::<Report>(Request::Doctor(Empty {})) {
            Ok(answer) => {
                checks.push(pass("daemon", "it answers"));
                checks.extend(answer.typed.checks);
            }
            Err(failure) if failure.kind == Kind::Unreachable => {
                let silent = client::listens(&context.home);
                let status = if silent { CheckStatus::Fail } else { CheckStatus::Warn };
                checks.push(Check { status, ..failed("daemon", failure) });
                checks.extend(check_disk(&context.home));
                checks.extend(check_store(&context.home, identity.as_ref()));
            }
            Err(failure) => checks.push(failed("daemon", failure)),
        }
        let mut table = Table::new(&["verdict", "check", "found"]).with_whole_ends();
        let mut fixes = Vec::new();
        for check in &checks {
            let mark = match check.status {
                CheckStatus::Pass => "pass",
                CheckStatus::Warn => "warn",
                CheckStatus::Fail => "FAIL",
                CheckStatus::Damaged => "DAMAGED",
                CheckStatus::Skip => "skip",
            };
            table.row([mark, &check.name, &check.message]);
            fixes.extend(check.fix.clone());
        }
        let any = |status| checks.iter().any(|check| check.status == status);
        let (fails, damaged) = (any(CheckStatus::Fail), any(CheckStatus::Damaged));
        let text = table.text("nothing was checked");
        let mut outcome = Outcome::new(data(&Report { checks })?, text);
        outcome.hints = fixes;
        Ok(outcome.short_of(Kind::Failed, fails).short_of(Kind::Integrity, damaged))
    }
}

/// What the device's key says of its store: the store's key, and the device's incarnation.
type Opened = (StoreKey, u64);

/// The checks that need no daemon. Fails when what was given to open the secrets is wrong.
/// Gives the store's key and the device's life, too, if they could be opened.
fn check_home(context: &Context) -> Result<(Vec<Check>, Option<Opened>), Failure> {
    let home = &context.home;
    let mut opener = context.opener();
    let place = home.root().display();
    let mut checks = vec![match home.check_root() {
        Ok(()) => pass("home", &format!("{place}, for its owner alone")),
        Err(failure) => failed("home", failure),
    }];
    if checks.iter().any(|check| check.status != CheckStatus::Pass) {
        return Ok((checks, None));
    }
    let read = home.read_identity(&mut opener);
    let known = |identity: &Identity| (StoreKey::new(identity.store_key), identity.incarnation);
    let opened = read.as_ref().ok().map(known);
    checks.push(check_device_key(home, read)?);
    checks.push(match home.read_agency(&mut opener) {
        Ok(None) => pass("agency root", "not on this device"),
        Ok(Some(agency)) => Check {
            name: "agency root".into(),
            status: CheckStatus::Warn,
            message: format!("the root of {} is on this device", agency.name),
            fix: Some(format!(
                "once the agency is in a coalition, move {} offline",
                home.agency_key().display()
            )),
        },
        Err(failure) if failure.kind == Kind::Denied => return Err(failure),
        Err(failure) if keys::only_closed(&failure) => closed("agency root", failure),
        Err(failure) => failed("agency root", failure),
    });
    checks.push(match Config::read(home) {
        Ok(_) => pass("settings", "valid"),
        Err(failure) => failed("settings", failure),
    });
    match home.old_stores() {
        Ok(folders) => checks.extend(old_stores(home, &folders)),
        Err(failure) => checks.push(failed("old stores", failure)),
    }
    checks.push(match home.socket() {
        Ok(path) => pass("control socket", &path.display().to_string()),
        Err(failure) => failed("control socket", failure),
    });
    Ok((checks, opened))
}

/// What is said of stores that were moved aside, if there are any.
fn old_stores(home: &Home, folders: &[PathBuf]) -> Option<Check> {
    let names = folders.iter().filter_map(|folder| folder.file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
    (!names.is_empty()).then(|| Check {
        name: "old stores".into(),
        status: CheckStatus::Warn,
        message: format!("out of reach of every erasure: {}", names.join(", ")),
        fix: Some(format!(
            "when nothing of them is missing any more: {}",
            home.command("doctor --destroy-old-stores")
        )),
    })
}

/// What a daemon of this home would lack to write, if anything.
fn check_disk(home: &Home) -> Option<Check> {
    let reserve_bytes = Config::read(home).ok()?.limits.disk_reserve_bytes();
    let free = store::free_space_bytes(home.root()).ok().filter(|free| *free < reserve_bytes)?;
    Some(Check {
        name: "disk".into(),
        status: CheckStatus::Warn,
        message: format!("{free} bytes are free, and {reserve_bytes} are kept in reserve"),
        fix: Some(format!("make room on the disk of {}", home.root().display())),
    })
}

/// Reads the store through, which no daemon has open.
fn check_store(home: &Home, opened: Option<&Opened>) -> Vec<Check> {
    let skip = |message: &str| Check { status: CheckStatus::Skip, ..pass("store", message) };
    let Some((key, incarnation)) = opened else {
        return vec![skip("the device key did not open")];
    };
    if let Err(failure) = home.expect_store(*incarnation) {
        return vec![failed("store", failure)];
    }
    if !home.store().exists() {
        return vec![skip("there is none yet")];
    }
    match store::check_folder(&home.store(), key) {
        Ok(checked) => unread::checks(&checked),
        Err(OpenError::InUse { .. }) => {
            vec![skip("another process has it open: a daemon that begins, ends or stands still")]
        }
        Err(error) => vec![failed("store", error.into())],
    }
}

fn check_device_key(home: &Home, read: Result<Identity, Failure>) -> Result<Check, Failure> {
    Ok(match (read, home.device_method()) {
        (Ok(_), Ok(None)) => Check {
            status: CheckStatus::Warn,
            fix: Some(keys::seal_hint(home)),
            ..pass("device key", &format!("whole, {}", keys::method_text(None)))
        },
        (Ok(_), Ok(method)) => {
            pass("device key", &format!("whole, {}", keys::method_text(method.as_ref())))
        }
        (Err(failure), _) if failure.kind == Kind::Denied => return Err(failure),
        (Err(failure), _) if keys::only_closed(&failure) => closed("device key", failure),
        (Err(failure), _) | (_, Err(failure)) => failed("device key", failure),
    })
}

/// Of a file that was not opened, because nothing was given to open it with.
fn closed(name: &str, failure: Failure) -> Check {
    Check { status: CheckStatus::Skip, ..failed(name, failure) }
}

fn pass(name: &str, message: &str) -> Check {
    Check { name: name.into(), status: CheckStatus::Pass, message: message.into(), fix: None }
}

fn failed(name: &str, failure: Failure) -> Check {
    let damaged = failure.kind == Kind::Integrity;
    let status = if damaged { CheckStatus::Damaged } else { CheckStatus::Fail };
    Check { name: name.into(), status, message: failure.what, fix: failure.hint }
}
