//! Goals: what is good enough, as `flash p95 < 15 min` says it, and whether it was reached.
//!
//! A goal speaks of deliveries: a record and a reader other than its author. What has not arrived when the
//! contacts end counts as later than everything.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use tearline_crdt::id::Class;

use crate::agenda::NEVER;
use crate::outcome::Latencies;
use crate::quantity::{Length, short};
use crate::scenario::class_named;

/// A bound on what is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// Of which records; `None`: of all.
    pub class: Option<Class>,
    /// What is measured, and its bound.
    pub measure: Measure,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// So many of a hundred deliveries take less than this.
    Percentile(u8, Length),
    /// At least so many of a hundred arrive.
    Delivered(f64),
    /// So many of a hundred deliveries take at most so many times as long as the contacts allow.
    Stretch(u8, f64),
}

/// A goal beside what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The goal.
    pub goal: Goal,
    /// What was measured, for people.
    pub measured: String,
    /// The same as a number: seconds, percent or times. `None` where it is endless or nothing was written.
    pub value: Option<f64>,
    /// Whether it was reached.
    pub reached: bool,
}

impl Goal {
    /// Reads `flash p95 < 15 min`, `all delivered >= 98 %` or `routine stretch p50 <= 1.25`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (class, rest) = words.split_first().ok_or_else(|| unreadable(text))?;
        let class = match *class {
            "all" => None,
            name => Some(class_named(name).ok_or_else(|| unreadable(text))?),
        };
        let measure = match rest {
            ["delivered", ">=", rest @ ..] => {
                let share = rest.concat();
                let share = share.strip_suffix('%').and_then(|n| n.parse::<f64>().ok());
                Measure::Delivered(
                    share.filter(|n| (0.0..=100.0).contains(n)).ok_or_else(|| unreadable(text))?,
                )
            }
            ["stretch", percentile, "<=", times] => {
                let times = times.parse::<f64>().ok().filter(|n| *n >= 1.0 && n.is_finite());
                let both = percent(percentile).zip(times);
                let (percentile, times) = both.ok_or_else(|| unreadable(text))?;
                Measure::Stretch(percentile, times)
            }
            [percentile, "<", rest @ ..] => {
                let percentile = percent(percentile).ok_or_else(|| unreadable(text))?;
                Measure::Percentile(percentile, Length::parse(&rest.join(" "))?)
            }
            _ => return Err(unreadable(text)),
        };
        Ok(Self { class, measure })
    }

    /// Judges what was measured.
    #[must_use]
    pub fn judge(&self, latencies: &Latencies) -> Verdict {
        let of = latencies.of(self.class);
        let (measured, value, reached) = match self.measure {
            Measure::Percentile(percentile, bound) => match of.percentile(percentile) {
                None => ("nothing was written".to_owned(), None, false),
                Some(NEVER) => ("not delivered".to_owned(), None, false),
                Some(nanos) => (short(nanos), Some(nanos as f64 / 1e9), nanos < bound.0),
            },
            Measure::Delivered(least) => match of.delivered_percent() {
                None => ("nothing was written".to_owned(), None, false),
                Some(share) => (format!("{share:.1} %"), Some(share), share >= least),
            },
            Measure::Stretch(percentile, most) => match of.stretch(percentile) {
                None => ("nothing could arrive".to_owned(), None, false),
                Some(times) if times.is_infinite() => ("not delivered".to_owned(), None, false),
                Some(times) => (format!("{times:.2} times"), Some(times), times <= most),
            },
        };
        Verdict { goal: self.clone(), measured, value, reached }
    }
}

fn percent(word: &str) -> Option<u8> {
    match word {
        "max" => Some(100),
        word => word.strip_prefix('p')?.parse().ok().filter(|n| (1..=100).contains(n)),
    }
}

fn unreadable(text: &str) -> String {
    format!(
        "{text:?} is no goal: a class or \"all\", then \"p95 < 15 min\", \"delivered >= 98 %\" or \
         \"stretch p50 <= 1.25\""
    )
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.map_or("all", Class::name))?;
        match self.measure {
            Measure::Percentile(percentile, bound) => write!(f, " p{percentile} < {bound}"),
            Measure::Delivered(least) => write!(f, " delivered >= {least} %"),
            Measure::Stretch(percentile, most) => write!(f, " stretch p{percentile} <= {most}"),
        }
    }
}

impl<'de> Deserialize<'de> for Goal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_read_back_as_they_are_shown() {
        for text in ["flash p95 < 15 min", "all delivered >= 98 %", "routine stretch p50 <= 1.25"] {
            assert_eq!(Goal::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Goal::parse("flash p95 < 15min"), Goal::parse("flash p95 < 15 min"));
        let bad = [
            "",
            "flash",
            "urgent p95 < 1 s",
            "flash p0 < 1 s",
            "flash p95 > 1 s",
            "all delivered >= 200 %",
        ];
        assert!(bad.into_iter().all(|text| Goal::parse(text).is_err()));
    }
}
