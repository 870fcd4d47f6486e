//! Grants: giving rights, giving them to a device that comes back, listing them, and ending them.

use std::collections::BTreeSet;

use serde_json::Value;

use tearline_crdt::authority::{Author, Closure};
use tearline_crdt::bounds::CITES_MAX;
use tearline_crdt::id::{Class, CompartmentId, DeviceId, Incarnation, StatementId};
use tearline_crdt::record::kind::Kind as RecordKind;
use tearline_crdt::statement::{Audience, Caveats, Mark, Reopening, Right, Statement};
use tearline_crdt::time::WallTime;
use tearline_mesh::replica::{self, KeepBy, Kept, RightChange};

use super::core::Core;
use super::explain::{life_text, limits_text};
use super::names;
use super::overview::store_failure;
use super::records::act_failure;
use super::trust::Lost;
use super::{Answer, json};
use crate::control::{reply, trust as shape};
use crate::failure::Failure;
use crate::size;

impl Core {
    pub(super) fn grant_issue(&mut self, issue: &shape::GrantIssue) -> Answer {
        let area = self.area(issue.compartment.as_deref())?;
        let right = right(&issue.right)?;
        let mut reopenings = vec![None];
        let audience = match (&issue.device, &issue.agency) {
            (Some(device), None) => {
                let device = self.named_device(device)?;
                let coalition = self.coalition()?;
                let standing = coalition.devices().get(&device);
                let standing =
                    standing.ok_or_else(|| Failure::not_found("device", &device.to_string()))?;
                reopenings = self.reopenings(&device, area, issue)?;
                Audience::Device { agency: standing.agency, card: standing.card.clone() }
            }
            (None, Some(agency)) => {
                if issue.compartment.is_none() {
                    return Err(Failure::usage("a grant to an agency names a compartment"));
                }
                let no = self.one_agency(agency)?;
                let place = self.replica.compartment(area);
                let meant = place.is_some_and(|place| {
                    place.opening().audience.iter().any(|(member, _)| *member == no)
                });
                if right > Right::Relay && !meant {
                    return Err(Failure::denied(
                        "the agency is not in the compartment's audience, which stays as it is",
                    )
                    .hint("open another compartment with it, or grant it relay"));
                }
                Audience::Agency(no)
            }
            _ => return Err(Failure::usage("name a device or an agency")),
        };
        let caveats = caveats(&issue.limits)?;
        let life = life_text(reopenings.first().and_then(Option::as_ref));
        let what = format!("{} for {}{life}", right.name(), self.audience_text(&audience));
        if issue.dry_run {
            let grant = reopenings.into_iter().next().flatten();
            let would = self.replica.would_grant(area, audience, right, caveats, grant);
            let changes = self.right_changes(&would.map_err(act_failure)?);
            let told = shape::Declared { what, changes, ..shape::Declared::default() };
            return Ok((json(&told)?, Some(self.replica.settled())));
        }
        let grants = reopenings.into_iter().map(|reopening| {
            let (audience, caveats) = (audience.clone(), caveats.clone());
            Statement::Grant { audience, right, caveats, reopening }
        });
        let (mut said, mut before) = (None, None);
        for grant in grants {
            let named = self.named_life(area, &grant);
            before = self.granted_before(area, &grant, named);
            let Statement::Grant { audience, right, caveats, reopening } = grant else { continue };
            if before.is_some() {
                continue;
            }
            let now = self.now();
            let done = self.replica.grant(now, area, audience, right, caveats, reopening);
            said = Some(done.map_err(act_failure)?);
        }
        if let (None, Some(before)) = (&said, before) {
            return self.said_already(before, what);
        }
        let done = said.ok_or_else(|| Failure::bug("a grant without a statement"))?;
        Ok((json(&shape::Declared::alone(done.value.to_string(), what))?, Some(done.ticket)))
    }

    /// What would change, for people: the coalition's first.
    pub(super) fn right_changes(&self, would: &[RightChange]) -> Vec<shape::RightChange> {
        let name = |right: Option<Right>| right.map(|right| right.name().to_owned());
        let of_coalition = self.coalition_id();
        let told = would.iter().map(|change| {
            let is_whole = change.area.0 == of_coalition;
            shape::RightChange {
                device: self.device(&change.device),
                compartment: (!is_whole).then(|| change.area.to_string()),
                name: if is_whole { COALITION.into() } else { self.compartment_name(&change.area) },
                before: name(change.before),
                after: name(change.after),
            }
        });
        let mut told: Vec<shape::RightChange> = told.collect();
        told.sort_by_key(|change| change.compartment.is_some());
        told
    }

    /// The statement that readmitted the life of a device that a grant names.
    fn named_life(&self, area: CompartmentId, grant: &Statement) -> Option<StatementId> {
        let Statement::Grant {
            audience: Audience::Device { card, .. },
            reopening: Some(reopening),
            ..
        } = grant
        else {
            return None;
        };
        let standing = match self.replica.compartment(area) {
            Some(place) => place.devices().get(&card.device),
            None => self.coalition().ok()?.devices().get(&card.device),
        };
        standing?.readmitted_by(reopening.incarnation).map(StatementId::from)
    }

    /// What grants open again, and for which life of the device; one grant for as many closures as it can
    /// name. Where the device's standing ended, a grant that names no life would give nothing.
    fn reopenings(
        &self,
        device: &DeviceId,
        area: CompartmentId,
        issue: &shape::GrantIssue,
    ) -> Result<Vec<Option<Reopening>>, Failure> {
        let coalition = self.coalition()?;
        let place = self.replica.compartment(area);
        let closures: Vec<&Closure> = match place {
            Some(place) => place.closures_of(device).collect(),
            None => coalition.closures_of(device).collect(),
        };
        let Some(life) = &issue.readmit else {
            let ended = coalition.live(device).is_none();
            let why = match (closures.is_empty(), ended) {
                (true, _) => return Ok(vec![None]),
                (false, true) => "the device's standing has ended; a grant alone reopens nothing",
                (false, false) => {
                    "the device's standing has ended but for a life of it that was readmitted, which a \
                     grant that does not name it does not reach"
                }
            };
            return Err(Failure::denied(why).hint(
                "readmit one life of it: --readmit --incarnation HEX; `tearline id` there shows it",
            ));
        };
        let incarnation = u64::from_str_radix(life, 16).map(Incarnation).map_err(|_| {
            Failure::usage("a device is readmitted for one incarnation")
                .hint("`tearline id` on the device shows it")
        })?;
        let (standing, open) = match place {
            Some(place) => (place.devices().get(device), place.right_in(device, incarnation)),
            None => (coalition.devices().get(device), coalition.right_in(device, incarnation)),
        };
        let named = standing.and_then(|standing| standing.readmitted_by(incarnation));
        if named.is_some() && open.is_none() && !closures.is_empty() {
            return Err(Failure::denied(
                "that life was readmitted before, and what it had then would come back",
            )
            .hint(ANOTHER_LIFE));
        }
        if named.is_none() && self.was_there(device, incarnation, &closures) {
            return Err(Failure::denied(
                "that is a life which the device had when its standing ended: all that was written in it \
                 since, by whoever had the device, would count",
            )
            .hint(ANOTHER_LIFE));
        }
        let active: BTreeSet<StatementId> = match place {
            Some(place) => place.active_in(device, incarnation).map(|one| one.id).collect(),
            None => coalition.active_in(device, incarnation).map(|one| one.id).collect(),
        };
        let above = closures.iter().find(|one| {
            let by = coalition.devices().get(&self.replica.device()).map(|own| own.agency);
            active.contains(&one.id)
                && !by.is_some_and(|no| coalition.may_lift(Author::Desk(no), one))
        });
        if let Some(closure) = above {
            return Err(self.not_lifted(closure));
        }
        // A life that was named is given more by naming it again, whether or not anything ended it.
        let cites: Vec<StatementId> = match named.map(StatementId::from) {
            Some(named) if active.is_empty() => vec![named],
            _ => active.into_iter().collect(),
        };
        if cites.is_empty() {
            return Err(Failure::denied(
                "the device's standing holds, and nothing is to be reopened",
            )
            .hint("grant it without --readmit"));
        }
        let by_grant = cites.chunks(CITES_MAX);
        Ok(by_grant.map(|cites| Some(Reopening { incarnation, cites: cites.to_vec() })).collect())
    }

    /// Why what ended a standing is not lifted by who would.
    pub(super) fn not_lifted(&self, closure: &Closure) -> Failure {
        let id = closure.id.short();
        match closure.author {
            Author::Whole => Failure::denied(format!("an act of the founders ended it: {id}")).hint(
                "they let it in again: `tearline coalition amend admit` for its agency lifts what retired it or \
                 replaced its root",
            ),
            Author::Root(_) => Failure::denied(format!("its agency's root ended it: {id}"))
                .hint("the root lets it in again, as a desk: `tearline root draft desk --readmit` there"),
            Author::Desk(_) | Author::Device(_) => {
                Failure::denied(format!("a device that this one is not above ended it: {id}"))
                    .hint("a desk of its agency lets it in again")
            }
        }
    }

    /// Whether what ended a device's standing says how far logs count that it wrote in a life.
    pub(super) fn was_there(
        &self,
        device: &DeviceId,
        life: Incarnation,
        closures: &[&Closure],
    ) -> bool {
        let logs = self.replica.logbook().logs().map(|(log, _)| log);
        let mut of_life = logs.filter(|log| log.device == *device && log.incarnation == life);
        of_life.any(|log| closures.iter().any(|closure| closure.names(log)))
    }

    pub(super) fn grant_list(&self, compartment: Option<&str>) -> Result<Value, Failure> {
        let area = self.area(compartment)?;
        let mut grants = Vec::new();
        for (log, id, statement) in self.statements(area) {
            let (device, agency, right, limits, named) = match statement {
                Statement::Desk(certificate) => {
                    let device = certificate.desk.device;
                    let agency = self.agency_of(&device);
                    let named = certificate.reopening.as_ref();
                    (Some(device), agency, "desk".to_owned(), String::new(), named)
                }
                Statement::Grant { audience, right, caveats, reopening } => {
                    let (device, agency) = match audience {
                        Audience::Device { agency, card } => (Some(card.device), *agency),
                        Audience::Agency(agency) => (None, *agency),
                    };
                    let limits = limits_text(caveats) + &life_text(reopening.as_ref());
                    let (right, limits) = (right.name().to_owned(), limits.trim_start().to_owned());
                    (device, Some(agency), right, limits, reopening.as_ref())
                }
                _ => continue,
            };
            let standing = match (device, agency) {
                (Some(device), _) => self.standing_of(&device),
                (None, Some(agency)) => self.standing_of_agency(agency),
                (None, None) => reply::Standing::default(),
            };
            let mut verdict = self.verdict(&area, &id)?.to_string();
            let former = device.is_some_and(|device| self.is_former(area, &device, named));
            if standing.has_ended() {
                verdict += match device {
                    Some(_) => ", and gives nothing: the device's standing has ended",
                    None => ", and gives nothing: the agency was retired",
                };
            } else if former {
                verdict += ", for a former life of the device";
            }
            grants.push(shape::Grant {
                statement: id.to_string(),
                issuer: self.device(&log.device),
                device: device.map(|device| self.device(&device)),
                agency: self.agency_ref(agency),
                right,
                limits,
                verdict,
                standing,
            });
        }
        grants.sort_by_key(|grant: &shape::Grant| grant.standing.has_ended());
        json(&shape::Grants { grants })
    }

    /// Whether all lives of a device are closed that a grant reaches: the one that it names, or those that
    /// none names.
    fn is_former(&self, area: CompartmentId, device: &DeviceId, named: Option<&Reopening>) -> bool {
        let coalition = self.coalition().ok();
        match (self.replica.compartment(area), coalition, named.map(|named| named.incarnation)) {
            (Some(place), _, Some(life)) => place.active_in(device, life).next().is_some(),
            (Some(place), _, None) => place.closures_of(device).next().is_some(),
            (None, Some(all), Some(life)) => all.active_in(device, life).next().is_some(),
            (None, Some(all), None) => all.closures_of(device).next().is_some(),
            (None, None, _) => false,
        }
    }

    pub(super) fn grant_revoke(&mut self, revoke: &shape::GrantRevoke) -> Answer {
        let device = self.named_device(&revoke.device)?;
        self.not_itself(&device)?;
        let area = self.area(revoke.compartment.as_deref())?;
        let since = Self::since(revoke.since.as_deref(), revoke.by.as_deref())?;
        let kept = self.kept(&device, since)?;
        let within = |kept: &&Kept| area.0 == self.coalition_id() || kept.log.compartment == area;
        let mut kept: Vec<Kept> = kept.iter().filter(within).copied().collect();
        let unnamed = replica::keep_what_fits(&mut kept);
        let now = self.now();
        let only = Some(area).filter(|area| area.0 != self.coalition_id());
        let marks: Vec<Mark> = kept.iter().filter_map(Kept::mark).collect();
        let void = match &since {
            Some(_) => self.void_of(&device, only, &marks)?,
            None => Vec::new(),
        };
        let (since, by) = since.unwrap_or((now.wall, KeepBy::Arrival));
        let word = self.replica.word(self.coalition()?.id());
        let already = self.replica.is_ended(area, &device, &kept, word);
        if already.map_err(|error| store_failure(&error))? {
            let lost = Lost { since, by, kept, unnamed, void, already: true, ..Lost::default() };
            return Ok((json(&self.lost_shape(&device, lost)?)?, Some(self.replica.settled())));
        }
        if revoke.dry_run {
            let would = self.replica.would_revoke(area, device, marks);
            let would = would.map_err(|error| self.not_ended(&device, error))?;
            let lost = Lost { since, by, kept, unnamed, void, ..Lost::default() };
            let mut told = self.lost_shape(&device, lost)?;
            told.changes = self.right_changes(&would);
            return Ok((json(&told)?, Some(self.replica.settled())));
        }
        let done = self.replica.revoke(now, area, device, marks);
        let done = done.map_err(|error| self.not_ended(&device, error))?;
        let lost =
            Lost { statement: Some(done.value), since, by, kept, unnamed, void, ..Lost::default() };
        let lost = self.lost_shape(&device, lost)?;
        Ok((json(&lost)?, Some(done.ticket)))
    }
}

/// What the whole is called among compartments.
const COALITION: &str = "the coalition";

/// What to do about a life that cannot come back.
pub(super) const ANOTHER_LIFE: &str = "begin another: `tearline doctor --new-life` on the device";

/// A right by its name.
pub(super) fn right(text: &str) -> Result<Right, Failure> {
    [Right::Relay, Right::Read, Right::Write, Right::Admit, Right::Admin]
        .into_iter()
        .find(|right| right.name() == text)
        .ok_or_else(|| {
            Failure::usage(format!("{text:?} is no right"))
                .hint("the rights are relay, read, write, admit and admin")
        })
}

/// The caveats that people name.
pub(super) fn caveats(limits: &shape::Limits) -> Result<Caveats, Failure> {
    let mut kinds = Vec::new();
    for name in &limits.kinds {
        let kind: RecordKind =
            name.parse().map_err(|_| Failure::usage(format!("{name:?} is no kind of record")))?;
        kinds.push(kind as u8);
    }
    kinds.sort_unstable();
    kinds.dedup();
    let mut classes = 0;
    for name in &limits.classes {
        classes |= 1 << names::class(Some(name))? as u8;
    }
    let time = |text: &Option<String>| {
        let read = |text: &String| {
            WallTime::parse(text)
                .map(|wall| wall.0)
                .ok_or_else(|| Failure::usage(format!("{text:?} is no time")))
        };
        text.as_ref().map(read).transpose()
    };
    let (not_before_ms, not_after_ms) = (time(&limits.not_before)?, time(&limits.not_after)?);
    if let (Some(from), Some(until)) = (not_before_ms, not_after_ms)
        && from >= until
    {
        return Err(Failure::usage(format!(
            "from {} until {} there is no time",
            WallTime(from),
            WallTime(until)
        )));
    }
    if limits.quota_bytes == Some(0) {
        return Err(Failure::usage("with a quota of nothing no record is written")
            .hint("grant `--right read`, which lets write none"));
    }
    Ok(Caveats {
        kinds: (!kinds.is_empty()).then_some(kinds),
        classes: (classes != 0).then_some(classes),
        not_before_ms,
        not_after_ms,
        quota_bytes: limits.quota_bytes,
        may_delegate: limits.delegate,
        history: limits.history,
    })
}

/// The options of `grant issue` that ask for these caveats.
pub(super) fn options(caveats: &Caveats) -> String {
    let mut options = String::new();
    let mut add = |option: &str, values: Vec<String>| {
        if !values.is_empty() {
            options += &format!(" --{option} {}", values.join(","));
        }
    };
    let kinds = caveats.kinds.iter().flatten().filter_map(|kind| RecordKind::from_u8(*kind));
    add("kind", kinds.map(|kind| kind.name().to_owned()).collect());
    let classes = Class::ALL.into_iter().filter(|class| {
        *class != Class::Authority
            && caveats.classes.is_some_and(|all| all & (1 << *class as u8) != 0)
    });
    add("class", classes.map(|class| class.name().to_owned()).collect());
    add("from", caveats.not_before_ms.iter().map(|ms| WallTime(*ms).to_string()).collect());
    add("until", caveats.not_after_ms.iter().map(|ms| WallTime(*ms).to_string()).collect());
    add("quota", caveats.quota_bytes.iter().map(|bytes| size::text(*bytes)).collect());
    for (option, is_set) in [("delegate", caveats.may_delegate), ("history", caveats.history)] {
        if is_set {
            options += &format!(" --{option}");
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_said_again_with_all_that_limits_it() {
        let limits = shape::Limits {
            kinds: vec!["sighting".into(), "alert".into()],
            classes: vec!["flash".into()],
            not_before: Some("2026-03-01".into()),
            not_after: Some("2026-03-02T01:40:00Z".into()),
            quota_bytes: Some(20 << 20),
            delegate: true,
            history: true,
        };
        let said = options(&caveats(&limits).unwrap());
        let mut words = said.split_whitespace();
        let mut value = |option: &str| {
            assert_eq!(words.next(), Some(option), "{said}");
            words.next().unwrap_or_default().to_owned()
        };
        let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let again = shape::Limits {
            kinds: list(value("--kind")),
            classes: list(value("--class")),
            not_before: Some(value("--from")),
            not_after: Some(value("--until")),
            quota_bytes: Some(size::read(&value("--quota")).unwrap()),
            ..limits.clone()
        };
        assert_eq!(caveats(&again).unwrap(), caveats(&limits).unwrap());
        assert!(said.ends_with(" --delegate --history"), "{said}");
        assert_eq!(options(&Caveats::default()), "");
    }

    #[test]
    fn a_grant_lasts_some_time() {
        let limits = shape::Limits {
            not_before: Some("2026-03-02".into()),
            not_after: Some("2026-03-01".into()),
            ..shape::Limits::default()
        };
        assert_eq!(caveats(&limits).unwrap_err().kind, crate::failure::Kind::Usage);
    }
}
