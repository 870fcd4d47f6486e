//! Operators and the audit log in the daemon: what the command line asks of both, and what is written down of
//! what it asks of records.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use tearline_crdt::record::vocabulary::{Tlp, parse_word};

use super::json;
use crate::audit::{Audit, CONSOLE, Entry, Event, Note, Outcome};
use crate::control::desk::{AuditPage, AuditRead, AuditShow, OperatorCode, Operators as Listed};
use crate::control::{PAGE_ROWS_DEFAULT, Request};
use crate::daemon::Opening;
use crate::failure::{Failure, Kind};
use crate::operators::{Operators, Role};

/// The books that a peer keeps of its people.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    /// Who works here.
    pub(crate) operators: Arc<Operators>,
    /// What they did.
    pub(crate) audit: Arc<Audit>,
}

impl Books {
    pub(super) fn open(opening: &Opening) -> Result<Self, Failure> {
        let seed = &opening.identity.device_seed;
        Ok(Self {
            operators: Arc::new(Operators::open(&opening.home, seed)?),
            audit: Arc::new(Audit::open(&opening.home, seed)?),
        })
    }

    /// Answers what is asked about the books; `None` for what is about something else.
    pub(super) fn call(&self, request: &Request) -> Option<Result<Value, Failure>> {
        let now = now_ms();
        Some(match request {
            Request::OperatorAdd(add) => role(&add.role)
                .and_then(|role| {
                    let label_max = add.label_max.as_deref().map_or(Ok(Tlp::Red), colour)?;
                    self.operators.add(&add.name, role, label_max, now)
                })
                .and_then(|(operator, code)| {
                    let ended_first = self.operators.end_first(now);
                    json(&OperatorCode { ended_first, ..code_of(operator, &code) })
                }),
            Request::OperatorList(_) => json(&Listed { operators: self.operators.list(now) }),
            Request::OperatorRole(change) => {
                let wanted = change.role.as_deref().map(role).transpose();
                let label_max = change.label_max.as_deref().map(colour).transpose();
                wanted
                    .and_then(|role| Ok((role, label_max?)))
                    .and_then(|(role, label)| {
                        self.operators.set_role(&change.name, role, label, now)
                    })
                    .and_then(|operator| json(&operator))
            }
            Request::OperatorReset(named) => self
                .operators
                .reset(&named.name, now)
                .and_then(|(operator, code)| json(&code_of(operator, &code))),
            Request::OperatorRemove(named) => {
                self.operators.remove(&named.name, now).and_then(|operator| json(&operator))
            }
            Request::AuditShow(show) => self.show(show),
            Request::AuditRead(AuditRead { from }) => self.read(*from),
            Request::AuditVerify(_) => self.audit.verify().and_then(|verified| json(&verified)),
            _ => return None,
        })
    }

    fn show(&self, show: &AuditShow) -> Result<Value, Failure> {
        let event = show.event.as_deref().map(event).transpose()?;
        let wanted = |entry: &Entry| {
            event.is_none_or(|event| entry.event == event)
                && show.operator.as_ref().is_none_or(|operator| entry.operator == *operator)
                && show.record.as_ref().is_none_or(|record| entry.records.contains(record))
        };
        let limit = show.limit.unwrap_or(PAGE_ROWS_DEFAULT);
        let (entries, next) = self.audit.page(show.before, limit, &wanted)?;
        json(&AuditPage { entries, next })
    }

    fn read(&self, from: u64) -> Result<Value, Failure> {
        let entries = self.audit.read(from, crate::audit::PAGE_ENTRIES_MAX)?;
        let full = entries.len() >= crate::audit::PAGE_ENTRIES_MAX as usize;
        let next = entries.last().filter(|_| full).map(|link| link.entry.seq + 1);
        json(&AuditPage { entries, next })
    }

    /// Writes down what the command line asks, before it is answered. What only says how the peer is, is not
    /// written down. Whoever is at the command line owns the home: when the disk is full he is answered all
    /// the same, so that he can mend it, and the daemon's log says so.
    pub(super) fn note_console(&self, request: &Request) {
        let Some((event, records)) = event_of(request) else { return };
        let noted = self.audit.append(Note {
            event,
            operator: CONSOLE.into(),
            role: String::new(),
            purpose: String::new(),
            act: request.verb().into(),
            records,
            detail: String::new(),
            outcome: Outcome::Asked,
        });
        if let Err(error) = noted {
            tracing::error!(%error, verb = request.verb(), "not in the audit log");
        }
    }
}

/// What a request is in the audit log, and about which record.
pub(crate) fn event_of(request: &Request) -> Option<(Event, Vec<String>)> {
    use Request as R;
    let one = |record: &String| vec![record.clone()];
    Some(match request {
        R::RecordNew(_) | R::Import(_) | R::BundleImport(_) => (Event::Collection, Vec::new()),
        R::RecordEdit(edit) => (Event::Change, one(&edit.record)),
        R::RecordResolve(resolve) => (Event::Combination, one(&resolve.record)),
        R::RecordShow(show) | R::RecordReceipts(show) => (Event::Consultation, one(&show.record)),
        R::RecordHistory(show) => (Event::Consultation, one(&show.record)),
        R::Why(why) => (Event::Consultation, one(&why.record)),
        R::RecordList(_) | R::Search(_) | R::QuarantineShow(_) => (Event::Consultation, Vec::new()),
        R::RecordRelease(release) => (Event::Disclosure, one(&release.record)),
        R::Export(_) | R::Outgoing(_) | R::BundleExport(_) | R::FieldPack(_) => {
            (Event::Disclosure, Vec::new())
        }
        R::RecordSay(say) => (Event::Erasure, one(&say.record)),
        R::RecordLift(named) => (Event::Erasure, vec![named.id.clone()]),
        R::OperatorAdd(_)
        | R::OperatorRole(_)
        | R::OperatorReset(_)
        | R::OperatorRemove(_)
        | R::AuditShow(_)
        | R::AuditRead(_)
        | R::AuditVerify(_)
        | R::CoalitionCreate(_)
        | R::CoalitionPropose(_)
        | R::CoalitionApprove(_)
        | R::GrantIssue(_)
        | R::GrantRevoke(_)
        | R::GrantAdopt(_)
        | R::RootApply(_)
        | R::DeviceLost(_)
        | R::CompartmentOpen(_)
        | R::CompartmentRotate(_)
        | R::PeerInvite(_)
        | R::Join(_)
        | R::PassMint(_)
        | R::PassRevoke(_) => (Event::Administration, Vec::new()),
        _ => return None,
    })
}

fn code_of(operator: crate::operators::Operator, code: &str) -> OperatorCode {
    OperatorCode { operator, code: code.to_owned(), ended_first: false }
}

pub(crate) fn role(text: &str) -> Result<Role, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{text:?}: {error}")))
}

pub(crate) fn colour(text: &str) -> Result<Tlp, Failure> {
    let word = text.strip_prefix("TLP:").unwrap_or(text);
    parse_word(word).map_err(|error| Failure::usage(format!("{text:?}: {error}")))
}

fn event(text: &str) -> Result<Event, Failure> {
    let names = Event::ALL.map(Event::name).join(", ");
    let found = Event::ALL.into_iter().find(|event| event.name() == text);
    found.ok_or_else(|| Failure::new(Kind::Usage, format!("{text:?} is no event; one of: {names}")))
}

/// Now, in ms of the wall clock.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    u64::try_from(now).unwrap_or(u64::MAX)
}
