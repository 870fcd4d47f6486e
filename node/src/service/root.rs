//! What an agency's root does without the others: drawn up here, signed where the root is, written down
//! here. And what a device said that ends with its standing.

use std::collections::BTreeMap;

use serde_json::Value;

use tearline_crdt::authority::StatementVerdict;
use tearline_crdt::id::{CompartmentId, DeviceId, EntryId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::statement::{Act, Audience, DeskCertificate, RootAct, Statement};
use tearline_mesh::replica::ActError;

use super::core::Core;
use super::overview::store_failure;
use super::records::act_failure;
use super::trust::not_by_root;
use super::{Answer, json};
use crate::control::trust as shape;
use crate::failure::{Failure, Kind};
use crate::offline::{RootRequest, RootWord};

impl Core {
    pub(super) fn root_draft(&mut self, act: &shape::Proposed) -> Result<Value, Failure> {
        let coalition = self.coalition()?.id();
        let root = self.root_for(act)?;
        let all = matches!(act, shape::Proposed::Revoke { since: None, .. });
        let (act, marks) = self.act_of(act)?;
        let void = match &act {
            Act::Revoke { device, .. } if !all => self.void_of(device, None)?,
            Act::Revoke { .. } | Act::Adopt { .. } => Vec::new(),
            _ => return Err(not_by_root()),
        };
        let what = self.act_text(&act);
        let request = RootRequest::Act { coalition, root, act, marks }.to_text();
        json(&shape::RootDraft { request, what, void })
    }

    /// The root that alone has a say in this: that of the agency whose device it is about.
    fn root_for(&self, act: &shape::Proposed) -> Result<RootKey, Failure> {
        let device = match act {
            shape::Proposed::Revoke { device, .. } => self.named_device(device)?,
            shape::Proposed::Adopt { entry } => self.quarantined_entry(entry)?.log.device,
            _ => return Err(not_by_root()),
        };
        let agency = self.agency_of(&device);
        let member = self.coalition()?.members().find(|member| Some(member.no) == agency);
        member.map(|member| member.root).ok_or_else(|| {
            let what = format!("device {} is of no agency of the coalition", device.short());
            Failure::denied(what).hint("the founders can: `tearline coalition propose`")
        })
    }

    pub(super) fn root_apply(&mut self, text: &str) -> Answer {
        let coalition = self.coalition()?.id();
        let now = self.now();
        let area = CompartmentId(coalition.0);
        let already;
        let (statement, what, rotated) = match word(text)? {
            RootWord::Act { coalition: of, act, marks } => {
                if of != coalition {
                    return Err(Failure::denied("the root signed this for another coalition"));
                }
                if !act.holds(&coalition) {
                    return Err(Failure::new(
                        Kind::Integrity,
                        "the root's signature does not hold",
                    ));
                }
                self.check_root(&act)?;
                let (id, what) = (act.id(&coalition), self.act_text(&act.act));
                let known = self.counted(area, |held| {
                    matches!(held, Statement::RootAct(held)
                        if held.root == act.root && held.id(&coalition) == id)
                })?;
                already = known.is_some();
                let rotated = if already {
                    Vec::new()
                } else {
                    let exposed: Vec<CompartmentId> = match &act.act {
                        Act::Revoke { device, .. } => {
                            self.replica.sealed_to(device).into_keys().collect()
                        }
                        _ => Vec::new(),
                    };
                    self.replica.root_act(now, coalition, act, marks).map_err(root_failure)?;
                    let rotated = self.replica.rotate_all(now, &exposed);
                    rotated.map_err(|error| store_failure(&error))?
                };
                (id.to_string(), what, rotated)
            }
            RootWord::Desk { certificate, kem, .. } => {
                let device = certificate.desk.device;
                if !certificate.holds() {
                    return Err(Failure::new(
                        Kind::Integrity,
                        "the root's signature does not hold",
                    ));
                }
                let known = self.counted(
                    area,
                    |held| matches!(held, Statement::Desk(held) if *held == certificate),
                )?;
                already = known.is_some();
                let statement = match known {
                    Some(id) => id,
                    None => {
                        let done = self.replica.certify(now, coalition, certificate, &kem);
                        done.map_err(root_failure)?.value
                    }
                };
                (statement.to_string(), format!("desk {}", device.short()), Vec::new())
            }
        };
        let rotated = rotated.iter().map(|(id, _)| self.compartment_name(id)).collect();
        let value = json(&shape::RootApplied { statement, what, rotated, already })?;
        Ok((value, Some(self.replica.settled())))
    }

    /// Whether a root is that of a member, and of that of the device which it revokes. An act has one
    /// name whoever signed it: one by another root would pass for the right one that is here.
    fn check_root(&self, act: &RootAct) -> Result<(), Failure> {
        let coalition = self.coalition()?;
        let whose = coalition.members().find(|member| member.root == act.root);
        let whose = whose.ok_or_else(|| {
            Failure::denied("the root that signed this is of no agency of the coalition")
                .hint("`coalition show --json` shows the roots")
        })?;
        let Act::Revoke { device, .. } = &act.act else { return Ok(()) };
        match self.agency_of(device) {
            Some(agency) if agency != whose.no => Err(Failure::denied(format!(
                "the root of {} signed this, and the device is of {}",
                whose.name,
                self.agency_ref(Some(agency)).name
            ))),
            _ => Ok(()),
        }
    }

    /// Such a statement that is here and counts.
    fn counted(
        &self,
        area: CompartmentId,
        is: impl Fn(&Statement) -> bool,
    ) -> Result<Option<EntryId>, Failure> {
        for (_, id, statement) in self.statements(area) {
            if is(statement) && self.verdict(&area, &id)? == StatementVerdict::Counts {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The statements of a device that count, and will not once its standing has ended, with how each is
    /// said again; in one compartment or everywhere. What takes away counts all the same.
    pub(super) fn void_of(
        &self,
        device: &DeviceId,
        only: Option<CompartmentId>,
    ) -> Result<Vec<shape::Void>, Failure> {
        let own = self.replica.device();
        let mut void: BTreeMap<(String, String), shape::Void> = BTreeMap::new();
        for area in self.replica.areas().keys() {
            let seen = self.replica.right(*area, &own).is_some();
            if !seen || only.is_some_and(|only| only != *area) {
                continue;
            }
            let compartment = match self.replica.compartment(*area) {
                Some(_) => self.compartment_name(area),
                None => String::new(),
            };
            for (log, id, statement) in self.statements(*area) {
                if log.device != *device || statement.is_narrowing() {
                    continue;
                }
                let Some(again) = self.again(statement, &compartment) else { continue };
                if self.verdict(area, &id)? != StatementVerdict::Counts {
                    continue;
                }
                let what = self.statement_text(statement);
                let one = void.entry((compartment.clone(), what.clone())).or_default();
                let times = one.times + 1;
                let (statement, compartment) = (id.to_string(), compartment.clone());
                *one = shape::Void { statement, compartment, what, times, again };
            }
        }
        Ok(void.into_values().collect())
    }

    /// How a statement is said again by another device; `None` if it proves itself and stays.
    fn again(&self, statement: &Statement, compartment: &str) -> Option<String> {
        let place = if compartment.is_empty() {
            String::new()
        } else {
            format!(" --compartment {compartment:?}")
        };
        Some(match statement {
            Statement::Grant { audience, right, .. } => {
                let whom = match audience {
                    Audience::Device { .. } => "--device",
                    Audience::Agency(_) => "--agency",
                };
                let name = self.audience_text(audience);
                format!("grant issue {whom} {name:?} --right {}{place}", right.name())
            }
            Statement::Propose { act, .. } => format!("coalition propose: {}", self.act_text(act)),
            Statement::Adopt { .. } => "grant adopt ENTRY, for what is quarantined again".into(),
            Statement::Lift { lifted } => format!("record lift {}", lifted.short()),
            Statement::Epoch(_) => format!("compartment rotate {compartment:?}, or the next write"),
            Statement::Seal { .. } => "by itself: those who hold the keys seal them again".into(),
            Statement::Describe { .. } => "nothing: the name stays where it was read".into(),
            _ => return None,
        })
    }
}

/// The certificate by which this device comes in as a desk.
pub(super) fn certificate(
    text: &str,
    own: &DeviceId,
) -> Result<(DeskCertificate, String, String), Failure> {
    let RootWord::Desk { name, country, certificate, .. } = word(text)? else {
        return Err(Failure::usage("this is an act of a root, and no desk's certificate")
            .hint("write it down at a peer: `tearline root apply FILE`"));
    };
    if certificate.desk.device != *own {
        return Err(Failure::denied(format!(
            "the certificate is for device {}, not for this one",
            certificate.desk.device.short()
        )));
    }
    if !certificate.holds() {
        return Err(Failure::new(Kind::Integrity, "the root's signature does not hold"));
    }
    Ok((certificate, name, country))
}

fn word(text: &str) -> Result<RootWord, Failure> {
    RootWord::from_text(text).map_err(|error| {
        Failure::new(Kind::Integrity, format!("this is not what a root signed: {error}"))
            .hint("`tearline root sign` makes it")
    })
}

/// An act that would not count is one by a root that may not do it.
fn root_failure(error: ActError) -> Failure {
    let would_not = matches!(error, ActError::WouldNotCount(_));
    let failure = act_failure(error);
    if would_not {
        failure.hint(
            "a root acts for devices of its own agency, while it is the agency's: `coalition show`",
        )
    } else {
        failure
    }
}
