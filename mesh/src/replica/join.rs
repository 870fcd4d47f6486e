//! Coming in by an invitation. The applicant dials the inviter, whose key the invitation names, and
//! sends the one-time secret with its certificate; the inviter writes what follows into the
//! coalition's log, and answers with the charter once that is durable.
//!
//! Where a quorum has to admit the applicant, the answer is that signatures are awaited. Then both wait: the
//! inviter looks again whenever standings change and answers over the link while that is up, and the applicant
//! asks again with each new link, also after a start.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tearline_crdt::charter::Member;
use tearline_crdt::codec::Reader;
use tearline_crdt::hash::sha256;
use tearline_crdt::id::{CoalitionId, CompartmentId, DeviceId};
use tearline_crdt::statement::{Act, Audience, Caveats, Right, Statement};
use tearline_crdt::store::{Batch, Space, Store, StoreError};
use tearline_crdt::time::{Now, WallTime};

use super::area::coalition_body;
use super::author::random;
use super::session::Phase;
use super::{ActError, Barrier, Done, Event, Link, Output, Replica};
use crate::fault::PeerFault;
use crate::invitation::{
    Applicant, Invitation, Invited, JoinAnswer, JoinRequest, Refusal, check_code,
};
use crate::wire::Frame;

const INVITE_PREFIX: &[u8] = b"invite/";
const BOUND_PREFIX: &[u8] = b"bound/";
/// What is kept of a request that waits for a quorum, by its inviter.
const WAITING_PREFIX: &[u8] = b"joining/";

/// Requests to come in: ours, and those of others that a quorum has to admit.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// What we ask, by inviter.
    asked: BTreeMap<DeviceId, Asked>,
    /// What others asked over links that are up, where signatures are awaited: one a link.
    waiting: BTreeMap<Link, JoinRequest>,
    welcomes: Vec<Welcome>,
    /// Who said that signatures are awaited, where that is not durable yet.
    told: Vec<(Barrier, DeviceId)>,
    /// Whether standings changed since those that wait were looked at.
    look: bool,
}

/// A request of ours.
#[derive(Debug)]
struct Asked {
    request: JoinRequest,
    /// Whether the inviter said that signatures are awaited.
    waits: bool,
}

impl Joining {
    /// What we ask of a device.
    pub(super) fn asked(&self, inviter: &DeviceId) -> Option<&JoinRequest> {
        self.asked.get(inviter).map(|asked| &asked.request)
    }

    /// Standings changed.
    pub(super) const fn look_again(&mut self) {
        self.look = true;
    }

    /// A link is down.
    pub(super) fn hang_up(&mut self, link: Link) {
        self.waiting.remove(&link);
    }
}

/// What a device that comes in by an invitation is granted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    /// What it may do.
    pub right: Right,
    /// Within which limits.
    pub caveats: Caveats,
}

/// What is kept of an invitation until it is used: `coalition (32) || code (1) || expires (8)`, for a device
/// `|| right (1) || caveats`, and the name that it will have here.
struct Kept {
    coalition: CoalitionId,
    invited: Invited,
    expires: WallTime,
    terms: Option<Terms>,
    name: Vec<u8>,
}

impl Kept {
    fn encode(&self) -> Vec<u8> {
        let mut value = self.coalition.0.to_vec();
        value.push(self.invited.code());
        value.extend(self.expires.0.to_be_bytes());
        if let Some(Terms { right, caveats }) = &self.terms {
            value.push(*right as u8);
            caveats.encode(&mut value);
        }
        value.extend(&self.name);
        value
    }

    /// What was kept; `None` where it is damaged, so that it invites nobody.
    fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let coalition = CoalitionId(reader.array("coalition").ok()?);
        let invited = Invited::from_code(reader.u8("kind of invitation").ok()?)?;
        let expires = WallTime(u64::from_be_bytes(reader.array("expiry").ok()?));
        let terms = match invited {
            Invited::Agency => None,
            Invited::Device { .. } => {
                let right = Right::from_u8(reader.u8("right").ok()?)?;
                Some(Terms { right, caveats: Caveats::decode(&mut reader).ok()? })
            }
        };
        let name = reader.take(reader.left(), "name").ok()?.to_vec();
        Some(Self { coalition, invited, expires, terms, name })
    }
}

/// A welcome that waits for its statements to be durable.
#[derive(Debug)]
pub(super) struct Welcome {
    covered_by: Barrier,
    link: Link,
    answer: JoinAnswer,
}

/// Requests of one session that are refused before it ends.
const REFUSALS_MAX: u32 = 3;

impl<S: Store> Replica<S> {
    /// Makes an invitation, good once and until it expires. `addresses` say where this device
    /// listens. Whoever comes in by it is called by the name here. A device may write.
    pub fn invite(
        &mut self,
        coalition: CoalitionId,
        invited: Invited,
        expires: WallTime,
        addresses: Vec<String>,
        name: &str,
    ) -> Result<Done<Invitation>, ActError> {
        let terms = match invited {
            Invited::Agency => None,
            Invited::Device { history } => {
                let caveats = Caveats { history, ..Caveats::default() };
                Some(Terms { right: Right::Write, caveats })
            }
        };
        let name = name.as_bytes().to_vec();
        self.ask_in(Kept { coalition, invited, expires, terms, name }, addresses)
    }

    /// As [`Replica::invite`], of a device that is granted what the terms say.
    pub fn enrol(
        &mut self,
        coalition: CoalitionId,
        terms: Terms,
        expires: WallTime,
        addresses: Vec<String>,
        name: &str,
    ) -> Result<Done<Invitation>, ActError> {
        let invited = Invited::Device { history: terms.caveats.history };
        let name = name.as_bytes().to_vec();
        self.ask_in(Kept { coalition, invited, expires, terms: Some(terms), name }, addresses)
    }

    fn ask_in(&mut self, kept: Kept, addresses: Vec<String>) -> Result<Done<Invitation>, ActError> {
        let coalition_id = kept.coalition;
        let coalition = self.coalition(coalition_id).ok_or(ActError::NoCoalition)?;
        if !coalition.devices().get(&self.device()).is_some_and(|standing| standing.desk) {
            return Err(ActError::Denied { needed: Right::Admit });
        }
        let secret: [u8; 16] = random(&mut *self.entropy);
        let invitation = Invitation {
            coalition: coalition_id,
            inviter: self.device(),
            invited: kept.invited,
            expires: kept.expires,
            secret,
            addresses,
        };
        let mut batch = Batch::default();
        batch.put(Space::Meta, secret_key(INVITE_PREFIX, &secret), kept.encode());
        self.apply(batch)?;
        let ticket = self.flush_ticket();
        self.settle_outputs()?;
        Ok(Done { value: invitation, ticket })
    }

    /// Asks to come in: when a link to the inviter that we dialed is up, the request goes out.
    pub fn join(&mut self, inviter: DeviceId, request: JoinRequest) {
        self.joining.asked.insert(inviter, Asked { request, waits: false });
    }

    /// What we ask to come into and were not answered yet: of whom, into what, and whether that one said that
    /// signatures are awaited.
    pub fn asks_in(&self) -> impl Iterator<Item = (DeviceId, CoalitionId, bool)> {
        let asked = self.joining.asked.iter();
        asked.map(|(inviter, asked)| (*inviter, asked.request.coalition, asked.waits))
    }

    /// Asks to come in over a link: instead of greeting, or of answering the greeting of who dialed us. From then
    /// on we count as the dialer.
    pub(super) fn ask_over(&mut self, link: Link) {
        let Some(session) = self.sessions.get_mut(&link) else { return };
        let Some(request) = self.joining.asked(&session.device) else { return };
        let request = request.encode();
        (session.dialer, session.phase) = (true, Phase::Joining);
        self.say(link, Frame::Join { request });
    }

    /// Reads the requests that wait for a quorum: they are made again when the inviter is linked.
    pub(super) fn load_joining(&mut self) -> Result<(), StoreError> {
        let asked = &mut self.joining.asked;
        self.store.scan(Space::Meta, WAITING_PREFIX, &[], &mut |key, value| {
            let inviter = key.strip_prefix(WAITING_PREFIX).and_then(|id| id.try_into().ok());
            if let (Some(inviter), Ok(request)) = (inviter, JoinRequest::decode(value)) {
                asked.insert(DeviceId(inviter), Asked { request, waits: true });
            }
            ControlFlow::Continue(())
        })
    }

    /// Forgets what we asked of a device.
    fn stop_asking(&mut self, inviter: &DeviceId) -> Result<(), StoreError> {
        if self.joining.asked.remove(inviter).is_some_and(|asked| asked.waits) {
            let mut batch = Batch::default();
            batch.remove(Space::Meta, waiting_key(inviter));
            self.apply(batch)?;
        }
        Ok(())
    }

    /// Looks at the requests again that wait for a quorum, if standings changed.
    pub(super) fn admit_waiting(&mut self, now: Now) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.joining.look) {
            return Ok(());
        }
        for (link, request) in std::mem::take(&mut self.joining.waiting) {
            let Some(device) = self.sessions.get(&link).map(|session| session.device) else {
                continue;
            };
            match self.answer(now, device, &request)? {
                Some(JoinAnswer::Refused(Refusal::Quorum)) => {
                    self.joining.waiting.insert(link, request);
                }
                answer => self.give_answer(link, answer),
            }
        }
        Ok(())
    }

    pub(super) fn on_join(
        &mut self,
        now: Now,
        link: Link,
        request: &[u8],
    ) -> Result<Result<(), PeerFault>, StoreError> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(Ok(())) };
        let device = session.device;
        // Who was dialed and asks is who greets.
        (session.dialer, session.phase) = (false, Phase::Awaiting);
        let request = match JoinRequest::decode(request) {
            Ok(request) => request,
            Err(error) => return Ok(Err(PeerFault::Malformed(error))),
        };
        let answer = self.answer(now, device, &request)?;
        let refused = matches!(answer, Some(JoinAnswer::Refused(_)));
        if let Some(JoinAnswer::Refused(Refusal::Quorum)) = answer {
            self.joining.waiting.insert(link, request);
        }
        self.give_answer(link, answer);
        let Some(session) = self.sessions.get_mut(&link).filter(|_| refused) else {
            return Ok(Ok(()));
        };
        session.refusals += 1;
        Ok(if session.refusals > REFUSALS_MAX { Err(PeerFault::Join) } else { Ok(()) })
    }

    /// What is answered to a request.
    fn answer(
        &mut self,
        now: Now,
        device: DeviceId,
        request: &JoinRequest,
    ) -> Result<Option<JoinAnswer>, StoreError> {
        let known = |replica: &Self| {
            replica.coalition(request.coalition).is_some_and(|c| c.devices().contains_key(&device))
        };
        // Who is known came in before and did not hear our answer.
        if !known(self)
            && let Err(refusal) = self.admit(now, device, request)?
        {
            if refusal == Refusal::Invitation {
                self.count(device, PeerFault::Join);
            }
            return Ok(Some(JoinAnswer::Refused(refusal)));
        }
        let coalition = self.coalition(request.coalition);
        Ok(coalition.map(|coalition| JoinAnswer::Welcome(coalition.charter().clone())))
    }

    /// Gives an answer: a welcome once what it says is durable.
    fn give_answer(&mut self, link: Link, answer: Option<JoinAnswer>) {
        match answer {
            Some(JoinAnswer::Refused(refusal)) => {
                let answer = JoinAnswer::Refused(refusal).encode();
                self.say(link, Frame::JoinAnswer { answer });
            }
            Some(answer) => {
                let covered_by = Barrier(self.next_barrier);
                self.joining.welcomes.push(Welcome { covered_by, link, answer });
                self.flush_wanted = true;
            }
            None => {}
        }
    }

    /// Admits an applicant whose secret matches, and uses the invitation up, in one batch: no crash
    /// leaves it good for a second, and none uses it up for nobody. Where others have to agree it stays
    /// good, from its first use on for that applicant alone.
    fn admit(
        &mut self,
        now: Now,
        device: DeviceId,
        request: &JoinRequest,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let key = secret_key(INVITE_PREFIX, &request.secret);
        let bound_key = secret_key(BOUND_PREFIX, &request.secret);
        let bound = self.store.get(Space::Meta, &bound_key)?;
        let applicant = request.applicant.id();
        // Who used it in time waits for others as long as they take.
        let in_time = bound.as_ref() == Some(&applicant);
        let Some(invitation) = self.valid_invitation(now, in_time, &key, &request.coalition)?
        else {
            return Ok(Err(Refusal::Invitation));
        };
        let Some(coalition) = self.coalition(request.coalition) else {
            return Ok(Err(Refusal::Invitation));
        };
        if bound.as_ref().is_some_and(|bound| *bound != applicant) {
            return Ok(Err(Refusal::Invitation));
        }
        let area = CompartmentId(request.coalition.0);
        let Some(own) = coalition.live(&self.device()).filter(|s| s.desk) else {
            return Ok(Err(Refusal::NotAllowed));
        };
        if !request.applicant.card().matches(&request.kem) {
            return Ok(Err(Refusal::NotAllowed));
        }
        // The statement that brings the device in brings the key that its card only names.
        let kem = Some(request.kem.as_bytes().to_vec());
        let statements = match (&request.applicant, invitation.terms) {
            (Applicant::Agency { name, country, desk }, None) => {
                if desk.desk.device != device || !desk.holds() {
                    return Ok(Err(Refusal::NotAllowed));
                }
                let certified = (Statement::Desk(desk.clone()), kem);
                let seated = coalition.seats().values().any(|s| s.roots.contains(&desk.root));
                if seated {
                    vec![certified]
                } else {
                    let founder = coalition.charter().founders.iter();
                    if !founder.clone().any(|founder| founder.no == own.agency) {
                        return Ok(Err(Refusal::NotAllowed));
                    }
                    // Anybody may propose; one that a founder stands behind need not be said again.
                    let proposed = coalition.proposals().into_values().any(|proposal| {
                        matches!(&proposal.act, Act::Admit { member, .. } if member.root == desk.root)
                            && !proposal.approved.is_empty()
                    });
                    let Some(no) = coalition.next_agency(own.agency) else {
                        return Ok(Err(Refusal::NotAllowed));
                    };
                    let member = Member {
                        no,
                        name: name.clone(),
                        country: country.iter().map(|b| char::from(*b)).collect(),
                        root: desk.root,
                    };
                    let act = Act::Admit { member, cites: Vec::new() };
                    let propose = (Statement::Propose { number: 0, act }, None);
                    if coalition.charter().quorum > 1 {
                        // The applicant asks again when others agreed.
                        let mut batch = Batch::default();
                        if bound.is_none() {
                            batch.put(Space::Meta, bound_key, applicant);
                        }
                        if proposed {
                            self.apply(batch)?;
                            return Ok(Err(Refusal::Quorum));
                        }
                        return Ok(match self.state_beside(now, area, vec![propose], batch) {
                            Err(ActError::Store(error)) => return Err(error),
                            Err(_) => Err(Refusal::NotAllowed),
                            Ok(_) => Err(Refusal::Quorum),
                        });
                    }
                    vec![propose, certified]
                }
            }
            (Applicant::Device(card), Some(Terms { right, caveats })) => {
                if card.device != device || card.sponsor != self.device().0 || !card.holds() {
                    return Ok(Err(Refusal::NotAllowed));
                }
                let audience = Audience::Device { agency: own.agency, card: card.clone() };
                vec![(Statement::Grant { audience, right, caveats, reopening: None }, kem)]
            }
            _ => return Ok(Err(Refusal::NotAllowed)),
        };
        let name = invitation.name;
        let check = check_code(&self.device(), &device, &request.secret);
        let mut batch = Batch::default();
        batch.remove(Space::Meta, key);
        batch.remove(Space::Meta, bound_key);
        batch.put(Space::Meta, [b"check/".as_slice(), &device.0].concat(), check.into_bytes());
        if !name.is_empty() {
            batch.put(Space::Meta, [b"name/".as_slice(), &device.0].concat(), name);
        }
        match self.state_beside(now, area, statements, batch) {
            Ok(_) => {}
            Err(ActError::Store(error)) => return Err(error),
            Err(_) => return Ok(Err(Refusal::NotAllowed)),
        }
        self.welcome(now)?;
        Ok(Ok(()))
    }

    fn valid_invitation(
        &self,
        now: Now,
        in_time: bool,
        key: &[u8],
        coalition: &CoalitionId,
    ) -> Result<Option<Kept>, StoreError> {
        let kept = self.store.get(Space::Meta, key)?.and_then(|value| Kept::decode(&value));
        Ok(kept.filter(|kept| {
            kept.coalition == *coalition && (in_time || kept.expires.0 > now.wall.0)
        }))
    }

    /// Answers applicants whose statements are durable now, and tells that signatures are awaited where it is
    /// durable that we ask again.
    pub(super) fn answer_joins(&mut self, barrier: Barrier) {
        let told = self.joining.told.extract_if(.., |(covered_by, _)| *covered_by <= barrier);
        let refusal = Refusal::Quorum;
        let told = told.map(|(_, inviter)| Event::JoinRefused { inviter, refusal });
        self.outputs.extend(told.map(Output::Event));
        let durable = self.joining.welcomes.extract_if(.., |welcome| welcome.covered_by <= barrier);
        for Welcome { link, answer, .. } in durable.collect::<Vec<_>>() {
            self.say(link, Frame::JoinAnswer { answer: answer.encode() });
        }
    }

    /// An inviter said that signatures are awaited: the request is kept, and made again. It is told once that is
    /// durable.
    fn wait_for_quorum(&mut self, inviter: DeviceId) -> Result<(), StoreError> {
        let Some(asked) = self.joining.asked.get_mut(&inviter).filter(|asked| !asked.waits) else {
            return Ok(());
        };
        asked.waits = true;
        let mut batch = Batch::default();
        batch.put(Space::Meta, waiting_key(&inviter), asked.request.encode());
        self.apply(batch)?;
        self.joining.told.push((Barrier(self.next_barrier), inviter));
        Ok(())
    }

    pub(super) fn on_join_answer(
        &mut self,
        link: Link,
        answer: &[u8],
    ) -> Result<Result<(), PeerFault>, StoreError> {
        let Some(session) = self.sessions.get_mut(&link) else { return Ok(Ok(())) };
        let device = session.device;
        // Another link to the device may have brought the answer already.
        let asked = self.joining.asked(&device).map(|request| request.coalition);
        let answer = match JoinAnswer::decode(answer) {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(PeerFault::Malformed(error))),
        };
        match answer {
            JoinAnswer::Welcome(charter) => {
                let id = charter.id();
                let known = self.areas.contains_key(&CompartmentId(id.0));
                if asked.map_or(!known, |asked| asked != id) {
                    return Ok(Err(PeerFault::Introduction));
                }
                self.stop_asking(&device)?;
                if !known {
                    let mut batch = Batch::default();
                    self.create_area(&mut batch, coalition_body(charter));
                    self.apply(batch)?;
                    self.redraw()?;
                }
                if asked.is_some() {
                    self.outputs.push_back(Output::Event(Event::Joined(id)));
                }
                self.say_open(link);
            }
            JoinAnswer::Refused(refusal) => {
                // Where signatures are awaited, another answer is to come.
                if refusal == Refusal::Quorum {
                    self.wait_for_quorum(device)?;
                    return Ok(Ok(()));
                }
                self.stop_asking(&device)?;
                if asked.is_some() {
                    self.outputs
                        .push_back(Output::Event(Event::JoinRefused { inviter: device, refusal }));
                }
                if let Some(session) = self.sessions.get_mut(&link) {
                    session.phase = Phase::Awaiting;
                }
            }
        }
        Ok(Ok(()))
    }
}

fn waiting_key(inviter: &DeviceId) -> Vec<u8> {
    [WAITING_PREFIX, &inviter.0].concat()
}

/// Invitations are kept by the hash of their secret, so that the store does not give them away.
fn secret_key(prefix: &[u8], secret: &[u8; 16]) -> Vec<u8> {
    [prefix, &sha256(secret)].concat()
}
