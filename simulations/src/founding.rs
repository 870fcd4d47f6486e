//! How the coalition of a plan comes to be, before time begins.
//!
//! The first post of each agency that is no relay is its desk. The first desk founds, with all agencies as
//! founders; the desks enrol the other posts of theirs, as an invitation would; the desk of the first
//! agency of an audience opens the compartment. What the desks hold then is copied to the posts of their
//! agencies, without what only a desk may know: as if all had met once, in one place. A post opens its own
//! boxes from the copy.
#![expect(
    clippy::indexing_slicing,
    reason = "posts and agencies are numbered by the plan, whose numbers are its own"
)]

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use tearline_crdt::charter::{Charter, Member};
use tearline_crdt::entropy::Entropy as _;
use tearline_crdt::id::{AgencyNo, CoalitionId, CompartmentId};
use tearline_crdt::keys::Signer;
use tearline_crdt::record::label::Label;
use tearline_crdt::statement::{Audience, Caveats, DeskCertificate, Right};
use tearline_crdt::store::memory::Common;
use tearline_crdt::store::{Batch, Space, Store as _, StoreError};
use tearline_crdt::time::{Now, WallTime};
use tearline_mesh::invitation::{Applicant, Invited, JoinRequest};
use tearline_mesh::memo::Memo;
use tearline_mesh::replica::ActError;
use tearline_mesh::wire::Frame;
use tearline_mesh::{Input, Link, Output, Replica};

use crate::disk::Disk;
use crate::draws::Draws;
use crate::peer::{Peer, keys};
use crate::plan::Plan;
use crate::world::{RunError, Sabotage, moment};

/// A coalition whose posts all hold the same.
pub(crate) struct Founded {
    pub(crate) peers: Vec<Peer>,
    pub(crate) coalition: CoalitionId,
    /// By their numbers in the plan.
    pub(crate) compartments: Vec<CompartmentId>,
}

/// Links of the founding; those of the run begin after them.
pub(crate) const LINKS_OF_FOUNDING: u64 = 1 << 32;

/// Founds the coalition of a plan.
pub(crate) fn found(
    plan: &Plan,
    sabotage: Option<Sabotage>,
    memo: &Memo,
) -> Result<Founded, RunError> {
    let mut desks = Desks::found(plan, memo)?;
    desks.enrol(plan)?;
    let compartments = desks.open_compartments(plan, sabotage)?;
    let coalition = desks.coalition;
    let peers = desks.copy_to_all(plan, memo)?;
    Ok(Founded { peers, coalition, compartments })
}

/// What brings a device in again that is known already: the answer is the charter.
pub(crate) fn request_of(plan: &Plan, post: u32, coalition: CoalitionId) -> JoinRequest {
    let keys = keys(plan.seed, plan.original(post));
    let card = keys.card(keys.id().0);
    JoinRequest {
        coalition,
        secret: [0; 16],
        applicant: Applicant::Device(card),
        kem: keys.kem_key().clone(),
    }
}

struct Desks {
    /// The numbers of the desks' posts, by agency.
    posts: Vec<u32>,
    peers: Vec<Peer>,
    coalition: CoalitionId,
    now: Now,
    links: u64,
}

impl Desks {
    fn found(plan: &Plan, memo: &Memo) -> Result<Self, RunError> {
        let count = plan.agencies.len() as u32;
        let posts: Vec<u32> = (0..count).filter_map(|agency| plan.desk(agency)).collect();
        if posts.len() != plan.agencies.len() {
            return Err(RunError::Founding("an agency without a post that may read"));
        }
        let common = Common::default();
        let peers = posts
            .iter()
            .map(|post| Peer::new(plan.seed, *post, *post, Disk::empty(&common), memo.clone()));
        let mut peers = peers.collect::<Result<Vec<Peer>, StoreError>>()?;
        let founders = plan.agencies.iter().enumerate().map(|(agency, known)| Member {
            no: number(agency as u32),
            name: known.name.clone(),
            country: known.country.clone(),
            root: root(plan, agency as u32).public(),
        });
        let charter = Charter {
            name: plan.name.clone(),
            nonce: Draws::of(plan.seed, "charter", 0).array(),
            quorum: 1,
            limits_version: 1,
            erasure_delay_hours: 72,
            default_label: Vec::new(),
            agreement: None,
            founders: founders.collect(),
        };
        let now = moment(0, 0);
        let certificate = |agency: u32| {
            let keys = keys(plan.seed, posts[agency as usize]);
            DeskCertificate::sign(&root(plan, agency), &keys, None)
        };
        let first = replica(&mut peers[0])?;
        let coalition = first.found(now, charter, certificate(0))?.value;
        settle(first, now)?;
        for agency in 1..count {
            let kem = keys(plan.seed, posts[agency as usize]).kem_key().clone();
            first.certify(now, coalition, certificate(agency), &kem)?;
            settle(first, now)?;
        }
        let mut desks = Self { posts, peers, coalition, now, links: 0 };
        let inviter = desks.peers[0].device;
        for agency in 1..count as usize {
            let request = request_of(plan, desks.posts[agency], coalition);
            replica(&mut desks.peers[agency])?.join(inviter, request);
            desks.meet(agency, 0)?;
        }
        Ok(desks)
    }

    /// Each desk brings in the other posts of its agency.
    fn enrol(&mut self, plan: &Plan) -> Result<(), RunError> {
        for (number, post) in plan.posts.iter().enumerate() {
            let (agency, number) = (post.agency as usize, number as u32);
            if self.posts[agency] == number || post.copies.is_some() {
                continue;
            }
            let keys = keys(plan.seed, number);
            let (now, coalition) = (self.now, self.coalition);
            self.links += 1;
            let link = Link(self.links);
            let desk = replica(&mut self.peers[agency])?;
            let card = keys.card(desk.device().0);
            if post.relay {
                let audience = Audience::Device { agency: self::number(post.agency), card };
                let caveats = Caveats::default();
                desk.grant(now, CompartmentId(coalition.0), audience, Right::Relay, caveats, None)?;
                settle(desk, now)?;
                continue;
            }
            let invited = Invited::Device { history: true };
            let expires = WallTime(now.wall.0 + 3_600_000);
            let secret = desk.invite(coalition, invited, expires, vec![], "")?.value.secret;
            let applicant = Applicant::Device(card);
            let request = JoinRequest { coalition, secret, applicant, kem: keys.kem_key().clone() };
            desk.handle(now, Input::Up { link, device: keys.id(), dialer: false, thin: false })?;
            let bytes = Frame::Join { request: request.encode() }.encode();
            desk.handle(now, Input::Frame { link, bytes })?;
            settle(desk, now)?;
            desk.handle(now, Input::Down { link })?;
            settle(desk, now)?;
        }
        // To the first desk, and back to all.
        for _ in 0..2 {
            for agency in 1..self.peers.len() {
                self.meet(agency, 0)?;
            }
        }
        Ok(())
    }

    fn open_compartments(
        &mut self,
        plan: &Plan,
        sabotage: Option<Sabotage>,
    ) -> Result<Vec<CompartmentId>, RunError> {
        let mut ids = Vec::new();
        for compartment in &plan.compartments {
            let mut audience: BTreeSet<u32> = compartment.audience.iter().copied().collect();
            if sabotage == Some(Sabotage::WrongAudience) {
                audience.extend(0..self.peers.len() as u32);
            }
            let Some(opener) = audience.first().map(|agency| *agency as usize) else { continue };
            let numbers = audience.iter().map(|agency| number(*agency)).collect();
            let (now, coalition) = (self.now, self.coalition);
            let desk = replica(&mut self.peers[opener])?;
            ids.push(desk.open_another(now, coalition, numbers, &compartment.name)?.value);
            settle(desk, now)?;
            for agency in audience {
                if agency as usize != opener {
                    self.meet(agency as usize, opener)?;
                }
            }
        }
        Ok(ids)
    }

    /// Two desks meet until neither has anything to say.
    fn meet(&mut self, dialer: usize, listener: usize) -> Result<(), RunError> {
        self.links += 1;
        let (link, now) = (Link(self.links), self.now);
        let devices = [self.peers[dialer].device, self.peers[listener].device];
        let up = |device, dialer| Input::Up { link, device, dialer, thin: false };
        replica(&mut self.peers[listener])?.handle(now, up(devices[0], false))?;
        replica(&mut self.peers[dialer])?.handle(now, up(devices[1], true))?;
        loop {
            let mut silent = true;
            for (from, to) in [(dialer, listener), (listener, dialer)] {
                while let Some(output) = replica(&mut self.peers[from])?.poll_output() {
                    silent = false;
                    match output {
                        Output::Send { urgency, bytes, .. } => {
                            let sent = Input::Sent { link, urgency };
                            replica(&mut self.peers[from])?.handle(now, sent)?;
                            replica(&mut self.peers[to])?
                                .handle(now, Input::Frame { link, bytes })?;
                        }
                        Output::Flush { barrier } => {
                            let replica = replica(&mut self.peers[from])?;
                            replica.store_mut().flush()?;
                            replica.handle(now, Input::Flushed { barrier })?;
                        }
                        Output::Close { .. } => {
                            return Err(RunError::Founding("desks that fell out"));
                        }
                        Output::Vouch { .. } | Output::Unvouch { .. } | Output::Event(_) => {}
                    }
                }
            }
            if silent {
                break;
            }
        }
        for end in [dialer, listener] {
            let replica = replica(&mut self.peers[end])?;
            replica.handle(now, Input::Down { link })?;
            settle(replica, now)?;
        }
        Ok(())
    }

    fn copy_to_all(mut self, plan: &Plan, memo: &Memo) -> Result<Vec<Peer>, RunError> {
        let mut copies = Vec::new();
        for peer in &mut self.peers {
            let mut copy = replica(peer)?.store().clone();
            forget_secrets(&mut copy)?;
            copy.memory.share();
            copies.push(copy);
        }
        let mut desks: Vec<Option<Peer>> = self.peers.into_iter().map(Some).collect();
        let mut peers = Vec::new();
        for (number, post) in plan.posts.iter().enumerate() {
            let agency = post.agency as usize;
            let is_desk = self.posts[agency] == number as u32;
            let desk = desks[agency].take_if(|_| is_desk);
            let mut peer = match desk {
                Some(desk) => desk,
                None => {
                    let number = number as u32;
                    let disk = copies[agency].clone();
                    Peer::new(plan.seed, number, plan.original(number), disk, memo.clone())?
                }
            };
            peer.clock = post.clock;
            let replica = replica(&mut peer)?;
            replica.handle(self.now, Input::Tick)?;
            settle(replica, self.now)?;
            peer.seen();
            peers.push(peer);
        }
        Ok(peers)
    }
}

/// Carries out what a replica owes when nobody is connected.
fn settle(replica: &mut Replica<Disk>, now: Now) -> Result<(), StoreError> {
    while let Some(output) = replica.poll_output() {
        match output {
            Output::Flush { barrier } => {
                replica.store_mut().flush()?;
                replica.handle(now, Input::Flushed { barrier })?;
            }
            Output::Send { link, urgency, .. } => {
                replica.handle(now, Input::Sent { link, urgency })?;
            }
            Output::Close { .. }
            | Output::Vouch { .. }
            | Output::Unvouch { .. }
            | Output::Event(_) => {}
        }
    }
    Ok(())
}

/// Takes out of a copied store what its own device alone holds.
fn forget_secrets(store: &mut Disk) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    store.scan(Space::Secrets, &[], &[], &mut |key, _| {
        batch.remove(Space::Secrets, key);
        ControlFlow::Continue(())
    })?;
    store.apply(batch)?;
    store.flush()
}

fn replica(peer: &mut Peer) -> Result<&mut Replica<Disk>, RunError> {
    peer.replica.as_mut().ok_or(RunError::Founding("a peer that is down"))
}

/// An agency's number in the charter.
const fn number(agency: u32) -> AgencyNo {
    AgencyNo(agency as u16 + 1)
}

fn root(plan: &Plan, agency: u32) -> Signer {
    Signer::from_seed(&Draws::of(plan.seed, "root", u64::from(agency)).array())
}

/// The label of every record: the founding has no other, and labels decide nothing of what travels.
pub(crate) fn label() -> Result<Label, RunError> {
    "TLP:AMBER".parse().map_err(|_| RunError::Founding("a label that does not read"))
}

impl From<ActError> for RunError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Store(error) => Self::Store(error),
            error => Self::Act(error.to_string()),
        }
    }
}
