//! What does not count: a list of it, one entry of it in full, and the word that lets it count.
//!
//! An officer decides on what he can read. So each entry that this device has the keys for is shown as
//! its record would be if the entry counted: what an adoption of it would do. That view is made for
//! the answer alone; no list, search or export of records sees it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use tearline_crdt::authority::{Author, Cause};
use tearline_crdt::entry::sealed::EntryKind;
use tearline_crdt::id::Class;
use tearline_crdt::record::shelf::{AsIf, Detail, EntryView, Verdict};
use tearline_crdt::statement::Mark;
use tearline_crdt::store::StoreError;
use tearline_mesh::replica::QuarantinedEntry;

use super::core::Core;
use super::damage::Unread;
use super::export::row_of;
use super::names::is_prefix;
use super::overview::store_failure;
use super::records::{act_failure, verdict};
use super::{Answer, json};
use crate::control::trust as shape;
use crate::failure::{Failure, Kind};
use crate::index::Row;

/// Most quarantined entries of one answer.
const QUARANTINED_MAX: usize = 1_000;
/// Entries that are opened for one answer; of what is listed beyond, only the kind of entry is shown.
const OPENED_MAX: usize = 20_000;

/// A record as it would be if a quarantined entry counted.
struct Supposed {
    detail: Detail,
    /// Whether quarantined entries of other logs had to count, too.
    beside_others: bool,
    /// How many entries were opened for it.
    opened: usize,
}

impl Core {
    pub(super) fn quarantine(&mut self) -> Result<Value, Failure> {
        self.quarantine_where(&|_| true)
    }

    /// What does not count, of records that may be seen: an entry is shown if its record would be.
    pub(super) fn quarantine_where(
        &mut self,
        sees: &dyn Fn(&Row) -> bool,
    ) -> Result<Value, Failure> {
        let found = self.replica.quarantined(QUARANTINED_MAX + 1);
        let (found, unread) = found.map_err(|error| self.met(&error))?;
        let entries = unread.iter().map(|these| self.unread_entries(these)).collect();
        let mut unread = Unread { entries, ..Unread::default() };
        let more = found.len() > QUARANTINED_MAX;
        let mut opened = 0;
        let mut entries = Vec::new();
        for one in found.iter().take(QUARANTINED_MAX) {
            let supposed = if opened < OPENED_MAX { self.supposed(one) } else { Ok(None) };
            let supposed = match (supposed, one.header) {
                (Err(error), Some((_, record, _))) => {
                    self.leave_out(record, &error, &mut unread)?;
                    None
                }
                (supposed, _) => supposed.map_err(|error| self.met(&error))?,
            };
            opened += supposed.as_ref().map_or(0, |supposed| supposed.opened);
            if supposed.as_ref().is_some_and(|supposed| !sees(&row_of(&supposed.detail))) {
                continue;
            }
            entries.push(self.quarantined(one, supposed.as_ref()));
        }
        json(&shape::Quarantine { entries, more, unread: unread.shape() })
    }

    pub(super) fn quarantine_show(&mut self, text: &str) -> Result<Value, Failure> {
        self.quarantine_show_where(text, &|_| true)
    }

    /// The same, of a record that may be seen; of others there is none.
    pub(super) fn quarantine_show_where(
        &mut self,
        text: &str,
        sees: &dyn Fn(&Row) -> bool,
    ) -> Result<Value, Failure> {
        let one = self.quarantined_entry(text)?;
        let supposed = self.supposed(&one).map_err(|error| self.met(&error))?;
        if supposed.as_ref().is_some_and(|supposed| !sees(&row_of(&supposed.detail))) {
            return Err(Failure::not_found("quarantined entry", text));
        }
        let entry = self.quarantined(&one, supposed.as_ref());
        let Some(supposed) = supposed else {
            return json(&shape::QuarantinedInFull { entry, ..Default::default() });
        };
        let Supposed { detail, beside_others, .. } = &supposed;
        let now = self.replica.records(|reader| reader.show(detail.record));
        let now = now.map_err(|error| store_failure(&error))?;
        let view = view_of(detail, &one);
        let touched = view.map(|view| view.fields.clone()).unwrap_or_default();
        json(&shape::QuarantinedInFull {
            entry,
            would_be: view.map_or_else(String::new, verdict),
            beside_others: *beside_others,
            hidden: detail.state.hides(),
            label: detail.label.to_string(),
            label_now: now.as_ref().map(|now| now.label.to_string()),
            changes: differences(now.as_ref().map(|now| &now.fields), detail, &touched),
        })
    }

    /// The record of a quarantined entry as an adoption of the entry would make it. Where the entry
    /// builds on quarantined entries of other logs, as it would be if those counted, too.
    fn supposed(&mut self, one: &QuarantinedEntry) -> Result<Option<Supposed>, StoreError> {
        let Some((_, record, _)) = one.header else { return Ok(None) };
        let mut opened = 0;
        let ways = [AsIf::Upto(one.log, one.seq), AsIf::UptoBesideAll(one.log, one.seq)];
        for (way, beside_others) in ways.into_iter().zip([false, true]) {
            let detail = self.replica.records(|reader| reader.as_if(record, way))?;
            let Some(detail) = detail else { continue };
            opened += detail.entries.len();
            let waits = view_of(&detail, one).is_none_or(|view| view.verdict == Verdict::Waiting);
            if beside_others || !waits {
                return Ok(Some(Supposed { detail, beside_others, opened }));
            }
        }
        Ok(None)
    }

    fn quarantined(
        &self,
        one: &QuarantinedEntry,
        supposed: Option<&Supposed>,
    ) -> shape::Quarantined {
        let detail = supposed.map(|supposed| &supposed.detail);
        let row = detail.map(|detail| Row::describe(detail.kind, &detail.fields));
        let view = detail.and_then(|detail| view_of(detail, one));
        shape::Quarantined {
            entry: one.id.to_string(),
            device: self.device(&one.log.device),
            compartment: self.compartment_name(&one.log.compartment),
            class: one.log.class.name().into(),
            what: self.what_it_does(one),
            adopt: self.adopts(one).map(Into::into),
            record: one.header.map(|(_, record, _)| record.to_string()),
            kind: row.as_ref().map(|row| row.kind_name().to_owned()),
            title: row.map(|row| row.title),
            fields: view.map(|view| view.fields.clone()).unwrap_or_default(),
            at: one.header.map(|(_, _, wall)| wall.to_string()),
            why: one.cause.to_string(),
        }
    }

    fn what_it_does(&self, one: &QuarantinedEntry) -> String {
        if one.log.class == Class::Authority {
            let statements = self.statements(one.log.compartment);
            let said = statements.into_iter().find(|(_, id, _)| *id == one.id);
            return said.map_or_else(
                || "a statement".into(),
                |(_, _, said)| format!("a statement: {}", self.statement_text(said)),
            );
        }
        let Some((kind, ..)) = one.header else {
            return "sealed: this device has not its keys".into();
        };
        match kind {
            EntryKind::GENESIS => "a new record",
            EntryKind::CHANGE | EntryKind::REAUTHOR | EntryKind::BROUGHT => "a change",
            EntryKind::LABEL => "a label",
            EntryKind::REBASE => "a rebase",
            _ => "an entry",
        }
        .into()
    }

    /// The command by which this device lets an entry count.
    fn adopts(&self, one: &QuarantinedEntry) -> Option<&'static str> {
        let coalition = self.coalition().ok()?;
        let own = coalition.live(&self.replica.device()).filter(|own| own.desk)?.agency;
        let counts = |by| {
            let cause = self.replica.if_adopted(one, by);
            matches!(cause, Ok(None | Some(Cause::Standing | Cause::Readmitted(_))))
        };
        let is_founder = coalition.charter().founders.iter().any(|founder| founder.no == own);
        if self.agency_of(&one.log.device) == Some(own) && counts(Author::Desk(own)) {
            Some("grant adopt")
        } else if is_founder && counts(Author::Whole) {
            Some("coalition propose adopt")
        } else {
            None
        }
    }

    pub(super) fn adopt(&mut self, text: &str) -> Answer {
        let found = match self.quarantined_entry(text) {
            Err(failure) if failure.kind == Kind::NotFound => {
                let before = self.adopted_by(text)?.ok_or(failure)?;
                return self.said_already(before, "adopt".into());
            }
            found => found?,
        };
        let of = self.agency_of(&found.log.device);
        if of.is_none() || of != self.agency_of(&self.replica.device()) {
            return Err(Failure::denied("an agency adopts what its own devices wrote")
                .hint("the founders can: `tearline coalition propose adopt ENTRY`"));
        }
        self.would_count(&found, of.map_or(Author::Whole, Author::Desk))?;
        let held = self.replica.quarantined(usize::MAX);
        let (mut taken, _) = held.map_err(|error| store_failure(&error))?;
        taken.retain(|one| one.log == found.log && one.seq <= found.seq);
        let now = self.now();
        let done = self
            .replica
            .adopt(now, found.log.compartment, vec![mark(&found)])
            .map_err(act_failure)?;
        let device = found.log.device;
        let what = format!(
            "what {} wrote in its {} log in {} counts up to its entry {}",
            self.device(&device).name.unwrap_or_else(|| device.short()),
            found.log.class.name(),
            self.compartment_name(&found.log.compartment),
            found.seq
        );
        let entries = taken.iter().take(QUARANTINED_MAX).map(|one| one.id.to_string()).collect();
        let said = shape::Declared::alone(done.value.to_string(), what);
        Ok((json(&shape::Declared { entries, ..said })?, Some(done.ticket)))
    }

    /// Refuses an adoption that would change nothing: what says so stands above whoever adopts, or
    /// names another branch.
    pub(super) fn would_count(&self, found: &QuarantinedEntry, by: Author) -> Result<(), Failure> {
        let cause = self.replica.if_adopted(found, by).map_err(|error| store_failure(&error))?;
        let hint = match cause {
            // A standing may still be given, and what was adopted counts then.
            None | Some(Cause::Standing | Cause::Readmitted(_)) => return Ok(()),
            Some(Cause::Branch(_)) => {
                "one branch of a forked log counts at most: who named the other is ended first \
                 (docs/operating.md, \"Devices, and when one is lost\")"
            }
            Some(Cause::Fork) if found.log.class == Class::Authority => {
                "statements beyond a fork are said again, in another log"
            }
            Some(Cause::Fork) => {
                "it says nothing of which branch counts: adopt an entry beyond the fork"
            }
            Some(Cause::Closed(_)) => {
                "who stands higher can: `tearline root draft adopt ENTRY`, or the founders: \
                 `tearline coalition propose adopt ENTRY`"
            }
        };
        let why = cause.map(|cause| cause.to_string()).unwrap_or_default();
        let id = found.id.short();
        Err(Failure::denied(format!("{id} would not count if it were adopted: {why}")).hint(hint))
    }

    pub(super) fn quarantined_entry(&self, text: &str) -> Result<QuarantinedEntry, Failure> {
        let found = self.replica.quarantined(usize::MAX);
        let (found, _) = found.map_err(|error| store_failure(&error))?;
        let mut hits = found.into_iter().filter(|one| is_prefix(text, &one.id.to_string()));
        match (hits.next(), hits.next()) {
            (Some(hit), None) => Ok(hit),
            (None, _) => Err(Failure::not_found("quarantined entry", text)
                .hint("`tearline inbox` shows those there are; an entry of another branch of a forked log is \
                       adopted at a peer that holds it")),
            _ => Err(Failure::usage(format!("{text:?} fits several entries; write more digits"))),
        }
    }
}

pub(super) fn mark(found: &QuarantinedEntry) -> Mark {
    Mark { log: found.log.digest(), count: found.seq.saturating_add(1), head: found.id }
}

fn view_of<'d>(detail: &'d Detail, one: &QuarantinedEntry) -> Option<&'d EntryView> {
    detail.entries.iter().find(|view| view.id == one.id)
}

/// The fields that an entry touches, and all others that would not be as they are now.
fn differences(
    now: Option<&Map<String, Value>>,
    then: &Detail,
    touched: &[String],
) -> Vec<shape::Supposed> {
    let before = |name: &String| now.and_then(|now| now.get(name));
    let names: BTreeSet<&String> = now.into_iter().flat_map(Map::keys).collect();
    let names: BTreeSet<&String> = names.into_iter().chain(then.fields.keys()).collect();
    let all = names.into_iter().map(|name| shape::Supposed {
        field: name.clone(),
        now: before(name).cloned(),
        then: then.fields.get(name).cloned(),
        concurrent: then
            .conflicts
            .get(name)
            .map_or_else(Vec::new, |values| values.iter().map(|one| one.value.clone()).collect()),
        by_it: touched.contains(name),
    });
    all.filter(|one| one.by_it || one.now != one.then).collect()
}
