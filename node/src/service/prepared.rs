//! Releases that wait for a second signature. They are this peer's own: what one operator prepared, another
//! looks at and signs, bound by its stamp to what both have seen.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use tearline_crdt::store::{Batch, Space, Store as _};

use super::core::Core;
use super::explain::hex;
use super::overview::store_failure;
use super::sight::Viewer;
use super::{SystemEntropy, Tearline, json};
use crate::control::trust::{RecordRelease, Released};
use crate::failure::{Failure, Kind};
use tearline_crdt::entropy::Entropy as _;

/// A release that somebody prepared.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Prepared {
    /// What it is called here.
    pub(crate) id: String,
    /// What is released, with the stamp of what was looked at.
    pub(crate) release: RecordRelease,
    /// Who prepared it.
    pub(crate) by: String,
    /// When, in ms.
    pub(crate) at_ms: u64,
    /// What for.
    pub(crate) reason: String,
}

/// Most of them.
const PREPARED_MAX: usize = 200;
/// Longest reason, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 500;
const PREFIX: &[u8] = b"desk/release/";
const ID_BYTES: usize = 8;

/// A release that waits, and what it would be now.
pub(crate) type WouldBe = (Prepared, Result<Released, Failure>);

impl Tearline {
    /// Writes down a release that waits for another's signature.
    pub(crate) fn prepare_release(
        &self,
        viewer: Viewer,
        release: RecordRelease,
        by: String,
        reason: String,
    ) -> Result<(), Failure> {
        if !(1..=REASON_BYTES_MAX).contains(&reason.len()) {
            return Err(Failure::usage(format!(
                "say what it is released for, in at most {REASON_BYTES_MAX} bytes"
            )));
        }
        self.answer(move |core| {
            core.stands()?;
            let record = core.seen_by(viewer, &release.record)?;
            let waiting = core.prepared()?;
            if waiting.len() >= PREPARED_MAX {
                return Err(Failure::failed(format!(
                    "{PREPARED_MAX} releases wait for a signature, which is the most"
                )));
            }
            let release = RecordRelease { record, dry_run: true, ..release };
            if waiting.iter().any(|one| one.release == release) {
                return Err(Failure::failed("that release waits for a signature already"));
            }
            let (would_be, _) = core.record_release(release.clone())?;
            let would_be: Released = super::desk::typed(would_be)?;
            if !(would_be.leaks.is_empty() || release.despite_leaks) {
                return Err(Failure::new(
                    Kind::Waits,
                    "it tells more than was picked, and nobody could sign it so",
                )
                .hint("leave the field out, make it coarser, or confirm it all the same"));
            }
            let mut id = [0; ID_BYTES];
            SystemEntropy.fill(&mut id);
            let at_ms = core.now().wall.0;
            let prepared = Prepared { id: hex(&id), release, by, at_ms, reason };
            let mut batch = Batch::default();
            let bytes = json(&prepared)?.to_string().into_bytes();
            batch.put(Space::Meta, key(&prepared.id), bytes);
            let ticket = core.replica.put(batch).map_err(|error| store_failure(&error))?;
            Ok((serde_json::Value::Null, Some(ticket)))
        })
        .map(drop)
    }

    /// The releases that wait, of records that the operator may see, each as it would be now; or why it would
    /// not be.
    pub(crate) fn prepared_for(&self, viewer: Viewer) -> Result<Vec<WouldBe>, Failure> {
        self.core.ask(move |core| {
            let mut seen = Vec::new();
            for prepared in core.prepared()? {
                if core.seen_by(viewer, &prepared.release.record).is_err() {
                    continue;
                }
                let would_be = core.record_release(prepared.release.clone());
                let would_be = would_be.and_then(|(value, _)| super::desk::typed(value));
                seen.push((prepared, would_be));
            }
            Ok(seen)
        })
    }

    /// The record of a release that waits, if the operator may see it.
    pub(crate) fn prepared_record(&self, viewer: Viewer, id: String) -> Result<String, Failure> {
        self.core.ask(move |core| {
            let prepared = core.prepared()?.into_iter().find(|one| one.id == id);
            let record = prepared.map(|one| one.release.record).ok_or_else(none_waits)?;
            core.seen_by(viewer, &record).map_err(|_| none_waits())?;
            Ok(record)
        })
    }

    /// Signs a release that another prepared, or puts it away: then nothing is released.
    pub(crate) fn decide_release(
        &self,
        viewer: Viewer,
        id: String,
        signer: String,
        signs: bool,
    ) -> Result<Option<Released>, Failure> {
        let value = self.answer(move |core| {
            core.stands()?;
            let prepared = core.prepared()?.into_iter().find(|one| one.id == id);
            let prepared = prepared.ok_or_else(none_waits)?;
            core.seen_by(viewer, &prepared.release.record).map_err(|_| none_waits())?;
            if signs && prepared.by == signer {
                return Err(Failure::denied("another operator signs what you prepared"));
            }
            let mut answer = (serde_json::Value::Null, None);
            if signs {
                answer =
                    core.record_release(RecordRelease { dry_run: false, ..prepared.release })?;
            }
            let mut batch = Batch::default();
            batch.remove(Space::Meta, key(&id));
            let ticket = core.replica.put(batch).map_err(|error| store_failure(&error))?;
            Ok((answer.0, Some(ticket)))
        })?;
        if value.is_null() { Ok(None) } else { super::desk::typed(value).map(Some) }
    }
}

fn none_waits() -> Failure {
    Failure::new(Kind::NotFound, "no such release waits")
}

impl Core {
    fn prepared(&self) -> Result<Vec<Prepared>, Failure> {
        let mut found = Vec::new();
        let scanned = self.replica.store().scan(Space::Meta, PREFIX, &[], &mut |_, bytes| {
            found.extend(serde_json::from_slice::<Prepared>(bytes).ok());
            ControlFlow::Continue(())
        });
        scanned.map_err(|error| store_failure(&error))?;
        found.sort_by_key(|one| one.at_ms);
        Ok(found)
    }
}

fn key(id: &str) -> Vec<u8> {
    [PREFIX, id.as_bytes()].concat()
}
