//! `coalition`: the agencies that share, and what they decide together.

use clap::Subcommand;

use super::context::Context;
use super::device::device_label;
use super::output::Outcome;
use super::render::{Table, agencies, clean, facts, short, standing};
use super::when::{KEEP_BY, since};
use crate::control::reply::Coalition as Shown;
use crate::control::trust::{Named, Proposal, Proposals, Proposed};
use crate::control::{CoalitionCreate, Empty, Founder, Request};
use crate::failure::{Failure, Kind};

/// Found a coalition, show who is in it, and decide together
#[derive(Debug, Subcommand)]
pub(super) enum Coalition {
    /// Found a coalition, with this agency as its first member
    #[command(after_help = "\
Example:
  tearline coalition create --name 'Lake Chad task force'
  tearline coalition create --name 'Lake Chad task force' --quorum 2 \\
      --founder 'Gendarmerie,TD,5f0c...' --founder 'Police,NG,77aa...'
  tearline peer invite                   then ask the others in

A founder's root key is what `tearline id` shows as `root` at that agency. Founders come in by an
invitation like everybody; they differ by their voice in acts of the whole.")]
    Create {
        /// Its name
        #[arg(long)]
        name: String,
        /// How many founding agencies an act of the whole needs [default: 1]
        #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..=256))]
        quorum: Option<u16>,
        /// A further founder: name, country and root key; may be given many times
        #[arg(long, value_name = "NAME,CC,ROOT", value_parser = founder)]
        founder: Vec<Founder>,
        /// Time between hiding an erased record and destroying it: a number and h or d, or 0h for none [default: 72h]
        #[arg(long, value_name = "TIME", value_parser = delay)]
        erasure_delay: Option<u32>,
    },
    /// Show the coalition's agencies and devices
    #[command(after_help = "\
Example:
  tearline coalition show")]
    Show,
    /// List what founders proposed, and who has signed
    #[command(after_help = "\
Example:
  tearline coalition proposals")]
    Proposals,
    /// Propose an act of the founders, and sign it
    ///
    /// It is in force once as many founders have signed as the charter's quorum says. Until then the
    /// command ends with exit code 8.
    #[command(subcommand)]
    Propose(Propose),
    /// Amend the charter: admit, retire, replace a root
    #[command(subcommand)]
    Amend(Amend),
    /// Sign what another founder proposed
    #[command(after_help = "\
Example:
  tearline coalition proposals
  tearline coalition approve 4be1a09c")]
    Approve {
        /// The proposal's id, or the beginning of it
        proposal: String,
    },
}

/// Amend the charter
#[derive(Debug, Subcommand)]
pub(super) enum Amend {
    /// Admit an agency whose root key is known, or admit one again
    #[command(after_help = "\
Example:
  tearline coalition amend admit --name 'Douane' --country CM --root 5f0c...

An agency without a seat is admitted by an invitation, too: `peer invite`.")]
    Admit {
        /// Its name
        #[arg(long)]
        name: String,
        /// Its country: two letters, as in ISO 3166-1
        #[arg(long, value_name = "CC")]
        country: String,
        /// Its root key
        #[arg(long, value_name = "HEX")]
        root: String,
    },
    /// Retire an agency: its devices lose their standing, and what they wrote stays as far as this peer
    /// holds it; the rest can be adopted
    #[command(after_help = "\
Example:
  tearline coalition amend retire CM")]
    Retire {
        /// The agency: name, number or country
        agency: String,
    },
    /// Replace an agency's lost root: devices that only the old one certified lose their standing
    #[command(after_help = "\
Example:
  tearline coalition amend replace-root TD --root 77aa...")]
    ReplaceRoot {
        /// The agency: name, number or country
        agency: String,
        /// The new root key
        #[arg(long, value_name = "HEX")]
        root: String,
    },
}

/// Propose an act of the founders
#[derive(Debug, Subcommand)]
pub(super) enum Propose {
    /// End a device's standing
    #[command(after_help = "\
Example:
  tearline coalition propose revoke 4be1a09c --since 2026-03-01T01:40:00Z")]
    Revoke {
        /// The device: its name here, its id, or the beginning of it
        device: String,
        /// Since when what it wrote does not count: a time, a time of day, or so long ago [default: now]
        #[arg(long, value_name = "TIME", value_parser = since, allow_hyphen_values = true)]
        since: Option<String>,
        /// By what that is told: what this peer held by then, or what the entries say of themselves, which
        /// who has the device's keys chooses [default: arrival]
        #[arg(long, value_parser = KEEP_BY, requires = "since")]
        by: Option<String>,
    },
    /// Let a quarantined entry count, and those before it in its log
    #[command(after_help = "\
Example:
  tearline coalition propose adopt 4be1a09c")]
    Adopt {
        /// The entry's id, or the beginning of it
        entry: String,
    },
    /// Destroy a record, whoever began it
    #[command(after_help = "\
Example:
  tearline coalition propose erase 4be1a09c --basis 'GDPR Article 17(1)(d), case 2026/114'

Once it is in force, follow it with `record receipts RECORD`.")]
    Erase {
        /// The record's id, or the beginning of it
        record: String,
        /// The legal basis, for founders and auditors; sealed for the readers of the record's compartment
        #[arg(long)]
        basis: String,
    },
    /// Hide a record
    #[command(after_help = "\
Example:
  tearline coalition propose restrict 4be1a09c")]
    Restrict {
        /// The record's id, or the beginning of it
        record: String,
    },
    /// Keep a record, whoever asks to destroy it
    #[command(after_help = "\
Example:
  tearline coalition propose hold 4be1a09c")]
    Hold {
        /// The record's id, or the beginning of it
        record: String,
    },
    /// Say that a record is not to be relied on
    #[command(after_help = "\
Example:
  tearline coalition propose recall 4be1a09c")]
    Recall {
        /// The record's id, or the beginning of it
        record: String,
    },
    /// End a hold or a restriction
    #[command(after_help = "\
Example:
  tearline coalition propose lift 4be1a09c")]
    Lift {
        /// The statement's id, or the beginning of it
        statement: String,
    },
    /// Destroy an epoch's payload secret on all devices: nobody reads what was sealed under it again
    #[command(after_help = "\
Example:
  tearline compartment show 'Northern shore'
  tearline coalition propose retire-epoch 4be1a09c")]
    RetireEpoch {
        /// The epoch's id, or the beginning of it
        epoch: String,
    },
}

/// "NAME,CC,ROOT".
fn founder(text: &str) -> Result<Founder, String> {
    let mut parts = text.rsplitn(3, ',').map(|part| part.trim().to_owned());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(root), Some(country), Some(name)) if !name.is_empty() => {
            Ok(Founder { name, country, root })
        }
        _ => {
            Err("a founder is a name, a country's code and a root key, with commas between".into())
        }
    }
}

impl Coalition {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "coalition.create",
            Self::Show => "coalition.show",
            Self::Proposals => "coalition.proposals",
            Self::Propose(_) | Self::Amend(_) => "coalition.propose",
            Self::Approve { .. } => "coalition.approve",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Create { name, quorum, founder, erasure_delay } => {
                let create = CoalitionCreate {
                    name,
                    quorum,
                    founders: founder,
                    erasure_delay_hours: erasure_delay,
                };
                let answer = context.ask::<Shown>(Request::CoalitionCreate(create))?;
                let text = text(&answer.typed);
                Ok(Outcome::new(answer.data, text)
                    .hint(format!("ask others in: {}", context.home.command("peer invite"))))
            }
            Self::Show => {
                let answer = context.ask::<Shown>(Request::CoalitionShow(Empty {}))?;
                let text = text(&answer.typed);
                Ok(Outcome::new(answer.data, text))
            }
            Self::Proposals => {
                let answer = context.ask::<Proposals>(Request::CoalitionProposals(Empty {}))?;
                let mut table = Table::new(&["proposal", "what", "state", "signed by"]);
                for one in &answer.typed.proposals {
                    let signed = agencies(&one.approved);
                    table.row([short(&one.proposal), one.what.clone(), state(one), signed]);
                }
                let mut text = table.text("nothing was proposed");
                for one in answer.typed.proposals.iter().filter(|one| !one.in_force) {
                    text += &format!("\n{}  {}\n", short(&one.proposal), clean(&one.what));
                    text += &terms(one);
                }
                Ok(Outcome::new(answer.data, text))
            }
            Self::Propose(propose) => {
                decide(context, Request::CoalitionPropose(propose.proposed()))
            }
            Self::Amend(amend) => decide(context, Request::CoalitionPropose(amend.proposed())),
            Self::Approve { proposal } => {
                decide(context, Request::CoalitionApprove(Named { id: proposal }))
            }
        }
    }
}

impl Amend {
    fn proposed(self) -> Proposed {
        match self {
            Self::Admit { name, country, root } => Proposed::Admit { name, country, root },
            Self::Retire { agency } => Proposed::Retire { agency },
            Self::ReplaceRoot { agency, root } => Proposed::ReplaceRoot { agency, root },
        }
    }
}

impl Propose {
    fn proposed(self) -> Proposed {
        match self {
            Self::Revoke { device, since, by } => Proposed::Revoke { device, since, by },
            Self::Adopt { entry } => Proposed::Adopt { entry },
            Self::Erase { record, basis } => Proposed::Erase { record, basis },
            Self::Restrict { record } => Proposed::Restrict { record },
            Self::Hold { record } => Proposed::Hold { record },
            Self::Recall { record } => Proposed::Recall { record },
            Self::Lift { statement } => Proposed::Lift { statement },
            Self::RetireEpoch { epoch } => Proposed::RetireEpoch { epoch },
        }
    }
}

/// A proposal as it stands after this command; short of done until it is in force.
fn decide(context: &Context, request: Request) -> Result<Outcome, Failure> {
    let answer = context.ask::<Proposal>(request)?;
    let one = &answer.typed;
    let again = one.already.then(|| ("signed", "nothing: it was signed before".to_owned()));
    let lines =
        [("act", one.what.clone()), ("proposal", one.proposal.clone()), ("state", state(one))];
    let also = (!one.also.is_empty()).then(|| ("releases too", one.also.join(", ")));
    let rest = (!one.unreached.is_empty()).then(|| ("not asked of", one.unreached.join(", ")));
    let lines = lines.into_iter().chain(again).chain(also).chain(rest);
    let text = facts(lines) + &terms(one);
    let waits = !one.in_force || one.root_given == Some(false);
    let all = [&one.proposal].into_iter().chain(&one.also);
    let all: Vec<String> =
        all.map(|id| format!("tearline coalition approve {}", short(id))).collect();
    let hint = match all.as_slice() {
        [one] => one.clone(),
        _ => {
            format!("{}; the first signs those of releases that the desk sees, too", all.join(", "))
        }
    };
    let outcome = Outcome::new(answer.data, text).short_of(Kind::Waits, waits);
    Ok(if waits { outcome.hint(format!("at a desk of another founder: {hint}")) } else { outcome })
}

/// All that a founder signs, a line each, and who asks for it.
fn terms(one: &Proposal) -> String {
    let by =
        one.by.iter().map(|device| format!("{}, {}", device_label(device), device.agency.name));
    let by = by.map(|by| format!("said by {by}"));
    let all = one.terms.len();
    let terms = one.terms.iter().take(TERMS_SHOWN_MAX).cloned();
    let more = all.checked_sub(TERMS_SHOWN_MAX).filter(|more| *more > 0);
    let more = more.map(|more| format!("and {more} more; --json has them all"));
    let lines = by.chain(terms).chain(more);
    lines.fold(String::new(), |text, line| text + "  " + &clean(&line) + "\n")
}

/// Most terms of a proposal that are shown to people.
const TERMS_SHOWN_MAX: usize = 20;

/// "3 of 4 signed, waiting for NG".
fn state(one: &Proposal) -> String {
    if one.in_force && one.root_given == Some(false) {
        return format!(
            "in force, and gives no root yet: {} of {} signatures count",
            one.counting.len(),
            one.needed
        );
    }
    if one.in_force {
        return "in force".into();
    }
    let waiting: Vec<&str> = one.waiting_for.iter().map(|agency| agency.country.as_str()).collect();
    format!("{} of {} signed, waiting for {}", one.approved.len(), one.needed, waiting.join(", "))
}

fn text(coalition: &Shown) -> String {
    let mut table =
        Table::new(&["no", "agency", "country", "founder", "standing", "device", "right", "ended"]);
    for member in &coalition.agencies {
        let founder = if member.founder { "yes" } else { "no" };
        let mut head = [
            member.no.to_string(),
            member.name.clone(),
            member.country.clone(),
            founder.to_owned(),
            standing(&member.standing),
        ];
        let devices = member.devices.iter().map(|device| {
            let live = !device.standing.has_ended();
            let state = if live { String::new() } else { standing(&device.standing) };
            [device_label(device), device.right.clone(), state]
        });
        let mut devices = devices.collect::<Vec<_>>();
        if devices.is_empty() {
            devices.push(["none known".to_owned(), String::new(), String::new()]);
        }
        for device in devices {
            table.row(std::mem::take(&mut head).into_iter().chain(device));
        }
    }
    facts([
        ("coalition", coalition.name.clone()),
        ("id", coalition.coalition.clone()),
        ("quorum", coalition.quorum.to_string()),
    ]) + "\n"
        + &table.text("no agencies")
}

/// Reads a delay in whole hours.
fn delay(text: &str) -> Result<u32, String> {
    const FORM: &str = "a number and h or d, as in 72h";
    let days = text.strip_suffix('d').map(|days| (days, 24));
    let (number, hours) = days.or_else(|| Some((text.strip_suffix('h')?, 1))).ok_or(FORM)?;
    let number: u32 = number.parse().map_err(|_| FORM)?;
    number.checked_mul(hours).ok_or_else(|| FORM.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_whole_hours() {
        assert_eq!(["0h", "72h", "3d"].map(delay), [Ok(0), Ok(72), Ok(72)]);
        for bad in ["", "h", "72", "1m", "1.5h", "-1h", "4294967295d"] {
            assert!(delay(bad).is_err(), "{bad}");
        }
    }
}
