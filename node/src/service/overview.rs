//! Answers about the whole: status, doctor, peers, coalition, compartments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use tearline_crdt::authority::Compartment;
use tearline_crdt::id::{AgencyNo, CoalitionId, CompartmentId, DeviceId};
use tearline_crdt::statement::Right;
use tearline_crdt::store::StoreError;
use tearline_crdt::time::MonoTime;
use tearline_mesh::replica::{Misdeeds, PeerState, Way};

use super::core::Core;
use super::explain::hex;
use super::json;
use super::room::MAKE_ROOM;
use super::standing::REFUSED;
use crate::control::reply::{self, Check, CheckStatus};
use crate::control::{trust, unread};
use crate::failure::{Failure, Kind};
use crate::store::{Checked, Checker, DAMAGED_FIX, VALUES_DAMAGED_FIX};

impl Core {
    pub(super) fn status(&mut self, agency: Option<(&str, &str)>) -> Result<Value, Failure> {
        let own = self.replica.device();
        let coalition = self.coalition().ok();
        let agency = match self.agency_of(&own) {
            Some(no) => Some(self.agency_ref(Some(no))),
            None => agency.map(|(name, country)| reply::AgencyRef {
                no: None,
                name: name.into(),
                country: country.into(),
            }),
        };
        let status = reply::Status {
            device: own.to_string(),
            name: self.name.clone(),
            agency,
            coalition: coalition.map(|c| reply::CoalitionRef {
                coalition: c.id().to_string(),
                name: c.charter().name.clone(),
            }),
            joining: self.joining(),
            ended: self.own_end(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started.to_string(),
            addresses: self.full_addresses(),
            api: self.api.clone(),
            portal: self.portal.map(|address| format!("http://{address}/")),
            peers: self.peers(),
            known: self.other_devices(),
            // A store that failed may not tell, and the rest is worth knowing all the more then.
            compartments: match self.compartment_summaries() {
                Err(_) if self.broken().is_some() => Vec::new(),
                summaries => summaries?,
            },
            store_bytes: self.replica.store().size_on_disk_bytes().unwrap_or(0),
            carried_bytes: self.replica.carried().bytes,
            again_bytes: self.replica.carried().again_bytes,
            store_failure: self.broken().map(|why| why.what.clone()),
            damage: self.damage_met(),
            patrol: self.patrol.shown(),
            unreadable: self.unreadable(),
            shortage: self.shortage(),
            relay: self.relay(),
            forks: self.forks(),
        };
        json(&status)
    }

    /// What this device asks to come into.
    fn joining(&self) -> Vec<reply::Joining> {
        let asked = self.replica.asks_in();
        let shape = |(inviter, coalition, awaits_signatures): (DeviceId, CoalitionId, bool)| {
            reply::Joining {
                inviter: inviter.to_string(),
                coalition: coalition.to_string(),
                awaits_signatures,
            }
        };
        asked.map(shape).collect()
    }

    fn relay(&self) -> Option<reply::Relay> {
        let Some(house) = self.replica.relay_state() else {
            return self.replica.only_relays().then(reply::Relay::default);
        };
        Some(reply::Relay {
            quota_bytes: Some(house.terms.quota_bytes),
            kept_s: Some(house.terms.retention_ms / 1_000),
            held_bytes: house.held_bytes,
            evicted_bytes: house.evicted_bytes,
            full: house.is_full,
        })
    }

    /// The logs that were proven to be forked, ours first.
    fn forks(&self) -> Vec<reply::Fork> {
        let own = self.replica.device();
        let mut forks: Vec<reply::Fork> = self
            .replica
            .logbook()
            .logs()
            .filter_map(|(log, state)| {
                Some(reply::Fork {
                    device: log.device.to_string(),
                    own: log.device == own,
                    current: *log == self.replica.own_log(log.compartment, log.class),
                    agency: self.agency_ref(self.agency_of(&log.device)),
                    incarnation: format!("{:016x}", log.incarnation.0),
                    compartment: log.compartment.to_string(),
                    compartment_name: self.compartment_name(&log.compartment),
                    class: log.class.name().into(),
                    seq: state.forked_at?,
                })
            })
            .collect();
        forks.sort_by_key(|fork| !fork.own);
        forks
    }

    /// Our addresses, each with our own id at its end.
    pub(super) fn full_addresses(&self) -> Vec<String> {
        let id = tearline_mesh::net::peer_id(&self.replica.device());
        let own = format!("/p2p/{id}");
        // Over a relay it stands there already.
        let full =
            |address: &String| format!("{}{own}", address.strip_suffix(&own).unwrap_or(address));
        let mut all: Vec<String> = self.addresses.iter().map(full).collect();
        // QUIC before TCP: what others dial first.
        all.sort_by_key(|address| !address.contains("quic"));
        all
    }

    /// How many other devices have a standing in the coalition.
    pub(super) fn other_devices(&self) -> u64 {
        let own = self.replica.device();
        let Ok(coalition) = self.coalition() else { return 0 };
        let others = coalition.devices().keys().filter(|device| **device != own);
        others.filter(|device| coalition.live(device).is_some()).count() as u64
    }

    pub(super) fn peers(&self) -> Vec<reply::Peer> {
        let live: BTreeMap<DeviceId, PeerState> =
            self.replica.peers().into_iter().map(|state| (state.device, state)).collect();
        let faults = self.replica.faults();
        let mut devices: BTreeSet<DeviceId> =
            live.keys().chain(self.dialer.targets().keys()).copied().collect();
        devices.extend(self.replica.exchanged().keys());
        let (named, strangers): (Vec<&DeviceId>, Vec<&DeviceId>) =
            faults.keys().partition(|device| self.replica.is_of_a_coalition(device));
        devices.extend(named.into_iter().chain(strangers.into_iter().take(STRANGERS_SHOWN_MAX)));
        let now = self.now().mono;
        let peer = |device: &DeviceId| self.described(device, live.get(device), &faults, now);
        let mut peers: Vec<reply::Peer> = devices.iter().map(peer).collect();
        peers.sort_by_key(|peer| peer.standing.has_ended());
        peers
    }

    /// The peers, and apart from them who dialled this device and is off now.
    pub(super) fn peer_list(&self) -> Result<Value, Failure> {
        let peers = self.peers();
        let is_listed = |device: &DeviceId| {
            let id = device.to_string();
            peers.iter().any(|peer| peer.device == id)
        };
        let heard = self.last_heard.keys();
        let heard = heard.filter(|device| self.is_member(device) && !is_listed(device));
        let mut heard: Vec<reply::Peer> = heard.map(|device| self.peer(device)).collect();
        heard.sort_by(|one, other| other.last_heard.cmp(&one.last_heard));
        json(&reply::Peers { peers, heard, known: self.other_devices() })
    }

    /// Entries that linked peers are known to have and this device has not yet: of which peer they are most.
    pub(super) fn coming(&self) -> u64 {
        let peers = self.replica.peers().into_iter();
        let standing = peers.filter(|peer| !self.standing_of(&peer.device).has_ended());
        standing.map(|peer| peer.entries_ahead).max().unwrap_or_default()
    }

    pub(super) fn peer(&self, device: &DeviceId) -> reply::Peer {
        let live = self.replica.peers().into_iter().find(|peer| peer.device == *device);
        self.described(device, live.as_ref(), &self.replica.faults(), self.now().mono)
    }

    fn described(
        &self,
        device: &DeviceId,
        live: Option<&PeerState>,
        faults: &Misdeeds,
        now: MonoTime,
    ) -> reply::Peer {
        let target = self.dialer.targets().get(device);
        let line = self.thin.line(device, now);
        let broken = line.as_ref().is_some_and(|line| line.broken);
        let is_tried = live.is_none() || broken;
        let faults = faults.get(device);
        let barred = self.penalties.until(device, now);
        let is_stranger = !self.replica.is_of_a_coalition(device);
        let counted = is_stranger && self.replica.counted_faults().contains_key(device);
        let full = self.shortage().is_some() && live.is_some_and(|state| state.refused);
        let standing = self.standing_of(device);
        let state = match live {
            _ if target.is_some_and(|target| target.paused) => reply::PeerState::Paused,
            // Nothing is taken of anybody, and nothing sent.
            _ if self.broken().is_some() => reply::PeerState::Blocked,
            None if barred.is_some() || counted => reply::PeerState::Blocked,
            Some(_) if broken => reply::PeerState::Waiting,
            Some(_) if standing.has_ended() => reply::PeerState::Ended,
            Some(_) if full => reply::PeerState::Blocked,
            Some(state) if state.live && state.in_sync => reply::PeerState::Live,
            Some(_) if self.is_stale(device) => reply::PeerState::Stale,
            Some(_) => reply::PeerState::CatchingUp,
            None if self.is_stale(device) => reply::PeerState::Stale,
            // Nobody here can do anything about its link.
            None if target.is_none() && self.last_heard.contains_key(device) => {
                reply::PeerState::Stale
            }
            None => reply::PeerState::Waiting,
        };
        let lacks = self.replica.lacks(device).filter(|_| !standing.has_ended());
        let blamed = faults.map(|faults| {
            let list: Vec<String> = faults.iter().map(|(name, n)| format!("{name} x{n}")).collect();
            format!("misbehaved: {}", list.join(", "))
        });
        let dialled = target.filter(|_| live.is_none());
        let last_try = dialled.and_then(|target| target.reason.clone());
        let on_line = line.as_ref().filter(|_| is_tried).map(|line| line.reason.clone());
        let tried: Vec<String> = last_try.into_iter().chain(on_line).collect();
        let again = [
            dialled.and_then(|target| target.wait(now)),
            line.as_ref().filter(|_| is_tried).and_then(|line| line.again),
        ];
        let barred = barred.map(|until| Duration::from_millis(until.0.saturating_sub(now.0)));
        let again = barred.or_else(|| again.into_iter().flatten().min());
        let agency = self.agency_of(device);
        let asides = self.asides();
        let link = self.link_to(device);
        let bundles = self.replica.exchanged().get(device).copied().unwrap_or_default();
        reply::Peer {
            device: device.to_string(),
            name: self.name_of(device),
            agency: agency.map(|no| self.agency_ref(Some(no))),
            missing: live.filter(|_| !standing.has_ended()).map(|state| state.entries_ahead),
            lacks: lacks.map(|lacks| lacks.entries),
            flash_since: lacks.and_then(|lacks| lacks.flash_since).map(|at| at.to_string()),
            standing,
            relay: self.is_relay(device),
            addresses: target.map(|t| t.addresses.clone()).unwrap_or_default(),
            thin: target.and_then(|target| target.thin.as_ref()).map(|address| {
                let reading = self.thin.reading(device);
                reply::ThinLink {
                    address: address.to_string(),
                    sent_bytes: reading.sent_bytes,
                    received_bytes: reading.received_bytes,
                    repeated_bytes: reading.repeated_bytes,
                    refused_frames: reading.refused_frames,
                }
            }),
            state,
            by: link.map(|link| link.by.into()),
            from: link.map(|link| link.address.clone()),
            dialled_us: link.is_some_and(|link| !link.thin && !link.dialled),
            // Why the last attempt failed is no news of a peer that is there.
            reason: self
                .broken()
                .map(|why| format!("the store of this device failed: {}", why.what))
                .or(blamed)
                .or_else(|| full.then(|| DISK_FULL.into()))
                .or_else(|| live.filter(|state| state.gone > 0).map(|state| gone(state.gone)))
                .or_else(|| {
                    live.filter(|state| state.withheld > 0).map(|state| withheld(state.withheld))
                })
                .or_else(|| {
                    let over = self.over_quota(device);
                    (!over.is_empty()).then(|| format!("over its quota in {}", over.join(", ")))
                })
                .or_else(|| (!tried.is_empty()).then(|| tried.join("; "))),
            again_ms: again.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
            last_heard: self.last_heard.get(device).map(ToString::to_string),
            gone: live.map_or(0, |state| state.gone),
            interest: self.replica.interest(device).map(ToString::to_string),
            left_aside: asides.get(device).copied().unwrap_or_default(),
            sent_bytes: live.map_or(0, |state| state.bytes_out),
            received_bytes: live.map_or(0, |state| state.bytes_in),
            gossip: self.gossip_with(device),
            bundle_made: bundles.sent.map(|time| time.to_string()),
            bundle_read: bundles.received.map(|time| time.to_string()),
        }
    }

    /// Whether a device was heard, and not for long.
    fn is_stale(&self, device: &DeviceId) -> bool {
        let now = self.now().wall;
        let heard = self.last_heard.get(device);
        heard.is_some_and(|heard| now.0.saturating_sub(heard.0) > STALE_AFTER_MS)
    }

    /// Whether a device may relay in the coalition, and do nothing else.
    pub(super) fn is_relay(&self, device: &DeviceId) -> bool {
        let coalition = self.coalition().ok();
        coalition.and_then(|known| known.right(device)) == Some(Right::Relay)
    }

    /// In whose gossip a peer is a neighbour.
    fn gossip_with(&self, device: &DeviceId) -> Vec<reply::Neighbour> {
        let ways = self.replica.ways(device).into_iter();
        let neighbour = |(id, way): (CompartmentId, Way)| reply::Neighbour {
            compartment: id.to_string(),
            name: self.compartment_name(&id),
            way: match way {
                Way::Parent => "parent".into(),
                Way::Eager => "eager".into(),
                Way::Lazy => "lazy".into(),
            },
        };
        ways.map(neighbour).collect()
    }

    pub(super) fn compartment_summaries(&mut self) -> Result<Vec<reply::Compartment>, Failure> {
        let ids: Vec<CompartmentId> = self.compartments().iter().map(|(c, _)| c.id()).collect();
        ids.into_iter().map(|id| self.compartment_summary(id)).collect()
    }

    pub(super) fn compartment_summary(
        &mut self,
        id: CompartmentId,
    ) -> Result<reply::Compartment, Failure> {
        let counts = self.replica.counts(id).map_err(|error| store_failure(&error))?;
        let area = self.replica.areas().get(&id);
        let compartment = self
            .replica
            .compartment(id)
            .ok_or_else(|| Failure::not_found("compartment", &id.to_string()))?;
        // To who may only relay a key never comes.
        let opens = self.replica.right(id, &self.replica.device()) != Some(Right::Relay);
        let digest = area.map(|area| area.frontier.root()).unwrap_or_default();
        Ok(reply::Compartment {
            compartment: id.to_string(),
            name: self.compartment_name(&id),
            agencies: self.audience(compartment),
            digest: digest.iter().map(|b| format!("{b:02x}")).collect(),
            entries: counts.entries,
            records: counts.records.shown,
            unshown: counts.records.begun.saturating_sub(counts.records.shown),
            waiting: if opens { counts.waiting } else { 0 },
            closed: counts.closed,
            followed: self.replica.follows(&id),
        })
    }

    pub(super) fn audience(&self, compartment: &Compartment) -> Vec<reply::AgencyRef> {
        compartment.opening().audience.iter().map(|(no, _)| self.agency_ref(Some(*no))).collect()
    }

    /// The agencies of an audience, but for our own, of which no device is linked now.
    pub(super) fn unlinked(&self, compartment: &Compartment) -> Vec<reply::AgencyRef> {
        let own = self.agency_of(&self.replica.device());
        let linked: BTreeSet<AgencyNo> =
            self.linked_devices().filter_map(|device| self.agency_of(device)).collect();
        let audience = compartment.opening().audience.iter().map(|(no, _)| *no);
        let missing = audience.filter(|no| Some(*no) != own && !linked.contains(no));
        missing.map(|no| self.agency_ref(Some(no))).collect()
    }

    pub(super) fn compartment_show(&mut self, name: &str) -> Result<Value, Failure> {
        let id = self.named_compartment(name)?;
        let summary = self.compartment_summary(id)?;
        let epoch = self.replica.epoch_age(id).map(|age| reply::Epoch {
            epoch: age.epoch.to_string(),
            since: age.since.to_string(),
            written: age.written,
            due: age.due.map(|due| due.to_string()),
        });
        let logs = self
            .replica
            .logbook()
            .logs_of(id)
            .map(|(log, state)| reply::Log {
                device: log.device.to_string(),
                agency: self.agency_ref(self.agency_of(&log.device)),
                incarnation: format!("{:016x}", log.incarnation.0),
                class: log.class.name().into(),
                length: state.head.next,
                head: state.head.id.to_string(),
                forked_at: state.forked_at,
            })
            .collect();
        let quotas = self.replica.quotas(id).into_iter();
        let quotas = quotas.map(|(device, quota)| trust::Quota {
            device: self.device(&device),
            quota_bytes: quota.bytes,
            used_bytes: quota.used_bytes,
        });
        let quotas = quotas.collect();
        json(&reply::CompartmentDetail { summary, epoch, quotas, logs })
    }

    pub(super) fn coalition_show(&self) -> Result<Value, Failure> {
        let coalition = self.coalition()?;
        let founders = &coalition.charter().founders;
        let mut agencies: Vec<reply::Member> = coalition
            .seats()
            .values()
            .map(|seat| {
                let member = &seat.member;
                let devices = coalition.devices().iter();
                let devices = devices.filter(|(_, standing)| standing.agency == member.no);
                let mut devices: Vec<_> = devices.map(|(device, _)| self.device(device)).collect();
                devices.sort_by_key(|device| device.standing.has_ended());
                reply::Member {
                    no: member.no.0,
                    name: member.name.clone(),
                    country: member.country.clone(),
                    roots: seat.standing().map(|root| hex(root)).collect(),
                    founder: founders.iter().any(|founder| founder.no == member.no),
                    standing: self.standing_of_agency(member.no),
                    devices,
                }
            })
            .collect();
        agencies.sort_by_key(|agency| agency.standing.has_ended());
        json(&reply::Coalition {
            coalition: coalition.id().to_string(),
            name: coalition.charter().name.clone(),
            quorum: coalition.charter().quorum,
            agencies,
        })
    }

    /// What can be said without reading the store through.
    pub(super) fn checks(&mut self) -> Result<Vec<Check>, Failure> {
        if let Some(why) = self.broken() {
            let message = format!("nothing more is taken or sent: {why}");
            let damaged = why.kind == Kind::Integrity;
            let status = if damaged { CheckStatus::Damaged } else { CheckStatus::Fail };
            return Ok(vec![check("writing", status, message, why.hint.as_deref())]);
        }
        let ended = self.own_end().map(|end| {
            let message = end.to_string();
            let refused = end.state == REFUSED;
            let status = if refused { CheckStatus::Warn } else { CheckStatus::Fail };
            check("standing", status, message, Some(&end.fix))
        });
        let standing =
            ended.unwrap_or_else(|| check("standing", CheckStatus::Pass, "it holds".into(), None));
        let mut checks = vec![
            standing,
            self.check_disk(),
            self.check_logs(),
            self.patrol.check(),
            self.check_quotas(),
            self.check_clock(),
            self.check_expiry(),
            self.check_listening(),
            self.check_reach(),
            self.check_peers(),
            self.check_waiting().unwrap_or_else(|failure| {
                let status = if failure.kind == Kind::Integrity {
                    CheckStatus::Damaged
                } else {
                    CheckStatus::Fail
                };
                check("keys", status, failure.what, failure.hint.as_deref())
            }),
            self.check_faults(),
            check_forks(&self.forks()),
            self.check_followed(),
        ];
        checks.extend(self.check_relay());
        Ok(checks)
    }

    /// Reads the store through.
    pub(super) fn checker(&self) -> Checker {
        self.replica.store().checker()
    }

    /// What reading the store through came to.
    pub(super) fn check_store(&mut self, read: Result<Checked, StoreError>) -> Vec<Check> {
        match read {
            Ok(checked) => {
                for error in &checked.damaged {
                    let _ = self.met(error);
                }
                unread::checks(&checked)
            }
            Err(error) => {
                let status =
                    if error.is_damage() { CheckStatus::Damaged } else { CheckStatus::Fail };
                let failure = self.met(&error);
                vec![check("store", status, failure.what, failure.hint.as_deref())]
            }
        }
    }

    fn check_disk(&self) -> Check {
        match self.shortage() {
            None => check("disk", CheckStatus::Pass, "there is room".into(), None),
            Some(why) => check("disk", CheckStatus::Fail, why, Some(MAKE_ROOM)),
        }
    }

    fn check_listening(&self) -> Check {
        let count = self.addresses.len();
        let fix = "check `listen` in the configuration, and what else listens there";
        let deaf = self.deaf.iter().map(|(address, why)| format!("{address} ({why})"));
        match (count, deaf.collect::<Vec<_>>().join(", ")) {
            (0, deaf) if deaf.is_empty() => {
                check("listening", CheckStatus::Fail, "on no address".into(), Some(fix))
            }
            (0, deaf) => {
                let message = format!("on no address; not on {deaf}");
                check("listening", CheckStatus::Fail, message, Some(fix))
            }
            (_, deaf) if deaf.is_empty() => {
                check("listening", CheckStatus::Pass, format!("on {count} addresses"), None)
            }
            (_, deaf) => {
                let message = format!("on {count} addresses, and not on {deaf}");
                check("listening", CheckStatus::Warn, message, Some(fix))
            }
        }
    }

    /// Of devices whose standing has ended nobody expects a link.
    fn check_peers(&self) -> Check {
        let targets = self.dialer.targets().iter();
        let (ended, targets): (Vec<_>, Vec<_>) =
            targets.partition(|(device, _)| self.standing_of(device).has_ended());
        let missing: Vec<String> = targets
            .iter()
            .filter(|(device, target)| {
                target.is_configured() && !target.paused && !self.linked(device)
            })
            .map(|(device, _)| {
                let why = self.peer(device).reason.unwrap_or_else(|| "not tried yet".into());
                format!("{} ({why})", device.short())
            })
            .collect();
        let mut message = if missing.is_empty() {
            format!("{} connected", self.links())
        } else {
            format!("not connected: {}", missing.join(", "))
        };
        if !ended.is_empty() {
            let ended: Vec<String> = ended.iter().map(|(device, _)| device.short()).collect();
            message += &format!("; dialled though their standing has ended: {}", ended.join(", "));
        }
        let fix = match (missing.is_empty(), ended.is_empty()) {
            (true, true) => return check("peers", CheckStatus::Pass, message, None),
            (true, false) => "`tearline peer remove` forgets a peer that is to be dialled no more",
            (false, _) => {
                "check that they run and that their addresses are right: `tearline peer list`"
            }
        };
        let status = if missing.is_empty() { CheckStatus::Pass } else { CheckStatus::Warn };
        check("peers", status, message, Some(fix))
    }

    fn check_waiting(&mut self) -> Result<Check, Failure> {
        let summaries = self.compartment_summaries()?;
        let waiting: u64 = summaries.iter().map(|c| c.waiting).sum();
        let closed: u64 = summaries.iter().map(|c| c.closed).sum();
        let mut message = match waiting {
            0 => "every entry that this device is to read can be opened".into(),
            1 => "1 entry waits for a key".into(),
            _ => format!("{waiting} entries wait for a key"),
        };
        if closed > 0 {
            message += &format!(
                "; {closed} were sealed before this device came, and stay closed to it: it reads from \
                 its joining on"
            );
        }
        Ok(if waiting == 0 {
            check("keys", CheckStatus::Pass, message, None)
        } else {
            let fix = "connect to a desk of your own agency, which seals the keys to this device";
            check("keys", CheckStatus::Warn, message, Some(fix))
        })
    }

    fn check_faults(&self) -> Check {
        let faults = self.replica.faults();
        if faults.is_empty() {
            return check("misconduct", CheckStatus::Pass, "none seen".into(), None);
        }
        let devices: Vec<String> = faults.keys().map(DeviceId::short).collect();
        let message = format!("seen from {}", devices.join(", "));
        check("misconduct", CheckStatus::Warn, message, Some("see `tearline peer list`"))
    }

    /// Whether all compartments are followed, and if not, who opened those that are not.
    fn check_followed(&self) -> Check {
        let unfollowed = self.replica.unfollowed();
        let turned_away = self.replica.turned_away();
        if unfollowed.is_empty() && turned_away == 0 {
            return check("compartments", CheckStatus::Pass, "all are followed".into(), None);
        }
        let openers: Vec<String> = unfollowed
            .iter()
            .map(|(device, some)| {
                let agency = self.agency_ref(some.agency).name;
                format!("{} opened by device {} of {agency}", some.compartments, device.short())
            })
            .collect();
        let away = format!("{turned_away} times one found no place since the start");
        let message = format!("not followed: {}", [&openers[..], &[away]].concat().join("; "));
        check("compartments", CheckStatus::Warn, message, Some(UNFOLLOWED_FIX))
    }
}

/// Ours fail: this device cannot write to them. Those of others are theirs to mend.
fn check_forks(forks: &[reply::Fork]) -> Check {
    let list = |forks: &[&reply::Fork]| {
        let named: Vec<String> = forks.iter().map(|fork| fork.to_string()).collect();
        named.join("; ")
    };
    let current: Vec<&reply::Fork> = forks.iter().filter(|fork| fork.current).collect();
    let others: Vec<&reply::Fork> = forks.iter().filter(|fork| !fork.current).collect();
    if !current.is_empty() {
        let message = format!("this device wrote two histories: {}", list(&current));
        return check("forks", CheckStatus::Fail, message, Some(FORKED_FIX));
    }
    if !others.is_empty() {
        let fix = "their agency says which entries count: `tearline inbox` shows what waits";
        return check("forks", CheckStatus::Warn, list(&others), Some(fix));
    }
    check("forks", CheckStatus::Pass, "none seen".into(), None)
}

/// What helps where too many compartments are open.
const UNFOLLOWED_FIX: &str = "`compartment list` says which: say there what is needed in one that is \
                              followed; if a device opened them that should not, its agency or the \
                              founders end its standing, and what it opened comes last";
/// Strangers that misbehaved and have no link, that are shown.
const STRANGERS_SHOWN_MAX: usize = 16;
/// What a relay does not have any more, and what a peer cannot read.
fn gone(logs: u64) -> String {
    let logs = if logs == 1 { "1 log".into() } else { format!("{logs} logs") };
    format!("a part of {logs} that this device lacks is not there any more; it comes from others")
}

/// What this device cannot give.
fn withheld(logs: u64) -> String {
    let logs = if logs == 1 { "1 log".into() } else { format!("{logs} logs") };
    format!("it lacks a part of {logs} that is damaged here: see `tearline doctor`")
}

/// After so long without a word a peer is stale.
const STALE_AFTER_MS: u64 = 3_600_000;
/// Why nothing is taken from a peer.
const DISK_FULL: &str = "disk full";

/// What to do about a forked log of this device.
pub(super) const FORKED_FIX: &str = "another copy of this home writes, too: stop one of them for \
    good; then begin a new incarnation here, with `tearline doctor --new-life`, or with \
    `tearline backup restore` of a backup";

pub(super) fn check(name: &str, status: CheckStatus, message: String, fix: Option<&str>) -> Check {
    Check { name: name.into(), status, message, fix: fix.map(Into::into) }
}

/// The store's error, at the edge.
pub(super) fn store_failure(error: &StoreError) -> Failure {
    match error {
        StoreError::Damaged { .. } => {
            Failure::new(Kind::Integrity, error.to_string()).hint(VALUES_DAMAGED_FIX)
        }
        StoreError::KeysDamaged { .. } => Failure::new(Kind::Integrity, error.to_string())
            .hint(format!("stop the daemon if it runs; {DAMAGED_FIX}")),
        _ => Failure::failed(error.to_string()),
    }
}
