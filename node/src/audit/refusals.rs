//! Sign-ins that were refused, gathered: who is nobody here can be refused without end, and must not push
//! out of the log what counts. The first is written down at once; those of the hour after it are counted, and
//! written as one entry for each operator they named, [`NAMES_MAX`] at most, and one for all the others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Event, Note, Outcome};

/// For how long refusals are counted after one that was written down.
const GATHERED_FOR: Duration = Duration::from_secs(3_600);
/// Most operators whose refusals are counted apart. So a day of refusals is 24 times 18 entries at most, some
/// 150 KB: the whole log would hold nothing else after 19 years of them.
pub(super) const NAMES_MAX: usize = 16;

/// Refusals that are counted and not yet written down.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Option<Instant>,
    /// How many, by the operator that was named; under the empty name all the others.
    counts: BTreeMap<String, u64>,
}

impl Refusals {
    /// Takes a refusal; gives back what is to be written down now.
    pub(super) fn take(&mut self, note: Note, now: Instant) -> Vec<Note> {
        let mut due = self.due(now);
        if self.since.is_none() {
            self.since = Some(now);
            due.push(note);
        } else {
            let counted = self.counts.len() < NAMES_MAX || self.counts.contains_key(&note.operator);
            let name = if counted { note.operator } else { String::new() };
            *self.counts.entry(name).or_default() += 1;
        }
        due
    }

    /// What is to be written down because its hour is over.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Note> {
        let over = |since: Instant| now.saturating_duration_since(since) >= GATHERED_FOR;
        if self.since.is_some_and(over) { self.all() } else { Vec::new() }
    }

    /// All that was counted, whether its hour is over or not.
    pub(super) fn all(&mut self) -> Vec<Note> {
        self.since = None;
        std::mem::take(&mut self.counts)
            .into_iter()
            .map(|(name, count)| counted(name, count))
            .collect()
    }
}

fn counted(operator: String, count: u64) -> Note {
    Note {
        event: Event::Login,
        operator,
        role: String::new(),
        purpose: String::new(),
        act: "audit.gather".into(),
        records: Vec::new(),
        detail: format!("{count} more since the last that was refused"),
        outcome: Outcome::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str) -> Note {
        Note { act: "POST /login".into(), ..counted(name.into(), 1) }
    }

    #[test]
    fn a_flood_of_refusals_is_a_few_entries_an_hour() {
        let mut refusals = Refusals::default();
        let begin = Instant::now();
        assert_eq!(refusals.take(refusal("Amina"), begin)[0].act, "POST /login");
        for n in 0..10_000 {
            assert!(refusals.take(refusal(&format!("operator {n}")), begin).is_empty());
        }
        let written = refusals.take(refusal("Amina"), begin + GATHERED_FOR);
        assert_eq!(written.len(), NAMES_MAX + 2, "the named, all others, and the next first one");
        assert!(written[0].operator.is_empty() && written[0].detail.starts_with("9984 more"));
        assert!(refusals.all().is_empty());
    }
}
