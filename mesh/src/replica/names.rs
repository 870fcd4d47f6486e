//! Names: what areas, their roots and the pair digest are called in one session.
//!
//! All are hashed with the session's nonce and its two ends. Who does not hold an area learns nothing
//! from its name, and nobody learns from two sessions, or two peers, whether they speak of the same.

use std::collections::BTreeMap;

use tearline_crdt::frontier::NodeHash;
use tearline_crdt::hash::Domain;
use tearline_crdt::id::{CoalitionId, CompartmentId, DeviceId};
use tearline_crdt::store::Store;

use super::session::{Phase, Session};
use super::{Link, Replica};
use crate::bundle;
use crate::wire::Tag;

impl<S: Store> Replica<S> {
    /// Both hold an area.
    pub(super) fn share(&mut self, link: Link, id: CompartmentId) {
        self.name(link, id);
        if let Some(session) = self.sessions.get_mut(&link) {
            session.shared.insert(id);
        }
    }

    /// The peer may name an area from now on.
    pub(super) fn name(&mut self, link: Link, id: CompartmentId) {
        let tag = self.tag_of(link, &id);
        if let Some(session) = self.sessions.get_mut(&link) {
            session.names.insert(tag, id);
        }
    }

    /// The areas in which a device has a right, as far as we know, and their roots.
    pub(super) fn roots_for(&self, device: &DeviceId) -> BTreeMap<CompartmentId, NodeHash> {
        let theirs = self.areas.iter().filter(|(id, _)| self.right(**id, device).is_some());
        theirs.map(|(id, area)| (*id, area.frontier.root())).collect()
    }

    /// Whether a peer may hear how far logs of an area are here: it has a right there, or we asked it
    /// for the coalition's statements, because it may bring that of its own admission.
    pub(super) fn may_hear(&self, link: Link, id: CompartmentId) -> bool {
        let Some(session) = self.sessions.get(&link) else { return false };
        let asked = session.dialer && self.coalition(CoalitionId(id.0)).is_some();
        asked || self.right(id, &session.device).is_some()
    }

    /// The digest of all that a device and we should both hold, as far as we know.
    #[must_use]
    pub fn pair_digest(&self, device: &DeviceId) -> NodeHash {
        let mut parts = Vec::new();
        let own = self.device();
        let shared = self.roots_for(device).into_iter();
        for (id, root) in shared.filter(|(id, _)| self.right(*id, &own).is_some()) {
            parts.extend_from_slice(&id.0);
            parts.extend_from_slice(&root);
        }
        let digest = Domain::PairDigest.hash(&[&parts]);
        let mut out = NodeHash::default();
        out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        out
    }

    /// The pair digest as this session says it.
    pub(super) fn own_digest(&self, link: Link) -> NodeHash {
        let Some(session) = self.sessions.get(&link) else { return NodeHash::default() };
        self.blind(session, None, self.pair_digest(&session.device))
    }

    /// The name for this session of every area that is followed, and its root. Who does not know the compartment learns
    /// nothing from either.
    pub(super) fn roots(&self, link: Link) -> Vec<(Tag, CompartmentId, NodeHash)> {
        let Some(session) = self.sessions.get(&link) else { return Vec::new() };
        self.areas
            .iter()
            .filter(|(id, _)| self.follows(id))
            .map(|(id, area)| {
                let root = self.blind(session, Some(id), area.frontier.root());
                (self.tag(session, id), *id, root)
            })
            .collect()
    }

    /// What an area's root, or without an area the pair digest, is called in this session: another
    /// name in every session, so that it says nothing but whether two are equal.
    pub(super) fn blind(
        &self,
        session: &Session,
        id: Option<&CompartmentId>,
        hash: NodeHash,
    ) -> NodeHash {
        let (dialer, listener) = self.ends(session);
        let id = id.map_or([0; 32], |id| id.0);
        let parts: [&[u8]; 5] = [&id, &session.nonce, &dialer.0, &listener.0, &hash];
        let mut out = NodeHash::default();
        let hash = Domain::SessionRoot.hash(&parts);
        out.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        out
    }

    /// What a root is called in a session.
    pub(super) fn blind_root(&self, link: Link, id: CompartmentId, root: NodeHash) -> NodeHash {
        let session = self.sessions.get(&link);
        session.map_or(root, |session| self.blind(session, Some(&id), root))
    }

    fn ends(&self, session: &Session) -> (DeviceId, DeviceId) {
        let own = self.device();
        if session.dialer { (own, session.device) } else { (session.device, own) }
    }

    fn tag(&self, session: &Session, id: &CompartmentId) -> Tag {
        if let Phase::Bundle(name) = &session.phase {
            return bundle::tag(name, id);
        }
        let (dialer, listener) = self.ends(session);
        let hash = Domain::SessionTag.hash(&[&id.0, &session.nonce, &dialer.0, &listener.0]);
        let mut tag = Tag::default();
        tag.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        tag
    }

    pub(super) fn tag_of(&self, link: Link, id: &CompartmentId) -> Tag {
        self.sessions.get(&link).map(|session| self.tag(session, id)).unwrap_or_default()
    }

    /// The area that a peer names. One who names it holds it.
    pub(super) fn area_of(&mut self, link: Link, tag: Tag) -> Option<CompartmentId> {
        let session = self.sessions.get_mut(&link)?;
        let id = *session.names.get(&tag)?;
        session.shared.insert(id);
        Some(id)
    }

    /// Names the areas in which the peer has a right, as far as is known here. The peer may hold
    /// more that we do, and says so by their names.
    pub(super) fn named_roots(&mut self, link: Link) -> Vec<(Tag, NodeHash)> {
        let Some(session) = self.sessions.get(&link) else { return Vec::new() };
        let device = session.device;
        let mut named = self.roots(link);
        named.retain(|(_, id, _)| self.right(*id, &device).is_some());
        if let Some(session) = self.sessions.get_mut(&link) {
            session.names.extend(named.iter().map(|(tag, id, _)| (*tag, *id)));
        }
        let mut roots: Vec<_> = named.into_iter().map(|(tag, _, root)| (tag, root)).collect();
        roots.sort_unstable();
        roots
    }
}
