//! `bundle`: what is carried by hand between posts without a link.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use tearline_mesh::bundle::Outline;

use super::context::Context;
use super::exchange::{begin, readable};
use super::output::{Outcome, data};
use super::render::{Table, agency, bytes, clean, counted, facts, short, time};
use crate::control::Request;
use crate::control::bundle::{
    self as shape, BundleExport, BundleFile, BundleInspected, BundleMade, BundleTaken, Post,
};
use crate::control::field::Enclosed;
use crate::failure::{Failure, Kind};
use crate::files::open_named;
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

Without a home or a daemon it says for how many devices it is, and whether its length is that of a whole one.

Exit code 7: it is torn or damaged, and what is before that place is shown; or it was not opened.")]
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

impl Since {
    pub(super) const fn shape(self) -> shape::Since {
        match self {
            Self::Last => shape::Since::Last,
            Self::Heard => shape::Since::Heard,
            Self::Start => shape::Since::Start,
        }
    }
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

fn named(file: &Path) -> Result<BundleFile, Failure> {
    Ok(BundleFile { file: readable(file)?, map: None })
}

fn export(
    context: &Context,
    to: Vec<String>,
    since: Since,
    bytes_max: u64,
    out: &Path,
) -> Result<Outcome, Failure> {
    let pending = begin(out)?;
    let since = since.shape();
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

pub(super) fn inspect(context: &Context, file: BundleFile) -> Result<Outcome, Failure> {
    let path = file.file.clone();
    let answer = match context.ask::<BundleInspected>(Request::BundleInspect(file)) {
        Err(failure) if failure.kind == Kind::Unreachable => return outline(&path, &failure),
        answer => answer?,
    };
    let found = &answer.typed;
    let mut text = facts([
        ("bundle", short(&found.bundle)),
        ("by", post(&found.maker)),
        ("for", devices(found.recipients)),
        ("made", time(&found.made)),
        ("holds up to", bytes(found.bytes)),
    ]);
    text += &classes(&found.entries);
    text += &found.enclosed.as_ref().map(enclosed).unwrap_or_default();
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

/// What can be said of a bundle that nobody opens here.
fn outline(path: &Path, why: &Failure) -> Result<Outcome, Failure> {
    let mut file = open_named(path)?;
    let bytes_here = file.metadata().map_or(0, |found| found.len());
    let outline = Outline::read(&mut file, bytes_here)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    let found = BundleInspected {
        bundle: outline.name.iter().map(|byte| format!("{byte:02x}")).collect(),
        recipients: outline.recipients,
        bytes: bytes_here,
        refused: Some(format!("it was not opened: {}", why.what)),
        problem: outline.torn_at.map(|at| format!("it is torn off at byte {at}")),
        ..BundleInspected::default()
    };
    let text = facts([
        ("bundle", short(&found.bundle)),
        ("for", devices(found.recipients)),
        ("size", bytes(found.bytes)),
    ]);
    let mut outcome = Outcome::new(data(&found)?, text);
    outcome.warnings.extend(found.refused.into_iter().chain(found.problem));
    Ok(outcome
        .hint("a device that it is for says who made it and what is in it: start its daemon, and name its --home")
        .short_of(Kind::Incomplete, true))
}

/// For how many devices.
fn devices((least, most): (usize, usize)) -> String {
    format!("{least} to {most} devices")
}

pub(super) fn import(context: &Context, file: BundleFile) -> Result<Outcome, Failure> {
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
    let text = text + &taken.enclosed.as_ref().map(enclosed).unwrap_or_default();
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
    let passed_over = taken.enclosed.as_ref().and_then(|one| one.passed_over.as_ref());
    outcome
        .warnings
        .extend(passed_over.map(|why| format!("its area and time are not taken: {why}")));
    let hint = if taken.stale {
        "this bundle, or a later one of the same maker, was read before".to_owned()
    } else {
        format!("tell {maker} what arrived: carry a bundle back (`tearline bundle export`)")
    };
    Ok(outcome.hint(hint).short_of(Kind::Incomplete, short))
}

/// What a field pack says beside entries.
fn enclosed(enclosed: &Enclosed) -> String {
    let Enclosed { order, features, .. } = enclosed;
    facts([
        ("area", clean(&order.area)),
        ("from", time(&order.from)),
        ("until", time(&order.until)),
        ("map", features.map_or_else(|| "none".into(), |count| counted(count, "feature"))),
    ])
}

pub(super) fn post(post: &Post) -> String {
    let name = post.name.clone().unwrap_or_else(|| short(&post.device));
    format!("{} ({})", clean(&name), agency(&post.agency))
}

pub(super) fn classes(entries: &std::collections::BTreeMap<String, u64>) -> String {
    facts(entries.iter().map(|(class, count)| (class.as_str(), format!("{count} entries"))))
}
