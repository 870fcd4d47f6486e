//! What an agency's root does without the others: drawn up here, signed where the root is, written down
//! here. And what a device said that ends with its standing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use tearline_crdt::authority::{Author, Closure, StatementVerdict};
use tearline_crdt::bounds::CITES_MAX;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, EntryId, StatementId};
use tearline_crdt::keys::RootKey;
use tearline_crdt::statement::{Act, Audience, DeskCertificate, Mark, RootAct, Statement};
use tearline_mesh::replica::ActError;

use super::core::Core;
use super::grants::{ANOTHER_LIFE, options};
use super::overview::store_failure;
use super::records::act_failure;
use super::trust::not_by_root;
use super::{Answer, json};
use crate::control::trust as shape;
use crate::failure::{Failure, Kind};
use crate::home::quoted;
use crate::offline::{RootRequest, RootWord};

impl Core {
    pub(super) fn root_draft(&mut self, act: &shape::Proposed) -> Result<Value, Failure> {
        let coalition = self.coalition()?.id();
        let root = self.root_for(act)?;
        let all = matches!(act, shape::Proposed::Revoke { since: None, .. });
        let (act, marks) = self.act_of(act)?;
        let void = match &act {
            Act::Revoke { device, .. } if !all => {
                let keep = act.marks().map(|keep| keep.resolve(marks.as_deref()));
                self.void_of(device, None, &keep.unwrap_or_default())?
            }
            Act::Revoke { .. } | Act::Adopt { .. } => Vec::new(),
            _ => return Err(not_by_root()),
        };
        let what = self.act_text(&act);
        let kept = act.marks().map(|keep| keep.resolve(marks.as_deref())).unwrap_or_default();
        let unnamed = self.unnamed(&act, &kept) as u64;
        let request = RootRequest::Act { coalition, root, act, marks }.to_text();
        json(&shape::RootDraft { request, what, unnamed, void })
    }

    /// What ended the standing of this device, which has begun a new life since.
    pub(super) fn root_reopening(&self) -> Result<Value, Failure> {
        let coalition = self.coalition()?;
        let log = self.replica.own_log(coalition.compartment(), Class::Authority);
        let (own, life) = (log.device, log.incarnation);
        let cites: Vec<StatementId> = coalition.active_in(&own, life).map(|one| one.id).collect();
        if cites.is_empty() {
            let what = "this device has not heard that its standing has ended";
            return Err(Failure::denied(what)
                .hint("it hears so from the next peer of the coalition that it meets"));
        }
        if cites.len() > CITES_MAX {
            let what =
                format!("{} statements ended it, and a certificate lifts {CITES_MAX}", cites.len());
            return Err(Failure::failed(what)
                .hint("the agency goes on with a desk on another device: `tearline root draft desk` there"));
        }
        let closures: Vec<&Closure> = coalition.closures_of(&own).collect();
        if self.was_there(&own, life, &closures) {
            let what = "this is a life that the device had when its standing ended";
            return Err(Failure::denied(what).hint(ANOTHER_LIFE));
        }
        let cites: BTreeSet<StatementId> = cites.into_iter().collect();
        let cites = cites.iter().map(ToString::to_string).collect();
        json(&shape::RootReopening { incarnation: format!("{:016x}", life.0), cites })
    }

    /// The root that alone has a say in this: that of the agency whose device it is about. Of several that
    /// stand the smallest; each may act.
    fn root_for(&self, act: &shape::Proposed) -> Result<RootKey, Failure> {
        let device = match act {
            shape::Proposed::Revoke { device, .. } => self.named_device(device)?,
            shape::Proposed::Adopt { entry } => self.quarantined_entry(entry)?.log.device,
            _ => return Err(not_by_root()),
        };
        let agency = self.agency_of(&device);
        let founders = "the founders can: `tearline coalition propose`";
        let seat = agency.and_then(|no| self.coalition().ok()?.seats().get(&no));
        let seat = seat.ok_or_else(|| {
            let what = format!("device {} is of no agency of the coalition", device.short());
            Failure::denied(what).hint(founders)
        })?;
        seat.standing().next().copied().ok_or_else(|| {
            let what = format!("the root of {} was replaced, and none was given", seat.member.name);
            Failure::denied(what).hint(founders)
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
                        self.check_reopening(&certificate)?;
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
        let of = coalition.seats().values().find(|seat| seat.roots.contains(&act.root));
        let seat = of.ok_or_else(|| {
            Failure::denied("the root that signed this is of no agency of the coalition")
                .hint("`coalition show --json` shows the roots")
        })?;
        let whose = &seat.member;
        if !seat.is_standing(&act.root) {
            let name = &whose.name;
            return Err(Failure::denied(format!(
                "the root of {name} that signed this was replaced"
            ))
            .hint("sign it with the new one: `coalition show --json` shows it"));
        }
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

    /// Whether a certificate lifts what it cites: what an act of the whole ended, the founders let in again.
    fn check_reopening(&self, certificate: &DeskCertificate) -> Result<(), Failure> {
        let Some(reopening) = &certificate.reopening else { return Ok(()) };
        let coalition = self.coalition()?;
        let device = &certificate.desk.device;
        let Some(agency) = self.agency_of(device) else { return Ok(()) };
        let cited = coalition.closures_of(device).filter(|one| reopening.cites.contains(&one.id));
        let mut above = cited.filter(|one| !coalition.may_lift(Author::Root(agency), one));
        above.next().map_or(Ok(()), |closure| Err(self.not_lifted(closure)))
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
    /// said again; in one compartment or everywhere. What takes away counts all the same, and so does what is
    /// kept.
    pub(super) fn void_of(
        &self,
        device: &DeviceId,
        only: Option<CompartmentId>,
        keep: &[Mark],
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
            for (place, statement) in self.places(*area) {
                let keeps = |mark: &Mark| place.seq < mark.count && mark.log == place.log.digest();
                let stays = self.stays(statement) || keep.iter().any(keeps);
                if place.log.device != *device || stays {
                    continue;
                }
                let Some(again) = self.again(statement, &compartment) else { continue };
                if self.verdict(area, &place.id)? != StatementVerdict::Counts {
                    continue;
                }
                let what = self.statement_text(statement);
                let one = void.entry((compartment.clone(), what.clone())).or_default();
                let times = one.times + 1;
                let (statement, compartment) = (place.id.to_string(), compartment.clone());
                *one = shape::Void { statement, compartment, what, times, again };
            }
        }
        Ok(void.into_values().collect())
    }

    /// Whether a statement does what it does wherever it is. Of an act that replaces roots the new one is
    /// given by approvals that count alone.
    fn stays(&self, statement: &Statement) -> bool {
        let stays = |act: &Act| act.is_narrowing() && !matches!(act, Act::ReplaceRoot { .. });
        match statement {
            Statement::Propose { act, .. } => stays(act),
            Statement::Approve { act } => {
                let known = self.coalition().ok().map(|coalition| coalition.proposals());
                known.and_then(|known| known.get(act).map(|one| stays(&one.act))).unwrap_or(true)
            }
            _ => statement.is_narrowing(),
        }
    }

    /// How a statement is said again by another device; `None` if it proves itself and stays.
    fn again(&self, statement: &Statement, compartment: &str) -> Option<String> {
        let compartment = quoted(compartment);
        Some(match statement {
            Statement::Grant { audience, right, caveats, reopening } => {
                let whom = match audience {
                    Audience::Device { .. } => "--device",
                    Audience::Agency(_) => "--agency",
                };
                let name = quoted(&self.audience_text(audience));
                let mut again = format!("grant issue {whom} {name} --right {}", right.name());
                again += &options(caveats);
                if let Some(reopening) = reopening {
                    again += &format!(" --readmit --incarnation {:016x}", reopening.incarnation.0);
                }
                if compartment != quoted("") {
                    again += &format!(" --compartment {compartment}");
                }
                again
            }
            Statement::Propose { act, number } => {
                let id = self.coalition().ok()?.id();
                format!("coalition approve {}", act.id(&id, *number).short())
            }
            Statement::Approve { act } => format!("coalition approve {}", act.short()),
            Statement::Adopt { .. } => "grant adopt ENTRY, for what is quarantined again".into(),
            Statement::Lift { lifted } => format!("record lift {}", lifted.short()),
            Statement::Epoch(_) => format!("compartment rotate {compartment}, or the next write"),
            Statement::Seal { .. } => "by itself: those who hold the keys seal them again".into(),
            Statement::Describe { .. } => {
                "by itself: whoever begins the next epoch names it again".into()
            }
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
