//! Steps 2 and 3: the link to TD is cut, both sides change the same case, KILO adds a sighting by radio.
//! KILO comes into harbour, the link heals, TD is killed in the middle of the exchange and starts again; nothing that was
//! acknowledged is lost, and both values stand side by side until somebody decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::{
    AUDIENCE, Actor, KILO, NE, SPREAD_WAIT, Step, Story, TD, flash, if_there, lasted, radio,
    record, until,
};
use crate::control::reply::{History, PeerState, Record, Resolved, Status, Written};
use crate::control::{
    Empty, RecordEdit, RecordHistory, RecordNew, RecordResolve, RecordShow, Request,
};
use crate::failure::{Failure, Kind};

pub(super) fn cut(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let shore = story.shore.clone();
    let case = record("case", &shore, &[("name", "Case SAND (exercise)"), ("state", "open")]);
    let case = RecordNew { class: Some("immediate".into()), ..case };
    story.case = story.write(&NE, case)?.record;
    for actor in &AUDIENCE {
        until("the case", SPREAD_WAIT, || if_there(case_at(story, actor)))?;
    }
    story.link(&TD)?.cut();
    let (_, time) = until("the loss of the link at TD", SPREAD_WAIT, || {
        let status: Status = story.stage.ask(&TD, Request::Status(Empty {}))?;
        let down = status.peers.iter().all(|peer| peer.state == PeerState::Waiting);
        Ok((down && !status.peers.is_empty()).then_some(()))
    })?;
    step.note("the link is cut; TD notices after", lasted(time));

    let before = story.acknowledged.len();
    for (actor, value) in [(NE, NE_VALUE), (TD, TD_VALUE)] {
        let edit = RecordEdit {
            record: story.case.clone(),
            set: [(FIELD.to_owned(), value.to_owned())].into(),
            ..RecordEdit::default()
        };
        let written: Written = story.stage.ask(&actor, Request::RecordEdit(edit))?;
        story.acknowledge(&written);
        for number in 1..=NOTES_EACH {
            let content = format!("EXERCISE. Note {number} of {}: nothing new.", actor.name);
            let fields = [("content", content.as_str()), ("object_refs", story.case.as_str())];
            let note = record("note", &shore, &fields);
            story.write(&actor, note)?;
        }
    }
    let sighting = RecordNew {
        class: Some("immediate".into()),
        ..record(
            "sighting",
            &shore,
            &[("sighting_of_ref", story.alert.as_str()), ("count", "1"), ("method", "eye")],
        )
    };
    story.write(&KILO, sighting)?;
    let written = story.acknowledged.len() - before;
    let wanted = 2 * (NOTES_EACH + 1) + 1;
    step.equal("entries acknowledged on both sides while it is cut", written, wanted);

    let mut alone = 0;
    for (actor, value) in [(NE, NE_VALUE), (TD, TD_VALUE)] {
        let case = case_at(story, &actor)?;
        alone += usize::from(case.conflicts.is_empty() && shown(&case) == value);
    }
    step.equal("sides that know their own value of the case only", alone, 2);
    Ok(())
}

pub(super) fn heal(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    radio::back(story, step)?;
    die_in_mid_sync(story, step)?;
    converge(story, step)?;
    nothing_is_lost(story, step)?;
    both_values(story, step)?;
    resolve(story, step)?;
    flash::traces(story, step)
}

fn die_in_mid_sync(story: &Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let entries =
        |actor: &Actor| story.compartment(actor, &story.shore).map(|detail| detail.summary.entries);
    let had = entries(&TD)?;
    let link = story.link(&TD)?;
    link.limit(Some(TD_BITS_PER_SECOND));
    link.heal();
    let wanted = NOTES_EACH as u64 + 1;
    let (came, _) = until("the first entries after the cut", SPREAD_WAIT, || {
        let came = entries(&TD)?.saturating_sub(had);
        Ok((came > 0).then_some(came))
    })?;
    story.stage.kill(&TD)?;
    step.check(
        "TD killed (SIGKILL) in mid-sync: entries that had come",
        format!("{came} of at least {wanted}"),
        "some, not all",
        came < wanted,
    );
    let begun = Instant::now();
    story.stage.start(&TD)?;
    step.note("TD starts again and answers after", lasted(begun.elapsed()));
    link.limit(None);
    Ok(())
}

fn converge(story: &Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let digests = || -> Result<BTreeSet<(String, u64)>, Failure> {
        AUDIENCE
            .iter()
            .map(|actor| story.compartment(actor, &story.shore).map(|detail| detail.summary))
            .map(|summary| summary.map(|summary| (summary.digest, summary.entries)))
            .collect()
    };
    let begun = Instant::now();
    // One that does not come is a claim that fails, with what there was.
    let equal = until("equal digests", SPREAD_WAIT, || {
        let digests = digests()?;
        Ok((digests.len() == 1).then_some(digests))
    });
    let digests = match equal {
        Ok((digests, _)) => digests,
        Err(_) => digests()?,
    };
    step.check(
        "log digests at NE, TD and KILO",
        format!("{} distinct after {}", digests.len(), lasted(begun.elapsed())),
        format!("1 within {} s", SPREAD_WAIT.as_secs()),
        digests.len() == 1,
    );
    Ok(())
}

/// Whatever was acknowledged can be read at all three. Equal digests say that the entries are there;
/// they are judged after that, so each record is looked at until its entries count.
fn nothing_is_lost(story: &Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let mut lost = 0;
    let begun = Instant::now();
    for actor in &AUDIENCE {
        let mut missing = Missing::of(&story.acknowledged);
        let wait = SPREAD_WAIT.saturating_sub(begun.elapsed());
        let readable = until("every acknowledged entry", wait, || {
            missing.look(|record| history(story, actor, record))?;
            Ok(missing.is_empty().then_some(()))
        });
        // What does not come is a claim that fails, with how much of it there is.
        match readable {
            Err(failure) if failure.kind != Kind::Incomplete => return Err(failure),
            _ => lost += missing.len(),
        }
    }
    let looked_for = AUDIENCE.len() * story.acknowledged.len();
    step.check(
        "acknowledged entries lost, at NE, TD and KILO",
        format!("{lost} of {looked_for}"),
        format!("0 within {} s", SPREAD_WAIT.as_secs()),
        lost == 0 && looked_for > 0,
    );
    Ok(())
}

fn history(story: &Story<'_>, actor: &Actor, record: &str) -> Result<Option<History>, Failure> {
    let request = RecordHistory { record: record.to_owned() };
    if_there(story.stage.ask(actor, Request::RecordHistory(request)))
}

/// Acknowledged entries that somebody was not seen to hold yet, by their records.
struct Missing(BTreeMap<String, BTreeSet<String>>);

impl Missing {
    fn of(acknowledged: &[(String, String)]) -> Self {
        let mut records = BTreeMap::<_, BTreeSet<_>>::new();
        for (record, entry) in acknowledged {
            records.entry(record.clone()).or_default().insert(entry.clone());
        }
        Self(records)
    }

    /// Asks again for every record of which something is missing.
    fn look(
        &mut self,
        mut ask: impl FnMut(&str) -> Result<Option<History>, Failure>,
    ) -> Result<(), Failure> {
        for (record, entries) in &mut self.0 {
            let Some(history) = ask(record)? else { continue };
            for entry in history.entries.iter().filter(|entry| entry.verdict == COUNTS) {
                entries.remove(&entry.entry);
            }
        }
        self.0.retain(|_, entries| !entries.is_empty());
        Ok(())
    }

    fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn both_values(story: &Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let wanted = BTreeSet::from([NE_VALUE.to_owned(), TD_VALUE.to_owned()]);
    let mut both = 0;
    let mut shown_first = BTreeSet::new();
    for actor in &AUDIENCE {
        let case = case_at(story, actor)?;
        both += usize::from(values(&case) == wanted);
        shown_first.insert(shown(&case));
    }
    step.equal("peers that show both values of the case side by side", both, AUDIENCE.len());
    step.equal("values that are shown first, over all peers", shown_first.len(), 1);
    Ok(())
}

fn resolve(story: &mut Story<'_>, step: &mut Step) -> Result<(), Failure> {
    let case = case_at(story, &NE)?;
    let chosen = case
        .conflicts
        .iter()
        .filter(|conflict| conflict.field == FIELD)
        .flat_map(|conflict| &conflict.values)
        .find(|one| one.value == TD_VALUE)
        .map(|one| one.no)
        .ok_or_else(|| Failure::failed("TD's value is not among those to choose from"))?;
    let request = RecordResolve { record: story.case.clone(), field: FIELD.into(), take: chosen };
    let resolved: Resolved = story.stage.ask(&NE, Request::RecordResolve(request))?;
    story.acknowledged.push((resolved.record, resolved.entry));
    let begun = Instant::now();
    let mut settled = 0;
    for actor in &AUDIENCE {
        until("the resolved case", SPREAD_WAIT, || {
            let case = case_at(story, actor)?;
            Ok((case.conflicts.is_empty() && shown(&case) == TD_VALUE).then_some(()))
        })?;
        settled += 1;
    }
    step.check(
        "peers that show the one value that NE's officer took",
        format!("{settled} after {}", lasted(begun.elapsed())),
        AUDIENCE.len().to_string(),
        settled == AUDIENCE.len(),
    );
    Ok(())
}

fn case_at(story: &Story<'_>, actor: &Actor) -> Result<Record, Failure> {
    story.stage.ask(actor, Request::RecordShow(RecordShow { record: story.case.clone() }))
}

/// The value that a case shows.
fn shown(case: &Record) -> String {
    case.fields.get(FIELD).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// All concurrent values of the field.
fn values(case: &Record) -> BTreeSet<String> {
    case.conflicts
        .iter()
        .filter(|conflict| conflict.field == FIELD)
        .flat_map(|conflict| &conflict.values)
        .filter_map(|one| one.value.as_str().map(ToOwned::to_owned))
        .collect()
}

/// The field that both sides set.
const FIELD: &str = "lead_agency";
const NE_VALUE: &str = "NE Border Guard (exercise)";
const TD_VALUE: &str = "TD Frontier Service (exercise)";
/// How many notes each side writes while the link is cut.
const NOTES_EACH: usize = 40;
/// The speed at which TD's link heals, so that the exchange takes seconds.
const TD_BITS_PER_SECOND: u64 = 64_000;
/// What a history says of an entry that makes the record what it is.
const COUNTS: &str = "counts";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::reply::HistoryEntry;

    #[test]
    fn an_entry_is_missing_until_it_counts() {
        let acknowledged =
            [("r", "1"), ("r", "2"), ("s", "3")].map(|(r, e)| (r.to_owned(), e.to_owned()));
        let mut missing = Missing::of(&acknowledged);
        missing.look(|_| Ok(None)).unwrap();
        assert_eq!(missing.len(), 3, "the digests are equal, and no record is readable yet");
        let says = |verdict: &str| {
            let entry = |no: &str| HistoryEntry {
                entry: no.into(),
                verdict: verdict.into(),
                ..HistoryEntry::default()
            };
            vec![entry("1"), entry("2")]
        };
        for (verdict, left) in [("waiting", 3), (COUNTS, 1)] {
            missing
                .look(|record| {
                    let entries = if record == "r" { says(verdict) } else { Vec::new() };
                    Ok(Some(History { record: record.into(), entries }))
                })
                .unwrap();
            assert_eq!(missing.len(), left, "{verdict}");
        }
        assert!(!missing.is_empty());
        let failed = missing.look(|_| Err(Failure::denied("no"))).unwrap_err();
        assert_eq!(failed.kind, Kind::Denied);
    }
}
