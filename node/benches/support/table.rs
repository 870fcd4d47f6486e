//! The table that a benchmark prints: what was measured, what is asked for, and what the machine's
//! own stages would allow, measured in the same run.

use serde_json::{Value, json};

/// What a figure must be.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(bound) => measured >= bound,
            Self::AtMost(bound) => measured <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {}", figure(bound)),
            Self::AtMost(bound) => format!("<= {}", figure(bound)),
        }
    }
}

struct Row {
    what: String,
    unit: &'static str,
    measured: f64,
    bound: Option<Bound>,
    /// What the stages allow, and which share of it is asked for.
    limit: Option<(f64, f64)>,
}

impl Row {
    fn share(&self) -> Option<f64> {
        self.limit.map(|(limit, _)| match self.bound {
            // Of a time the limit is the least, of a rate the most.
            Some(Bound::AtMost(_)) => limit / self.measured,
            _ => self.measured / limit,
        })
    }

    fn verdict(&self) -> Option<bool> {
        let bound = self.bound.map(|bound| bound.holds(self.measured));
        let share = self.share().zip(self.limit).map(|(share, (_, least))| share >= least);
        match (bound, share) {
            (None, None) => None,
            (bound, share) => Some(bound.unwrap_or(true) && share.unwrap_or(true)),
        }
    }
}

/// The rows so far.
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    /// A figure that nothing is asked of.
    pub(crate) fn note(&mut self, what: impl Into<String>, measured: f64, unit: &'static str) {
        self.rows.push(Row { what: what.into(), unit, measured, bound: None, limit: None });
    }

    /// A figure with its bound, and, where there is one, what its stages allow and the least share
    /// of it that is asked for.
    pub(crate) fn check(
        &mut self,
        what: impl Into<String>,
        measured: f64,
        unit: &'static str,
        bound: Bound,
        limit: Option<(f64, f64)>,
    ) {
        self.rows.push(Row { what: what.into(), unit, measured, bound: Some(bound), limit });
    }

    /// Prints it, with `--json` among the arguments as one document. Returns whether every row keeps
    /// its bound.
    #[must_use]
    pub(crate) fn print(&self) -> bool {
        if std::env::args().any(|argument| argument == "--json") {
            println!("{}", self.json());
        } else {
            self.print_lines();
        }
        self.rows.iter().all(|row| row.verdict() != Some(false))
    }

    fn print_lines(&self) {
        println!("\n{}", self.title);
        let head = ["what", "measured", "unit", "bound", "limit", "of limit", "asked", "verdict"];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        let mut widths = [0; 8];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in lines {
            let mut text = String::new();
            for (n, (cell, width)) in line.iter().zip(widths).enumerate() {
                if n == 0 {
                    text.push_str(&format!("{cell:<width$}"));
                } else {
                    text.push_str(&format!("  {cell:>width$}"));
                }
            }
            println!("{}", text.trim_end());
        }
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "what": row.what,
                "unit": row.unit,
                "measured": row.measured,
                "bound": row.bound.map(Bound::text),
                "limit": row.limit.map(|(limit, _)| limit),
                "of_limit": row.share(),
                "of_limit_min": row.limit.map(|(_, least)| least),
                "pass": row.verdict(),
            })
        });
        json!({ "title": self.title, "rows": rows.collect::<Vec<_>>() })
    }
}

/// The end of a benchmark: an error, and so exit code 1, unless every row kept its bound.
pub(crate) const fn judged(passed: bool) -> Result<(), &'static str> {
    if passed { Ok(()) } else { Err("a row does not keep its bound") }
}

fn cells(row: &Row) -> [String; 8] {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let verdict = row.verdict().map(|pass| if pass { "PASS" } else { "FAIL" });
    [
        row.what.clone(),
        figure(row.measured),
        row.unit.to_owned(),
        row.bound.map(Bound::text).unwrap_or_default(),
        row.limit.map(|(limit, _)| figure(limit)).unwrap_or_default(),
        row.share().map(percent).unwrap_or_default(),
        row.limit
            .filter(|(_, least)| *least > 0.0)
            .map(|(_, least)| format!(">= {}", percent(least)))
            .unwrap_or_default(),
        verdict.unwrap_or_default().to_owned(),
    ]
}

/// A number with the digits that matter.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
