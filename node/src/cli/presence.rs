//! `presence`: where own units are now.

use clap::Subcommand;

use super::context::Context;
use super::output::Outcome;
use super::render::{Table, agency, short, time};
use crate::control::presence::{PresenceSay, Presences};
use crate::control::{Empty, Request};
use crate::failure::Failure;
use crate::length;

/// Say where this device is, and see where others are
#[derive(Debug, Subcommand)]
pub(super) enum Presence {
    /// Say where this device is, to the readers of a compartment
    #[command(after_help = "\
Example:
  tearline presence say --compartment 'Northern shore' --at 13.05,14.49 --for 30m
  gpspipe-or-the-like | while read at; do tearline presence say --compartment all --at $at; done

Only the latest is kept, by nobody for longer than it holds, and in no log.")]
    Say {
        /// The compartment: name, id, or the beginning of its id
        #[arg(long, value_name = "C")]
        compartment: String,
        /// Latitude and longitude, in degrees
        #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true, value_parser = place)]
        at: (f64, f64),
        /// How far off that may be, in m
        #[arg(long, value_name = "M", default_value_t = 100)]
        accuracy: u16,
        /// For how long it holds: a number and s, m, h or d, up to a day
        #[arg(long = "for", value_name = "TIME", default_value = "15m", value_parser = lasts)]
        lasts: u64,
    },
    /// Take back what this device said
    #[command(after_help = "\
Example:
  tearline presence end --compartment 'Northern shore'")]
    End {
        /// The compartment: name, id, or the beginning of its id
        #[arg(long, value_name = "C")]
        compartment: String,
    },
    /// List where devices say that they are
    #[command(after_help = "\
Example:
  tearline presence list")]
    List,
}

impl Presence {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Say { .. } => "presence.say",
            Self::End { .. } => "presence.end",
            Self::List => "presence.list",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let request = match self {
            Self::Say { compartment, at: (latitude, longitude), accuracy: accuracy_m, lasts } => {
                Request::PresenceSay(PresenceSay {
                    compartment,
                    latitude,
                    longitude,
                    accuracy_m,
                    lasts_s: lasts,
                })
            }
            Self::End { compartment } => Request::PresenceSay(PresenceSay {
                compartment,
                latitude: 0.0,
                longitude: 0.0,
                accuracy_m: 0,
                lasts_s: 0,
            }),
            Self::List => Request::PresenceList(Empty {}),
        };
        let answer = context.ask::<Presences>(request)?;
        let headings =
            ["device", "agency", "compartment", "latitude", "longitude", "within", "said", "until"];
        let mut table = Table::new(&headings);
        for one in &answer.typed.presences {
            let id = short(&one.device);
            table.row([
                one.name.as_ref().map_or(id.clone(), |name| format!("{name} ({id})")),
                agency(&one.agency),
                one.compartment_name.clone(),
                format!("{:.5}", one.latitude),
                format!("{:.5}", one.longitude),
                format!("{} m", one.accuracy_m),
                time(&one.said),
                time(&one.until),
            ]);
        }
        Ok(Outcome::new(answer.data, table.text("nobody says where it is")))
    }
}

/// Reads a place.
fn place(text: &str) -> Result<(f64, f64), String> {
    let read = || {
        let (latitude, longitude) = text.split_once(',')?;
        Some((latitude.trim().parse::<f64>().ok()?, longitude.trim().parse::<f64>().ok()?))
    };
    let there =
        |(latitude, longitude): &(f64, f64)| latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    read()
        .filter(there)
        .ok_or_else(|| "latitude and longitude in degrees, as in 13.05,14.49".into())
}

/// Reads how long a position holds.
fn lasts(text: &str) -> Result<u64, String> {
    length::read(text, length::DAY_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_bounded() {
        assert_eq!(place("13.05,14.49"), Ok((13.05, 14.49)));
        assert_eq!(place("-90, 180"), Ok((-90.0, 180.0)));
        for bad in ["", "13.05", "91,0", "0,181", "north,0", "nan,0", "inf,0"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
