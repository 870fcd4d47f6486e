//! `record list --aside`, and `record fetch` of a record: what stays with peers because it is not wanted.

use std::thread;
use std::time::{Duration, Instant};

use super::context::Context;
use super::output::Outcome;
use super::render::{Table, clean, short};
use crate::control::aside::{Aside, Asides, With};
use crate::control::{RecordAsides, RecordShow, Request};
use crate::failure::{Failure, Kind};

/// The records of which entries stay elsewhere.
pub(super) fn list(context: &Context, limit: Option<u32>) -> Result<Outcome, Failure> {
    let answer = context.ask::<Asides>(Request::RecordAsides(RecordAsides { limit }))?;
    let mut table = Table::new(&["record", "compartment", "not here yet", "with"]);
    for Aside { record, compartment_name, entries, with, .. } in &answer.typed.records {
        let with: Vec<String> = with.iter().map(called).collect();
        table.row([&short(record), compartment_name, &entries.to_string(), &with.join(", ")]);
    }
    let known = answer.typed.records.iter().map(|aside| aside.entries).sum::<u64>();
    let others = answer.typed.entries.saturating_sub(known);
    let outcome = Outcome::new(answer.data, table.text("nothing is left aside"));
    Ok(match others {
        0 => outcome,
        others => outcome.hint(format!(
            "{others} more entries were left aside: of further records (--limit), or of some whose keys are not here"
        )),
    })
}

/// Asks for what is left aside of a record, and waits for it.
pub(super) fn fetch(context: &Context, record: &str, wait: Duration) -> Result<Outcome, Failure> {
    let until = Instant::now() + wait;
    let mut asked = 0;
    loop {
        let request = Request::RecordFetchEntries(RecordShow { record: record.to_owned() });
        let answer = context.ask::<Aside>(request)?;
        let aside = &answer.typed;
        asked = aside.entries.max(asked);
        if aside.entries == 0 {
            let text = match asked {
                0 => "all of the record is here\n".to_owned(),
                1 => "1 entry was fetched: all of the record is here\n".to_owned(),
                many => format!("{many} entries were fetched: all of the record is here\n"),
            };
            return Ok(Outcome::new(answer.data, text));
        }
        if Instant::now() >= until {
            let with: Vec<String> = aside.with.iter().map(called).collect();
            return Err(Failure::new(
                Kind::Incomplete,
                format!("not here yet: {} entries stay with {}", aside.entries, with.join(", ")),
            )
            .hint("the daemon goes on asking each peer that it meets, as long as it runs"));
        }
        thread::sleep(ASK_AGAIN);
    }
}

/// A peer with whom entries stay.
pub(super) fn called(with: &With) -> String {
    with.name.as_deref().map_or_else(|| short(&with.device), clean)
}

/// How often the daemon is asked how far it is.
const ASK_AGAIN: Duration = Duration::from_millis(500);
