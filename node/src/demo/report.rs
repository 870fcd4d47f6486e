//! What the exercise showed: steps, and in each of them claims with what was measured, the bound
//! it must keep, and the verdict.

use serde::Serialize;

use crate::cli::render::Table;

/// What stands above everything that the exercise prints.
pub const BANNER: &str = "\
*** EXERCISE - EXERCISE - EXERCISE ***   Exercise LAKE
All agencies, persons, vehicles and events are fictional. The keys are made for the exercise and
thrown away with it.
";

/// The whole exercise.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// "LAKE".
    pub exercise: &'static str,
    /// That it is one.
    pub banner: &'static str,
    /// What its chances were drawn from.
    pub seed: u64,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Whether all of them held.
    pub verdict: Verdict,
}

/// One step of the story.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What happens in it.
    pub title: String,
    /// What it showed.
    pub rows: Vec<Row>,
}

/// One claim, checked.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is claimed.
    pub claim: String,
    /// What was measured.
    pub measured: String,
    /// What it must keep; empty for what is only told.
    pub bound: String,
    /// Whether it does.
    pub verdict: Verdict,
}

/// Whether a claim holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// Nothing is claimed: a figure to read the others by.
    Info,
}

impl Report {
    /// The report of these steps.
    #[must_use]
    pub fn new(seed: u64, steps: Vec<Step>) -> Self {
        let fails = steps.iter().any(Step::fails);
        let empty = steps.iter().all(|step| step.rows.is_empty());
        let verdict = if fails || empty { Verdict::Fail } else { Verdict::Pass };
        Self { exercise: "LAKE", banner: "EXERCISE EXERCISE EXERCISE", seed, steps, verdict }
    }

    /// Whether anything did not hold.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.verdict == Verdict::Fail
    }

    /// The last lines: the verdict, and what it rests on.
    #[must_use]
    pub fn summary(&self) -> String {
        let rows = || self.steps.iter().flat_map(|step| &step.rows);
        let count = |verdict| rows().filter(|row| row.verdict == verdict).count();
        let (passed, failed) = (count(Verdict::Pass), count(Verdict::Fail));
        let mut text = format!(
            "\n*** EXERCISE LAKE: {} ***   {passed} claims hold, {failed} do not\n",
            if self.failed() { "FAIL" } else { "PASS" }
        );
        for row in rows().filter(|row| row.verdict == Verdict::Fail) {
            text += &format!("FAIL  {}: {} (bound: {})\n", row.claim, row.measured, row.bound);
        }
        text
    }
}

impl Step {
    /// A step that has shown nothing yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    /// Whether a claim of it does not hold.
    pub fn fails(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Fail)
    }

    /// Adds a claim that holds if `holds`.
    pub fn check(
        &mut self,
        claim: impl Into<String>,
        measured: impl Into<String>,
        bound: impl Into<String>,
        holds: bool,
    ) {
        let verdict = if holds { Verdict::Pass } else { Verdict::Fail };
        let (claim, measured, bound) = (claim.into(), measured.into(), bound.into());
        self.add(Row { claim, measured, bound, verdict });
    }

    /// Adds a claim that two things are the same.
    pub fn equal<T: PartialEq + ToString>(
        &mut self,
        claim: impl Into<String>,
        found: T,
        wanted: T,
    ) {
        self.check(claim, found.to_string(), wanted.to_string(), found == wanted);
    }

    /// Adds a figure without a claim.
    pub fn note(&mut self, claim: impl Into<String>, measured: impl Into<String>) {
        let (claim, measured) = (claim.into(), measured.into());
        self.add(Row { claim, measured, bound: String::new(), verdict: Verdict::Info });
    }

    /// Two rows of one claim could not be told apart.
    fn add(&mut self, row: Row) {
        debug_assert!(self.rows.iter().all(|r| r.claim != row.claim), "twice: {}", row.claim);
        self.rows.push(row);
    }

    /// The step's table.
    #[must_use]
    pub fn text(&self) -> String {
        let mut table = Table::new(&["", "claim", "measured", "bound"]);
        for row in &self.rows {
            let mark = match row.verdict {
                Verdict::Pass => "PASS",
                Verdict::Fail => "FAIL",
                Verdict::Info => "",
            };
            table.row([mark, &row.claim, &row.measured, &row.bound]);
        }
        table.text("nothing was shown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "twice: same")]
    fn a_step_claims_nothing_twice() {
        let mut step = Step::new("a");
        step.note("same", "7");
        step.equal("same", 1, 1);
    }

    #[test]
    fn one_claim_that_fails_fails_the_exercise_and_so_does_showing_nothing() {
        let mut step = Step::new("a");
        step.note("figure", "7");
        step.equal("same", 1, 1);
        let good = Report::new(1, vec![step.clone(), Step::new("b")]);
        assert!(!good.failed());
        step.equal("lost", 2, 0);
        let bad = Report::new(1, vec![step.clone()]);
        assert!(bad.failed() && bad.summary().contains("FAIL  lost: 2 (bound: 0)"));
        assert!(Report::new(1, vec![Step::new("b")]).failed());
        let json = serde_json::to_value(&bad).unwrap();
        let row = serde_json::json!(
            { "claim": "lost", "measured": "2", "bound": "0", "verdict": "fail" });
        assert_eq!(json["steps"][0]["rows"][2], row);
        assert!(step.text().lines().count() == 4);
    }
}
