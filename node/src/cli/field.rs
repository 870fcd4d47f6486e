//! `field`: a unit that goes off the grid for some days, and comes back.

use std::path::PathBuf;

use clap::Subcommand;

use super::bundle::{Since, classes, import, inspect, post};
use super::context::Context;
use super::exchange::{begin, readable};
use super::output::Outcome;
use super::render::{Table, bytes, clean, counted, facts, short, time};
use crate::control::bundle::BundleFile;
use crate::control::field::{Ends, FieldPack, FieldPacked, FieldShown};
use crate::control::{Empty, Request};
use crate::failure::{Failure, Kind};
use crate::index::Area;
use crate::length::DAY_S;
use crate::service::FIELD_LASTS_S_MAX;
use crate::size;

/// Prepare a unit for time off the grid
#[derive(Debug, Subcommand)]
pub(super) enum Field {
    /// Make a file of what a device needs out there: keys, records, and a map
    #[command(after_help = "\
Example:
  tearline field pack --device KILO --area 13.1,14.5,50km --days 4 -o /media/stick/kilo.field
  tearline field pack --device KILO --area 14.0,12.5,15.5,13.8 --days 10 --max 8MiB -o kilo.field

In it are the records in the area, flashes and alerts wherever they are, what is linked with those, the
statements and keys that go with them, and a map (GeoJSON). The device alone can open it. It says what ends
before the device is back.

Exit code 7: made, but something ends before, or there was no room for everything.")]
    Pack {
        /// The device that it is for: its name, its id, or the beginning of it
        #[arg(long, value_name = "DEVICE")]
        device: String,
        /// Where it will be: latitude, longitude and distance, or west, south, east and north
        #[arg(long, value_name = "AREA", allow_hyphen_values = true)]
        area: Area,
        /// For how many days
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=DAYS_MAX))]
        days: u16,
        /// From where on: what was last heard of the device; what was last packed for it or heard of it; or
        /// the start
        #[arg(long, value_enum, default_value = "heard")]
        since: Since,
        /// How large it may be: a number and B, KiB, MiB or GiB
        #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size::read)]
        max: u64,
        /// The file to write; replaced if it is there
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show who made a field pack and what is in it, and take nothing
    #[command(after_help = "\
Example:
  tearline field inspect /media/stick/kilo.field

Exit code 7: it is torn or damaged; what is before that place is shown.")]
    Inspect {
        /// The file
        file: PathBuf,
    },
    /// Take what is in a field pack
    #[command(after_help = "\
Example:
  tearline field unpack /media/stick/kilo.field --map area.geojson

Takes the same as `bundle import`. The portal's map begins with the area while its time lasts.

Exit code 7: taken, but for what is listed.")]
    Unpack {
        /// The file
        file: PathBuf,
        /// Where to write the map; replaced if it is there
        #[arg(long, value_name = "FILE")]
        map: Option<PathBuf>,
    },
    /// Show the area and time of the last field pack that was taken here
    #[command(after_help = "\
Example:
  tearline field show

Exit code 7: something ends before that time does.")]
    Show,
}

impl Field {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Pack { .. } => "field.pack",
            Self::Inspect { .. } => "field.inspect",
            Self::Unpack { .. } => "field.unpack",
            Self::Show => "field.show",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Pack { device, area, days, since, max: bytes_max, out } => {
                let pending = begin(&out)?;
                let pack = FieldPack {
                    device,
                    area: area.to_string(),
                    lasts_s: u64::from(days) * DAY_S,
                    since: since.shape(),
                    bytes_max,
                    part: pending.path().to_owned(),
                    out: pending.place().to_owned(),
                };
                packed(context, pack)
            }
            Self::Inspect { file } => {
                inspect(context, BundleFile { file: readable(&file)?, map: None })
            }
            Self::Unpack { file, map } => {
                let file = readable(&file)?;
                let Some(map) = map else { return import(context, BundleFile { file, map: None }) };
                let pending = begin(&map)?;
                let map = Some(pending.path().to_owned());
                let outcome = import(context, BundleFile { file, map })?;
                pending.take_place()?;
                Ok(outcome)
            }
            Self::Show => show(context),
        }
    }
}

/// Most days off the grid.
const DAYS_MAX: i64 = (FIELD_LASTS_S_MAX / DAY_S) as i64;

fn packed(context: &Context, pack: FieldPack) -> Result<Outcome, Failure> {
    let place = pack.out.display().to_string();
    let answer = context.ask::<FieldPacked>(Request::FieldPack(pack))?;
    let FieldPacked { bundle, order, ends, .. } = &answer.typed;
    let done = &answer.typed;
    let map = match done.features {
        Some(count) => counted(count, "feature"),
        None => "none: there was no room".into(),
    };
    let mut text = facts([
        ("field pack", short(&bundle.bundle)),
        ("for", bundle.to.iter().map(post).collect::<Vec<_>>().join(", ")),
        ("area", order.area.clone()),
        ("until", time(&order.until)),
        ("in", format!("{place}, {}", bytes(bundle.bytes))),
        (
            "records",
            format!("{} in the area, {} urgent, {} linked", done.in_area, done.urgent, done.linked),
        ),
        ("map", map),
    ]);
    if !done.resealed.is_empty() {
        let names: Vec<String> = done.resealed.iter().map(|name| clean(name)).collect();
        text += &facts([("new keys", names.join(", "))]);
    }
    text += &classes(&bundle.entries);
    if bundle.left > 0 {
        text += &facts([("left out", bundle.left.to_string())]);
    }
    let short_of_room = bundle.left > 0 || done.features.is_none() || done.features_left > 0;
    text += &table_of(ends);
    let is_short = short_of_room || !ends.is_empty();
    let mut outcome = Outcome::new(answer.data.clone(), text).without(&done.unread);
    if short_of_room {
        outcome.warnings.push(format!(
            "{} entries and {} features of the map had no room: name a larger --max, or a smaller area",
            bundle.left, done.features_left
        ));
    }
    outcome.hints.extend(hints(ends));
    let is_short = is_short || outcome.short_of.is_some();
    Ok(outcome
        .hint("there: `tearline field unpack FILE`; on the way back: `tearline bundle export --to` this device")
        .short_of(Kind::Incomplete, is_short))
}

fn show(context: &Context) -> Result<Outcome, Failure> {
    let answer = context.ask::<FieldShown>(Request::FieldShow(Empty {}))?;
    let FieldShown { order, maker, in_force, ends } = &answer.typed;
    let Some(order) = order else {
        return Ok(Outcome::new(answer.data, "no field pack was taken here\n".into()));
    };
    let mut text = facts([
        ("area", clean(&order.area)),
        ("from", time(&order.from)),
        ("until", time(&order.until)),
        ("by", maker.as_ref().map(post).unwrap_or_default()),
        ("in force", if *in_force { "yes" } else { "no" }.to_owned()),
    ]);
    let ends: &[Ends] = if *in_force { ends } else { &[] };
    text += &table_of(ends);
    let mut outcome = Outcome::new(answer.data.clone(), text);
    outcome.hints.extend(hints(ends));
    Ok(outcome.short_of(Kind::Incomplete, !ends.is_empty()))
}

/// What ends before a device is back.
fn table_of(ends: &[Ends]) -> String {
    if ends.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["ends", "of", "when", "so that"]);
    for one in ends {
        let when = one.when.as_deref().map_or_else(|| "is not there".into(), time);
        table.row([one.what.clone(), clean(&one.compartment), when, one.meaning.clone()]);
    }
    format!("\n{}", table.text(""))
}

/// What to do about that, each once.
fn hints(ends: &[Ends]) -> std::collections::BTreeSet<String> {
    ends.iter().map(|one| one.hint.clone()).collect()
}
