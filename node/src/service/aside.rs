//! Interest: what the operator wants whole of a peer, and what stays with peers because of it.

use std::collections::BTreeMap;

use serde_json::Value;

use tearline_crdt::id::{CompartmentId, DeviceId, RecordId};
use tearline_crdt::record::shelf;
use tearline_mesh::interest::{Interest, InterestError};

use super::core::Core;
use super::find::limit;
use super::overview::store_failure;
use super::{Answer, json};
use crate::control::aside::{self as shape, PeerInterest};
use crate::failure::{Failure, Kind};

/// Several interests as one; `None` for everything.
pub(super) fn read(texts: &[String]) -> Result<Option<Interest>, Failure> {
    let parse = |text: &String| {
        text.parse().map_err(|error: InterestError| Failure::usage(error.to_string()))
    };
    let interests = texts.iter().map(parse).collect::<Result<Vec<Interest>, Failure>>()?;
    if interests.is_empty() {
        return Ok(None);
    }
    let any = Interest::any_of(interests);
    any.map(Some).ok_or_else(|| {
        let most = tearline_mesh::interest::CLAUSES_MAX;
        Failure::usage(format!("an interest has up to {most} parts that are wanted"))
    })
}

impl Core {
    /// What is wanted of a peer, after a change of it if one is asked for.
    pub(super) fn peer_interest(&mut self, ask: &PeerInterest) -> Answer {
        let wants = ask.wants.as_deref().map(read).transpose()?;
        let device = self.peer_or_member(&ask.peer)?;
        let mut ticket = None;
        if let Some(interest) = wants {
            let set = self.replica.set_interest(device, interest);
            ticket = Some(set.map_err(|error| store_failure(&error))?);
            self.carry_out();
        }
        Ok((json(&self.interest(&device))?, ticket))
    }

    fn interest(&self, device: &DeviceId) -> shape::Interest {
        shape::Interest {
            device: device.to_string(),
            name: self.name_of(device),
            wants: self.replica.interest(device).map(ToString::to_string),
            wanted: self.replica.interest_of(device).map(ToString::to_string),
            relay: self.is_relay(device),
            left_aside: self.asides().get(device).copied().unwrap_or_default(),
        }
    }

    /// How many entries that this device may read stay with each peer.
    pub(super) fn asides(&self) -> BTreeMap<DeviceId, u64> {
        self.replica.left_aside(&|id| self.may_see(id))
    }

    /// How many there are of all peers.
    pub(super) fn entries_aside(&self) -> u64 {
        self.asides().values().sum()
    }

    /// What is not here yet of a record, if this device may read it; `None` if nothing is missing.
    pub(super) fn aside_of(&mut self, record: RecordId) -> Result<Option<shape::Aside>, Failure> {
        let aside = self.replica.records(|reader| reader.aside(record));
        let aside = aside.map_err(|error| self.met(&error))?;
        Ok(aside.filter(|aside| self.may_see(&aside.compartment)).map(|one| self.aside(&one)))
    }

    fn aside(&self, aside: &shelf::Aside) -> shape::Aside {
        let with: Vec<shape::With> = aside
            .with
            .iter()
            .map(|(device, entries)| shape::With {
                device: device.to_string(),
                name: self.name_of(device),
                entries: *entries,
            })
            .collect();
        shape::Aside {
            record: aside.record.to_string(),
            compartment: aside.compartment.to_string(),
            compartment_name: self.compartment_name(&aside.compartment),
            entries: aside.with.values().sum(),
            with,
        }
    }

    /// The records of which something is not here yet.
    pub(super) fn record_asides(&mut self, most: Option<u32>) -> Result<Value, Failure> {
        let most = limit(most)?;
        let own = self.replica.device();
        let ids: Vec<CompartmentId> = self.replica.areas().keys().copied().collect();
        let seen: Vec<CompartmentId> =
            ids.into_iter().filter(|id| self.replica.right(*id, &own).is_some()).collect();
        let may = |id: &CompartmentId| seen.binary_search(id).is_ok();
        let all = self.replica.records(|reader| reader.all_aside(most, &may));
        let all = all.map_err(|error| self.met(&error))?;
        let records = all.iter().map(|aside| self.aside(aside)).collect();
        json(&shape::Asides { records, entries: self.entries_aside() })
    }

    /// Asks all linked peers for what is not here yet of a record, and says what that is.
    pub(super) fn fetch_record(&mut self, text: &str) -> Result<Value, Failure> {
        let record = self.find_record(text)?;
        let Some(aside) = self.aside_of(record)? else {
            // Whole, or the one answer for what is not here.
            let detail = self.visible(record)?;
            let compartment_name = self.compartment_name(&detail.compartment);
            return json(&shape::Aside {
                record: record.to_string(),
                compartment: detail.compartment.to_string(),
                compartment_name,
                ..shape::Aside::default()
            });
        };
        self.check_room()?;
        let now = self.now();
        let fetched = self.replica.fetch_record(now, record);
        fetched.map_err(|error| store_failure(&error))?;
        self.carry_out();
        json(&aside)
    }

    /// The answer of who asks for a record that cannot be shown: what it lacks, if that is why.
    pub(super) fn not_here(&mut self, record: RecordId, failure: Failure) -> Failure {
        if failure.kind != Kind::NotFound {
            return failure;
        }
        match self.aside_of(record) {
            Ok(Some(aside)) => Failure::new(
                Kind::Incomplete,
                format!("the record is not here yet: {}", stays(&aside)),
            )
            .hint(format!("fetch it: tearline record fetch {}", aside.record)),
            Ok(None) => failure,
            Err(failure) => failure,
        }
    }
}

/// How many entries of a record stay with whom.
fn stays(aside: &shape::Aside) -> String {
    let of = |with: &shape::With| {
        let name = with.name.clone().unwrap_or_else(|| with.device.chars().take(8).collect());
        let entries = if with.entries == 1 { "entry stays" } else { "entries stay" };
        format!("{} {entries} with {name}", with.entries)
    };
    aside.with.iter().map(of).collect::<Vec<_>>().join(", ")
}
