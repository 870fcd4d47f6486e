//! `pass`: for people and programs that act through this device.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde_json::json;
use tearline_crdt::id::CompartmentId;
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::record::vocabulary::{Purpose, Tlp, Vocabulary as _};

use super::context::Context;
use super::output::{Outcome, data};
use super::render::{Table, clean, facts, short, time};
use super::when::{When, now};
use crate::control::pass::{
    PassCheck, PassChecked, PassMint, PassMinted, PassRevoke, PassRevoked, PassState, Passes,
};
use crate::control::{Empty, ID_PREFIX_DIGITS_MIN, Request};
use crate::failure::{Failure, Kind};
use crate::pass::{
    Limit, NarrowError, Narrowing, NarrowingSummary, Operation, PassFault, PassKey, PassRight,
    Scope, ScopeSummary, Second, Summary, TOKEN_BYTES_MAX, UnverifiedPass, narrow,
};

/// Mint, narrow and revoke passes: tokens with which people and programs act through this device
#[derive(Debug, Subcommand)]
pub(super) enum Pass {
    /// Mint a pass, within what this device may do; prints it
    #[command(after_help = "\
Example:
  tearline pass mint --holder 'TAXII client' --purpose BorderMonitoring --compartments shore
  tearline pass mint --holder 'Sensor feed' --purpose BorderMonitoring --compartments shore \\
    --right write --kinds sighting --label-max GREEN --until 7d

Whoever has the text has the pass. It is shown once and kept nowhere.")]
    Mint(Mint),
    /// Narrow a pass; needs no daemon and no key, and cannot be undone by whoever gets the result
    #[command(after_help = "\
Example:
  tearline pass narrow --kinds sighting --right read --until 12h - < pass.txt")]
    Narrow(Narrow),
    /// Show what a pass allows, until when, and what narrows it; needs no daemon
    #[command(after_help = "\
Example:
  tearline pass inspect - < pass.txt")]
    Inspect {
        /// The pass; - reads it from stdin
        pass: String,
    },
    /// Ask the daemon that minted a pass whether it allows something now
    #[command(after_help = "\
Example:
  tearline pass check --operation read --compartment shore --kind sighting --label GREEN - < pass.txt

Ends with 5 when it does not, and says why.")]
    Check(Check),
    /// List the passes that this device minted
    #[command(after_help = "\
Example:
  tearline pass list")]
    List,
    /// Revoke a pass and all that was narrowed from it
    #[command(after_help = "\
Example:
  tearline pass revoke 3f9a12bc
  tearline pass revoke - < narrowed.txt       that one and what was narrowed from it, no other")]
    Revoke {
        /// The pass's id or the beginning of it; or a pass; - reads a pass from stdin
        pass: String,
    },
}

/// What `pass mint` takes.
#[derive(Args, Debug)]
pub(super) struct Mint {
    /// For whom, as people call them
    #[arg(long, value_name = "NAME")]
    holder: String,
    /// What for: a purpose of the label vocabulary
    #[arg(long, value_parser = purpose)]
    purpose: Purpose,
    /// Compartments, by name or id
    #[arg(long, value_name = "COMPARTMENTS", value_delimiter = ',', required = true)]
    compartments: Vec<String>,
    /// What it may do at most: read or write
    #[arg(long, default_value = "read", value_parser = right)]
    right: PassRight,
    /// Kinds of record; all if none is named
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    kinds: Vec<RecordKind>,
    /// The most restrictive TLP colour that it may see
    #[arg(long, value_name = "TLP", default_value = "AMBER", value_parser = label)]
    label_max: Tlp,
    /// Operations: read, search, export, write, import; all that the right allows if none is named
    #[arg(long, value_delimiter = ',', value_parser = operation)]
    operations: Vec<Operation>,
    /// From when on: a time, or a length of time from now
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    from: Option<When>,
    /// Until when: a time, or a length of time from now; 90d at most
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = When::parse)]
    until: When,
}

/// What `pass narrow` takes.
#[derive(Args, Debug)]
pub(super) struct Narrow {
    /// At most this right: read
    #[arg(long, value_parser = right)]
    right: Option<PassRight>,
    /// Only these of its compartments, by id or the beginning of it
    #[arg(long, value_name = "COMPARTMENTS", value_delimiter = ',')]
    compartments: Vec<String>,
    /// Only these kinds of record
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    kinds: Vec<RecordKind>,
    /// Only labels up to this TLP colour
    #[arg(long, value_name = "TLP", value_parser = label)]
    label_max: Option<Tlp>,
    /// Only these operations
    #[arg(long, value_delimiter = ',', value_parser = operation)]
    operations: Vec<Operation>,
    /// Not before this: a time, or a length of time from now
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    from: Option<When>,
    /// Not from this on: a time, or a length of time from now
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    until: Option<When>,
    /// The pass; - reads it from stdin
    pass: String,
}

/// What `pass check` takes.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// What to do: read, search, export, write, import
    #[arg(long, value_parser = operation)]
    operation: Operation,
    /// Where, by name or id
    #[arg(long)]
    compartment: String,
    /// With what kind of record
    #[arg(long, value_parser = kind)]
    kind: RecordKind,
    /// The TLP colour of its label; left out, it is not known
    #[arg(long, value_name = "TLP", value_parser = label)]
    label: Option<Tlp>,
    /// The pass; - reads it from stdin
    pass: String,
}

impl Pass {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Mint(_) => "pass.mint",
            Self::Narrow(_) => "pass.narrow",
            Self::Inspect { .. } => "pass.inspect",
            Self::Check(_) => "pass.check",
            Self::List => "pass.list",
            Self::Revoke { .. } => "pass.revoke",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Mint(mint) => mint.run(context),
            Self::Narrow(narrow) => narrow.run(context),
            Self::Inspect { pass } => inspect(context, &parse(&text(context, pass)?)?),
            Self::Check(check) => check.run(context),
            Self::List => {
                let answer = context.ask::<Passes>(Request::PassList(Empty {}))?;
                Ok(Outcome::new(answer.data, table(&answer.typed)))
            }
            Self::Revoke { pass } => {
                let pass = text(context, pass)?;
                let answer =
                    context.ask::<PassRevoked>(Request::PassRevoke(PassRevoke { pass }))?;
                let PassRevoked { pass, block, revoked } = &answer.typed;
                let what = match block {
                    0 => format!("pass {}", short(pass)),
                    block => format!("pass {} from its narrowing {block} on", short(pass)),
                };
                let done = if *revoked { "is revoked now" } else { "was revoked already" };
                Ok(Outcome::new(answer.data, format!("{} {done}\n", clean(&what))))
            }
        }
    }
}

impl Mint {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let now = now();
        let request = PassMint {
            holder: self.holder,
            purpose: self.purpose.word().to_owned(),
            right: self.right.name().to_owned(),
            compartments: self.compartments,
            kinds: self.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
            label_max: self.label_max.word().to_owned(),
            operations: self.operations.iter().map(|o| o.name().to_owned()).collect(),
            not_before: self.from.map(|from| from.after(now).to_string()),
            not_after: self.until.after(now).to_string(),
        };
        let answer = context.ask::<PassMinted>(Request::PassMint(request))?;
        let PassMinted { terms, token } = &answer.typed;
        let hint = format!(
            "pass {}, valid until {}; it is shown once, and whoever has it can use it",
            short(&terms.pass),
            time(&terms.scope.not_after)
        );
        let text = format!("{}\n", clean(token));
        let mut outcome = Outcome::new(answer.data, text).hint(hint);
        if self.label_max == Tlp::Red {
            outcome.warnings.push(
                "the pass reaches TLP:RED, which is for named people alone: whoever has it reads that"
                    .into(),
            );
        }
        Ok(outcome)
    }
}

impl Narrow {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let now = now();
        let pass = parse(&text(context, self.pass)?)?;
        let scope = pass.scope();
        let mut compartments = BTreeSet::new();
        for name in &self.compartments {
            compartments.insert(named(&scope.compartments, name)?);
        }
        let narrowing = Narrowing {
            right: self.right,
            compartments: some(compartments),
            kinds: some(self.kinds.into_iter().collect()),
            label_max: self.label_max,
            operations: some(self.operations.into_iter().collect()),
            not_before: self.from.map(|from| Second::of(from.after(now))),
            not_after: self.until.map(|until| Second::of(until.after(now))),
        };
        let idle = scope.idle(&narrowing);
        let warnings = vain(&scope, &narrowing, &idle);
        let narrowing = narrowing.of(|limit| !idle.contains(&limit));
        let narrower = match narrowing.limits().next() {
            None if !idle.is_empty() => pass,
            _ => appended(&pass, &narrowing)?,
        };
        let document = json!({
            "pass": narrower.terms().id.to_string(),
            "token": narrower.to_text(),
            "scope": data(&ScopeSummary::from(&narrower.scope()))?,
            "blocks": narrower.blocks().len(),
        });
        let mut outcome = Outcome::new(document, format!("{}\n", narrower.to_text()));
        outcome.warnings = warnings;
        if narrowing.limits().next().is_none() {
            outcome =
                outcome.hint("the pass is the same: who revokes it revokes it for all who have it");
        }
        Ok(if nothing_left(&narrower.scope()) {
            outcome.hint("nothing is left: this pass allows nothing")
        } else {
            outcome
        })
    }
}

/// A pass with a narrowing appended.
fn appended(pass: &UnverifiedPass, narrowing: &Narrowing) -> Result<UnverifiedPass, Failure> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice())
        .map_err(|error| Failure::failed(format!("the system gives no randomness: {error}")))?;
    narrow(pass, narrowing, &seed).map_err(|error| match &error {
        NarrowError::Scope(_) | NarrowError::Unreadable(_) => {
            Failure::usage(format!("the pass was not narrowed: {error}"))
                .hint("tearline pass narrow --help")
        }
        NarrowError::Append(_) => Failure::bug(error.to_string()),
    })
}

/// What of a narrowing is in vain: the limits that leave a scope as it is, and what others name beyond
/// it. Whoever writes RED may mean that the pass shall reach so far.
fn vain(scope: &Scope, by: &Narrowing, idle: &BTreeSet<Limit>) -> Vec<String> {
    let mut warnings = Vec::new();
    for limit in by.limits() {
        let (asked, is_wider, has) = asked(scope, by, limit);
        if is_wider {
            warnings
                .push(format!("{asked} is more than the pass has, and gives nothing: it {has}"));
        } else if idle.contains(&limit) {
            warnings.push(format!("{asked} limits nothing: the pass {has} as before"));
        }
    }
    warnings
}

/// What a narrowing names of a limit, as an option; whether that goes beyond a scope; and what the scope
/// has of it. Of kinds and operations those are named that go beyond it, if any do.
fn asked(scope: &Scope, by: &Narrowing, limit: Limit) -> (String, bool, String) {
    match limit {
        Limit::NotBefore => {
            let asked = by.not_before.unwrap_or_default();
            let has = format!("begins at {}", time(&scope.not_before.to_string()));
            (format!("--from {}", time(&asked.to_string())), asked < scope.not_before, has)
        }
        Limit::NotAfter => {
            let asked = by.not_after.unwrap_or_default();
            let has = format!("ends at {}", time(&scope.not_after.to_string()));
            (format!("--until {}", time(&asked.to_string())), asked > scope.not_after, has)
        }
        Limit::Right => {
            let asked = by.right.unwrap_or(scope.right);
            let has = format!("may {}", scope.right.name());
            (format!("--right {}", asked.name()), asked > scope.right, has)
        }
        Limit::Label => {
            let asked = by.label_max.unwrap_or(scope.label_max);
            let has = format!("reaches up to TLP:{}", scope.label_max.word());
            (format!("--label-max TLP:{}", asked.word()), asked > scope.label_max, has)
        }
        // Those that it does not cover are refused before.
        Limit::Compartment => ("--compartments".to_owned(), false, "covers no others".to_owned()),
        Limit::Kind => {
            let held = scope.kinds.iter().map(|kind| kind.name().to_owned()).collect::<Vec<_>>();
            let beyond = by.kinds.iter().flatten().filter(|kind| !scope.kinds.contains(kind));
            let (option, is_wider) = set("--kinds", beyond.map(|kind| kind.name()));
            (option, is_wider, format!("covers kinds: {}", kinds(&held)))
        }
        Limit::Operation => {
            let held: Vec<&str> = scope.operations.iter().map(|one| one.name()).collect();
            let beyond = by.operations.iter().flatten();
            let beyond = beyond.filter(|one| !scope.operations.contains(one));
            let (option, is_wider) = set("--operations", beyond.map(|one| one.name()));
            (option, is_wider, format!("covers operations: {}", held.join(", ")))
        }
    }
}

/// An option with what of its values goes beyond a scope, and whether any does.
fn set<'a>(option: &str, beyond: impl Iterator<Item = &'a str>) -> (String, bool) {
    let beyond: Vec<&str> = beyond.collect();
    let text = format!("{option} {}", beyond.join(","));
    (text.trim_end().to_owned(), !beyond.is_empty())
}

impl Check {
    fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let request = PassCheck {
            token: text(context, self.pass)?,
            operation: self.operation.name().to_owned(),
            compartment: self.compartment,
            kind: self.kind.name().to_owned(),
            label: self.label.map(|label| label.word().to_owned()),
        };
        let answer = context.ask::<PassChecked>(Request::PassCheck(request))?;
        let PassChecked { allowed, detail, .. } = &answer.typed;
        let text = match detail {
            None => "allowed\n".to_owned(),
            Some(detail) => format!("denied: {}\n", clean(detail)),
        };
        let denied = !allowed;
        Ok(Outcome::new(answer.data, text).short_of(Kind::Denied, denied))
    }
}

/// What a pass says, and whether this device's key is behind it, where there is one to compare.
fn inspect(context: &Context, pass: &UnverifiedPass) -> Result<Outcome, Failure> {
    let (signed, signed_text) = match context.home.read_identity(&mut context.opener()) {
        Err(failure) if failure.kind == Kind::Integrity => return Err(failure),
        Err(_) => ("not-checked", "not checked: only the device that minted it can"),
        Ok(identity) => {
            let key = PassKey::derive(&identity.device_seed, identity.incarnation);
            match pass.clone().verify(&key) {
                Ok(_) => ("here", "by this device"),
                Err(_) => ("not-here", "not by this device, or changed since"),
            }
        }
    };
    let (terms, scope) = (Summary::from(pass.terms()), ScopeSummary::from(&pass.scope()));
    let narrowings: Vec<_> = pass.narrowings().iter().map(NarrowingSummary::from).collect();
    let document = json!({
        "terms": data(&terms)?,
        "narrowings": data(&narrowings)?,
        "scope": data(&scope)?,
        "blocks": pass.blocks().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "signed": signed,
        "expired": now() >= pass.scope().not_after.time(),
    });
    let mut lines = vec![
        ("pass", terms.pass.clone()),
        ("holder", terms.holder.clone()),
        ("purpose", terms.purpose.clone()),
        ("device", terms.device.clone()),
        ("minted", time(&terms.minted)),
        ("signed", signed_text.to_owned()),
    ];
    if nothing_left(&pass.scope()) {
        lines.push(("allows", "nothing".to_owned()));
    } else {
        lines.push(("allows", format!("{} ({})", scope.operations.join(", "), scope.right)));
    }
    lines.extend([
        ("in", scope.compartments.join(", ")),
        ("kinds", kinds(&scope.kinds)),
        ("labels", format!("up to TLP:{}", scope.label_max)),
        ("from", time(&scope.not_before)),
        ("until", time(&scope.not_after)),
    ]);
    let mut text = facts(lines);
    for (block, narrowing) in (1..).zip(&narrowings) {
        text += &format!("narrowing {block}: {}\n", clean(&narrowing_text(narrowing)));
    }
    Ok(Outcome::new(document, text))
}

fn narrowing_text(narrowing: &NarrowingSummary) -> String {
    let NarrowingSummary { right, compartments, kinds, label_max, operations, .. } = narrowing;
    let ids = |ids: &Vec<String>| ids.iter().map(|id| short(id)).collect::<Vec<_>>().join(", ");
    [
        right.as_ref().map(|right| format!("to {right}")),
        operations.as_ref().map(|operations| format!("operations {}", operations.join(", "))),
        compartments.as_ref().map(|all| format!("compartments {}", ids(all))),
        kinds.as_ref().map(|kinds| format!("kinds {}", kinds.join(", "))),
        label_max.as_ref().map(|label| format!("labels up to TLP:{label}")),
        narrowing.not_before.as_ref().map(|from| format!("from {}", time(from))),
        narrowing.not_after.as_ref().map(|to| format!("until {}", time(to))),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("; ")
}

fn table(passes: &Passes) -> String {
    let mut table = Table::new(&[
        "pass",
        "holder",
        "state",
        "until",
        "right",
        "labels",
        "kinds",
        "compartments",
    ]);
    for row in &passes.passes {
        let scope = &row.terms.scope;
        let state = match row.state {
            PassState::FormerLife => "ended with a former life",
            PassState::Valid => "valid",
            PassState::NotYet => "not yet",
            PassState::Expired => "expired",
            PassState::Revoked => "revoked",
        };
        table.row([
            short(&row.terms.pass),
            row.terms.holder.clone(),
            state.to_owned(),
            time(&scope.not_after),
            scope.right.clone(),
            scope.label_max.clone(),
            kinds(&scope.kinds),
            row.compartment_names.join(", "),
        ]);
    }
    table.text("no passes yet: mint one with `tearline pass mint`")
}

fn kinds(kinds: &[String]) -> String {
    if kinds.len() == RecordKind::ALL.len() { "all".to_owned() } else { kinds.join(", ") }
}

fn nothing_left(scope: &Scope) -> bool {
    scope.check().is_err()
}

fn some<T>(set: BTreeSet<T>) -> Option<BTreeSet<T>> {
    (!set.is_empty()).then_some(set)
}

/// The compartment of a pass with this id, or the one whose id begins so. Offline there are no
/// names.
fn named(held: &BTreeSet<CompartmentId>, name: &str) -> Result<CompartmentId, Failure> {
    let digits = name.to_ascii_lowercase();
    let mut hits = held.iter().filter(|id| id.to_string().starts_with(&digits));
    match (hits.next(), hits.next()) {
        (Some(hit), None) if digits.len() >= ID_PREFIX_DIGITS_MIN => Ok(*hit),
        (Some(_), Some(_)) if digits.len() >= ID_PREFIX_DIGITS_MIN => {
            Err(Failure::usage(format!("{name:?} fits several compartments of the pass")))
        }
        _ => Err(Failure::usage(format!("the pass covers no compartment with the id {name:?}"))
            .hint("`tearline pass inspect` shows their ids; without a daemon they have no names")),
    }
}

/// A pass that was named on the command line, or comes from stdin.
fn text(context: &Context, argument: String) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument);
    }
    let bytes = context.stdin(TEXT_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage("stdin holds no pass"))?;
    Ok(text.trim().to_owned())
}

fn parse(text: &str) -> Result<UnverifiedPass, Failure> {
    UnverifiedPass::parse(text).map_err(|fault| {
        let kind = match fault {
            PassFault::Text | PassFault::TooLarge | PassFault::Malformed => Kind::Usage,
            _ => Kind::Integrity,
        };
        Failure::new(kind, fault.to_string())
    })
}

fn right(text: &str) -> Result<PassRight, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn operation(text: &str) -> Result<Operation, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn kind(text: &str) -> Result<RecordKind, String> {
    text.parse().map_err(|error| format!("{error}"))
}

pub(super) fn purpose(text: &str) -> Result<Purpose, String> {
    text.parse().map_err(|error| format!("{error}"))
}

pub(super) fn label(text: &str) -> Result<Tlp, String> {
    text.strip_prefix("TLP:").unwrap_or(text).parse().map_err(|error| format!("{error}"))
}

/// Longest text of a pass that is read from stdin: the largest token in base64, and white space.
const TEXT_BYTES_MAX: u64 = 2 * TOKEN_BYTES_MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope {
            right: PassRight::Read,
            compartments: BTreeSet::from([CompartmentId([1; 32])]),
            kinds: BTreeSet::from([RecordKind::Sighting, RecordKind::Report]),
            label_max: Tlp::Amber,
            operations: BTreeSet::from([Operation::Read, Operation::Search]),
            not_before: Second(100),
            not_after: Second(200),
        }
    }

    fn warnings(by: &Narrowing) -> Vec<String> {
        vain(&scope(), by, &scope().idle(by))
    }

    #[test]
    fn each_limit_that_limits_nothing_is_said_and_each_that_would_widen() {
        let equal = Narrowing {
            right: Some(PassRight::Read),
            compartments: Some(scope().compartments),
            kinds: Some(scope().kinds),
            label_max: Some(Tlp::Amber),
            operations: Some(scope().operations),
            not_before: Some(Second(100)),
            not_after: Some(Second(200)),
        };
        let said = warnings(&equal);
        assert_eq!(said.len(), Limit::ALL.len());
        assert!(said.iter().all(|text| text.contains("limits nothing")), "{said:?}");
        assert!(
            said.contains(
                &"--label-max TLP:AMBER limits nothing: the pass reaches up to TLP:AMBER as before"
                    .into()
            )
        );

        let mut wider = Narrowing {
            right: Some(PassRight::Write),
            compartments: None,
            kinds: Some(BTreeSet::from([
                RecordKind::Sighting,
                RecordKind::Report,
                RecordKind::Alert,
            ])),
            label_max: Some(Tlp::Red),
            operations: Some(Operation::ALL.into()),
            not_before: Some(Second(99)),
            not_after: Some(Second(201)),
        };
        let said = warnings(&wider);
        assert_eq!((said.len(), scope().idle(&wider).len()), (6, 6));
        assert!(said.iter().all(|text| text.contains("gives nothing")), "{said:?}");
        // One that limits something and names more.
        wider.kinds = Some(BTreeSet::from([RecordKind::Sighting, RecordKind::Alert]));
        let kinds = wider.of(|limit| limit == Limit::Kind);
        assert!(scope().idle(&kinds).is_empty());
        let said = warnings(&kinds);
        assert!(said.len() == 1 && said[0].starts_with("--kinds alert is more than"), "{said:?}");
        assert_eq!(
            warnings(&Narrowing { label_max: Some(Tlp::Green), ..Narrowing::default() }),
            Vec::<String>::new()
        );
    }
}
