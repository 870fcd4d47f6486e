//! `bundle`: what is carried by hand between posts without a link.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::context::Context;
use super::exchange::{begin, readable};
use super::output::Outcome;
use super::render::{Table, agency, bytes, clean, facts, short, time};
use crate::control::Request;
use crate::control::bundle::{
    self as shape, BundleExport, BundleFile, BundleInspected, BundleMade, BundleTaken, Post,
};
use crate::failure::{Failure, Kind};
use crate::size;

/// Carry entries in a file between posts without a link
#[derive(Debug, Subcommand)]
pub(super) enum Bundle {
    /// Make a bundle of what devices lack, which they alone can open
    #[command(after_help = "\
Example:
  tearline bundle export --to KILO --out /media/stick/kilo.bundle
  tearline bundle export --to KILO --to 3f9a12bc --since start --max 2GiB --out all.bundle

What only some of the devices may have is left out, and named: make a bundle for those.

Exit code 7: made, but there was no room for everything; the next bundle goes on with the rest.")]
    Export {
        /// A device that it is for: its name, its id, or the beginning of it
        #[arg(long, value_name = "DEVICE", required = true)]
        to: Vec<String>,
        /// From where on: what was last packed for or heard of the devices; what was last heard of
        /// them, if a bundle was lost; or the start
        #[arg(long, value_enum, default_value = "last")]
        since: Since,
        /// How large it may be: a number and B, KiB, MiB or GiB
        #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size::read)]
        max: u64,
        /// The file to write; replaced if it is there
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show who made a bundle and what is in it, and take nothing
    #[command(after_help = "\
Example:
  tearline bundle inspect /media/stick/kilo.bundle

Exit code 7: it is torn or damaged; what is before that place is shown.")]
    Inspect {
        /// The file
        file: PathBuf,
    },
    /// Take what is in a bundle
    #[command(after_help = "\
Example:
  tearline bundle import /media/stick/kilo.bundle

Afterwards carry a bundle back, however small: it tells what arrived.

Exit code 7: taken, but for what is listed.")]
    Import {
        /// The file
        file: PathBuf,
    },
}

/// From where on a bundle carries what its recipients lack.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Since {
    /// What was last packed for them or heard of them
    Last,
    /// What was last heard of them
    Heard,
    /// The beginning
    Start,
}

impl Bundle {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Export { .. } => "bundle.export",
            Self::Inspect { .. } => "bundle.inspect",
            Self::Import { .. } => "bundle.import",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Export { to, since, max, out } => export(context, to, since, max, &out),
            Self::Inspect { file } => inspect(context, named(&file)?),
            Self::Import { file } => import(context, named(&file)?),
        }
    }
}

fn named(file: &std::path::Path) -> Result<BundleFile, Failure> {
    Ok(BundleFile { file: readable(file)? })
}

fn export(
    context: &Context,
    to: Vec<String>,
    since: Since,
    bytes_max: u64,
    out: &std::path::Path,
) -> Result<Outcome, Failure> {
    let pending = begin(out)?;
    let since = match since {
        Since::Last => shape::Since::Last,
        Since::Heard => shape::Since::Heard,
        Since::Start => shape::Since::Start,
    };
    let (part, out) = (pending.path().to_owned(), pending.place().to_owned());
    let request = BundleExport { to, since, bytes_max, part, out };
    let answer = context.ask::<BundleMade>(Request::BundleExport(request))?;
    let done = &answer.typed;
    let to: Vec<String> = done.to.iter().map(post).collect();
    let mut text = facts([
        ("bundle", short(&done.bundle)),
        ("for", to.join(", ")),
        ("in", format!("{}, {}", pending.place().display(), bytes(done.bytes))),
    ]);
    text += &classes(&done.entries);
    if done.left > 0 {
        text += &facts([("left for the next", done.left.to_string())]);
    }
    let mut outcome = Outcome::new(answer.data, text);
    if !done.unshared.is_empty() {
        let names: Vec<String> = done.unshared.iter().map(|name| clean(name)).collect();
        outcome.warnings.push(format!(
            "not in it, because not all of these devices are in the audience: {}",
            names.join(", ")
        ));
    }
    let left = done.left > 0;
    if left && done.entries.is_empty() {
        outcome.warnings.push("the next entries do not fit: name a larger --max".into());
    }
    Ok(outcome.short_of(Kind::Incomplete, left))
}

fn inspect(context: &Context, file: BundleFile) -> Result<Outcome, Failure> {
    let answer = context.ask::<BundleInspected>(Request::BundleInspect(file))?;
    let found = &answer.typed;
    let mut text = facts([
        ("bundle", short(&found.bundle)),
        ("by", post(&found.maker)),
        ("made", time(&found.made)),
        ("holds up to", bytes(found.bytes)),
    ]);
    text += &classes(&found.entries);
    let mut table = Table::new(&["entries", "of", "named"]);
    for content in &found.compartments {
        let id = match content.compartment.as_str() {
            "" => "not known here".to_owned(),
            id => short(id),
        };
        table.row([content.entries.to_string(), id, content.name.clone()]);
    }
    text = format!("{text}\n{}", table.text("no entries: it says where its maker is"));
    let mut outcome = Outcome::new(answer.data, text);
    outcome
        .warnings
        .extend(found.refused.as_ref().map(|why| format!("it will not be read: {why}")));
    outcome.warnings.extend(found.problem.clone());
    let short = found.problem.is_some() || found.refused.is_some();
    Ok(outcome.short_of(Kind::Incomplete, short))
}

fn import(context: &Context, file: BundleFile) -> Result<Outcome, Failure> {
    let answer = context.ask::<BundleTaken>(Request::BundleImport(file))?;
    let taken = &answer.typed;
    let maker = post(&taken.maker);
    let text = facts([
        ("bundle", short(&taken.bundle)),
        ("by", maker.clone()),
        ("made", time(&taken.made)),
        ("new", taken.new.to_string()),
        ("here already", taken.held.to_string()),
    ]);
    let mut outcome = Outcome::new(answer.data, text);
    outcome.warnings.extend(taken.problem.clone());
    let not_taken = [
        (
            taken.gap,
            "follow on what is missing here: import the bundle before it, or carry one back",
        ),
        (taken.other_branch, "continue another branch of a forked log"),
        (
            taken.refused,
            "are of compartments or authors not known here, or had no room: import again",
        ),
    ];
    let lines = not_taken.into_iter().filter(|(count, _)| *count > 0);
    outcome
        .warnings
        .extend(lines.map(|(count, why)| format!("{count} entries not taken: they {why}")));
    let short = !outcome.warnings.is_empty();
    let hint = if taken.stale {
        "this bundle, or a later one of the same maker, was read before".to_owned()
    } else {
        format!("tell {maker} what arrived: carry a bundle back (`tearline bundle export`)")
    };
    Ok(outcome.hint(hint).short_of(Kind::Incomplete, short))
}

fn post(post: &Post) -> String {
    let name = post.name.clone().unwrap_or_else(|| short(&post.device));
    format!("{} ({})", clean(&name), agency(&post.agency))
}

fn classes(entries: &std::collections::BTreeMap<String, u64>) -> String {
    facts(entries.iter().map(|(class, count)| (class.as_str(), format!("{count} entries"))))
}
