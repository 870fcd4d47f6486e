//! `taxii`: what other programs' TAXII servers have, and are given.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tearline_crdt::record::vocabulary::{Purpose, Tlp, Vocabulary as _};
use zeroize::Zeroizing;

use super::context::Context;
use super::output::{self, Outcome, data};
use super::pass;
use super::render::{Table, facts};
use crate::control::reply::{self, Imported, Problem};
use crate::control::{self, Outgoing, Request};
use crate::failure::{Failure, Kind};
use crate::files::read_named_secret;
use crate::length;
use crate::taxii::{Asker, End, Pull, Pulled, Push, Pushed, pull, push};

/// Take objects from other programs' TAXII 2.1 servers, and give them some
#[derive(Debug, Subcommand)]
pub(super) enum Taxii {
    /// Import what was added to a collection since it was pulled last
    #[command(after_help = "\
Example:
  tearline taxii pull https://taxii.example.org/taxii2/ --collection Indicators --compartment 'Northern shore' \\
      --user reader --password-file taxii.txt --label TLP:AMBER --every 15m

How far the collection was pulled is kept in the home: an interrupted pull goes on where it was.

Exit code 7: pulled, but for objects that are no records, or because the server does not say how to go on;
what there is was taken.")]
    Pull {
        #[command(flatten)]
        server: Server,
        /// Where to: name, id, or the beginning of its id
        #[arg(long, value_name = "C")]
        compartment: String,
        /// The least restrictive label of what is written
        #[arg(long)]
        label: Option<String>,
    },
    /// Give a collection what is new in a compartment since it was pushed to last
    #[command(after_help = "\
Example:
  tearline taxii push https://taxii.example.org/taxii2/ --collection Inbox --compartment 'Northern shore' \\
      --user writer --password-file taxii.txt --purpose BorderMonitoring --label-max GREEN

What goes out leaves the mesh: nobody there is held to its labels, its recalls or its erasures. What is recalled
here is deleted there, where the server lets it; what is restricted, erased or relabelled here stays there.

How far the compartment was pushed is kept in the home: an interrupted push goes on where it was.

Exit code 7: pushed, but for objects that the server refused or has not decided on; they are listed.")]
    Push {
        #[command(flatten)]
        server: Server,
        /// Where from: name, id, or the beginning of its id
        #[arg(long, value_name = "C")]
        compartment: String,
        /// What for: a purpose of the label vocabulary; a label that does not allow it keeps its record here
        #[arg(long, value_parser = pass::purpose)]
        purpose: Purpose,
        /// The most restrictive TLP colour that goes out
        #[arg(long, value_name = "TLP", default_value = "GREEN", value_parser = pass::label)]
        label_max: Tlp,
        /// Other agencies' records, too, which they gave to the compartment and not to the server
        #[arg(long)]
        others: bool,
    },
}

/// Another program's server.
#[derive(Args, Debug)]
pub(super) struct Server {
    /// The URL of a server or of one of its API roots
    url: String,
    /// The collection: its id or title
    #[arg(long, value_name = "COLLECTION")]
    collection: String,
    /// The user's name for the server
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// A file that holds the password, on one line
    #[arg(long, value_name = "PATH", requires = "user")]
    password_file: Option<PathBuf>,
    /// A file of certificates (PEM) of authorities to believe, instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Objects of a page
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Begin with the first object again; what is there already changes nothing
    #[arg(long)]
    anew: bool,
    /// Do it again and again, so long after it was done: a number and s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = every)]
    every: Option<u64>,
}

impl Taxii {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Pull { .. } => "taxii.pull",
            Self::Push { .. } => "taxii.push",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (Self::Pull { server, .. } | Self::Push { server, .. }) = &self;
        let password = server.password_file.as_deref().map(password).transpose()?;
        let login = server.user.as_deref().zip(password.as_ref().map(|password| password.as_str()));
        let asker = Asker { login, authorities: server.ca.as_deref() };
        let Some(every_s) = server.every else { return self.once(context, asker, server.anew) };
        let mut anew = server.anew;
        loop {
            match self.once(context, asker, anew) {
                Ok(outcome) => {
                    // From the beginning once.
                    anew = false;
                    output::print_outcome(self.name(), outcome, &context.flags);
                }
                // What may be otherwise next time is said, and tried again.
                Err(failure) if !matches!(failure.kind, Kind::Usage | Kind::Denied | Kind::Bug) => {
                    output::print_failure(&failure, context.flags.json);
                }
                Err(failure) => return Err(failure),
            }
            std::thread::sleep(Duration::from_secs(every_s));
        }
    }

    fn once(&self, context: &Context, asker: Asker<'_>, anew: bool) -> Result<Outcome, Failure> {
        match self {
            Self::Pull { server, compartment, label } => {
                let Server { url, collection, limit, .. } = server;
                let limit = *limit;
                let compartment = &resolved(context, compartment)?;
                let asked = Pull { url, collection, compartment, asker, limit, anew };
                let mut taken = Taken::default();
                let pulled = pull(&context.home, &asked, &mut |objects| {
                    taken.add(import(context, objects, compartment, label.clone())?);
                    Ok(())
                });
                match pulled {
                    Ok(pulled) => taken.outcome(pulled),
                    Err(failure) => Err(after(failure, taken.all.read, "taken")),
                }
            }
            Self::Push { server, compartment, purpose, label_max, others } => {
                let compartment = resolved(context, compartment)?;
                let asked = Outgoing {
                    compartment: compartment.clone(),
                    after_us: 0,
                    limit: server.limit,
                    label_max: label_max.word().to_owned(),
                    purpose: purpose.word().to_owned(),
                    others: *others,
                };
                let source = format!("{compartment}\n{label_max}\n{}\n{others}", asked.purpose);
                let Server { url, collection, .. } = server;
                let to = Push { url, collection, source: &source, asker, anew };
                let mut pushed = Pushed::default();
                let done = push(&context.home, &to, &mut pushed, &mut |after_us| {
                    let request = Request::Outgoing(Outgoing { after_us, ..asked.clone() });
                    Ok(context.ask::<reply::Outgoing>(request)?.typed)
                });
                match done {
                    Ok(()) => Ok(given(&pushed)),
                    Err(failure) => Err(after(failure, pushed.taken, "given")),
                }
            }
        }
    }
}

/// A compartment's id, by whatever it is called: what is kept for it is kept under that.
pub(super) fn resolved(context: &Context, compartment: &str) -> Result<String, Failure> {
    let named = control::CompartmentShow { compartment: compartment.to_owned() };
    let shown = context.ask::<reply::CompartmentDetail>(Request::CompartmentShow(named))?;
    Ok(shown.typed.summary.compartment)
}

/// A failure after some objects.
fn after(failure: Failure, count: u64, what: &str) -> Failure {
    Failure { what: format!("{} ({count} objects were {what} before it)", failure.what), ..failure }
}

/// What a push came to.
fn given(pushed: &Pushed) -> Outcome {
    let Pushed { taken, withdrawn, refused, pending, withheld, problems } = pushed;
    let shape = |(id, why): &(String, String)| json!({ "id": id, "reason": why });
    let document = json!({
        "taken": taken, "withdrawn": withdrawn, "refused": refused, "pending": pending,
        "withheld": withheld, "problems": problems.iter().map(shape).collect::<Vec<_>>(),
    });
    let mut text = facts([
        ("taken", taken.to_string()),
        ("withdrawn", withdrawn.to_string()),
        ("refused", refused.to_string()),
        ("pending", pending.to_string()),
        ("above the ceiling, or not for the purpose", withheld.to_string()),
    ]);
    if !problems.is_empty() {
        let mut table = Table::new(&["object", "reason"]).with_whole_ends();
        for (id, why) in problems {
            table.row([id, why]);
        }
        text = format!("{text}\n{}", table.text(""));
    }
    let outcome =
        Outcome::new(document, text).short_of(Kind::Incomplete, *refused > 0 || *pending > 0);
    if *pending == 0 {
        return outcome;
    }
    outcome.hint("the server has not decided on all objects: push again, and they are sent again")
}

/// Reads how often.
pub(super) fn every(text: &str) -> Result<u64, String> {
    length::read(text, EVERY_S_MAX).and_then(|s| match s {
        0 => Err("at least one second".into()),
        s => Ok(s),
    })
}

/// Longest time between two: a month.
const EVERY_S_MAX: u64 = 31 * length::DAY_S;

/// Has the objects of a page written: what is answered is durable.
fn import(
    context: &Context,
    objects: &str,
    compartment: &str,
    label: Option<String>,
) -> Result<Imported, Failure> {
    let mut scratch = context.home.scratch_file()?;
    write!(scratch.file, "{{\"objects\":{objects}}}")
        .map_err(|error| Failure::io("cannot keep a page", &error))?;
    let request = control::Import {
        files: vec![scratch.path().to_owned()],
        stdin: Some(scratch.path().to_owned()),
        compartment: compartment.to_owned(),
        format: Some(control::Source::Stix),
        map: None,
        label,
        class: None,
    };
    Ok(context.ask::<Imported>(Request::Import(request))?.typed)
}

/// The password in a file.
fn password(path: &std::path::Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = read_named_secret(path, PASSWORD_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).ok().map(str::trim).filter(|text| {
        !text.is_empty() && text.len() < PASSWORD_BYTES_MAX && !text.contains(char::is_control)
    });
    let text = text.ok_or_else(|| {
        Failure::usage(format!("{} holds no password on one line", path.display()))
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// What the pages of a pull came to.
#[derive(Default)]
struct Taken {
    all: Imported,
}

impl Taken {
    fn add(&mut self, page: Imported) {
        let all = &mut self.all;
        all.read += page.read;
        all.created += page.created;
        all.updated += page.updated;
        all.unchanged += page.unchanged;
        all.rejected += page.rejected;
        let room = PROBLEMS_MAX.saturating_sub(all.problems.len());
        all.problems.extend(page.problems.into_iter().take(room));
    }

    fn outcome(self, pulled: Pulled) -> Result<Outcome, Failure> {
        let all = self.all;
        let document = json!({
            "pages": pulled.pages, "whole": pulled.end == End::Whole, "dates_ahead": pulled.ahead, "read": all.read, "created": all.created,
            "updated": all.updated, "unchanged": all.unchanged, "rejected": all.rejected,
            "problems": data(&all.problems)?,
        });
        let mut text = facts([
            ("pages", pulled.pages.to_string()),
            ("read", all.read.to_string()),
            ("created", all.created.to_string()),
            ("updated", all.updated.to_string()),
            ("unchanged", all.unchanged.to_string()),
            ("rejected", all.rejected.to_string()),
        ]);
        if !all.problems.is_empty() {
            let mut problems = Table::new(&["place", "reason"]).with_whole_ends();
            for Problem { place, reason, .. } in &all.problems {
                problems.row([place, reason]);
            }
            text = format!("{text}\n{}", problems.text(""));
        }
        let whole = pulled.end == End::Whole;
        let short = all.rejected > 0 || !whole || pulled.ahead;
        let mut outcome = Outcome::new(document, text).short_of(Kind::Incomplete, short);
        if pulled.ahead {
            outcome = outcome.hint(
                "the server says that objects were added more than a day from now: such dates are no place to go on \
                 from; have its clock set",
            );
        }
        Ok(match pulled.end {
            End::Whole => outcome,
            End::Lost => outcome.hint(
                "the server repeats its pages, or says that it has more and not where: what it gave was taken",
            ),
            End::Enough => outcome.hint("there may be more: pull again, and it goes on where it was"),
        })
    }
}

/// Longest password: a pass is one.
const PASSWORD_BYTES_MAX: usize = 16 * 1024;
/// Problems that are shown in full.
const PROBLEMS_MAX: usize = 100;
