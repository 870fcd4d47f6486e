//! The frontier of a compartment: which entries of which logs a peer holds, as a Merkle trie.
//!
//! Logs are contiguous, so a peer's state is a map from log to (next seq, head id). The map is kept
//! as a trie of 16 branches a level over the logs' digests, with the class as first nibble, so that
//! the urgent classes are compared first and two peers find what moved by descending only where
//! hashes differ: the cost grows with the number of logs that moved.
//!
//! A subtree with at most [`LEAVES_MAX`] logs is described by its leaves. Hashes are truncated to
//! 16 bytes: to hide a difference an attacker needs a second preimage, not a collision among values
//! of its own choice against honest ones.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::entry::NO_EPOCH;
use crate::entry::run::Head;
use crate::hash::{Digest, Domain};
use crate::id::{Class, CompartmentId, DeviceId, EntryId, LogId};

/// A truncated hash of a subtree.
pub type NodeHash = [u8; 16];

/// The hash of a subtree without logs.
pub const EMPTY: NodeHash = [0; 16];

/// Most leaves that describe a subtree; a larger one is described by its branches.
pub const LEAVES_MAX: usize = 16;
/// Longest path: the class and 31 nibbles of the log's digest.
pub const DEPTH_MAX: usize = 32;

/// A log's place in the trie: its class, then its digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogKey(pub [u8; 16]);

impl Ord for LogKey {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for LogKey {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl LogKey {
    /// The key of a log: class in the first nibble, then 31 nibbles of the log's digest.
    #[must_use]
    pub fn of(log: &LogId) -> Self {
        Self::of_class(log.class, &log.digest())
    }

    /// The key under which a device with too many incarnations is named, in place of its logs.
    #[must_use]
    pub fn of_excess(compartment: &CompartmentId, device: &DeviceId) -> Self {
        Self::of_class(Class::Authority, &excess_digest(compartment, device))
    }

    /// The key under which the authority entries are named that travel alone.
    #[must_use]
    pub fn of_strays(compartment: &CompartmentId) -> Self {
        Self::of_class(Class::Authority, &Domain::Strays.hash(&[&compartment.0]))
    }

    /// The key under which it is named that the branch is here which a mark chooses of a forked log.
    #[must_use]
    pub fn of_branch(log: &LogId) -> Self {
        Self::of_class(log.class, &Domain::ChosenBranch.hash(&[&log.digest()]))
    }

    fn of_class(class: Class, digest: &Digest) -> Self {
        let mut key = truncate(digest);
        if let Some(first) = key.first_mut() {
            *first = (class as u8) << 4 | *first & 0x0f;
        }
        Self(key)
    }

    /// Whether it is of a log of statements, or of what stands in the place of such.
    #[must_use]
    pub fn is_of_authority(&self) -> bool {
        self.nibble(0) == Class::Authority as u8
    }

    fn nibble(&self, depth: usize) -> u8 {
        let byte = self.0.get(depth / 2).copied().unwrap_or_default();
        if depth.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f }
    }
}

/// A path from the root: nibbles.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Prefix(Vec<u8>);

impl Prefix {
    /// The path of these nibbles; `None` if one is above 15 or there are too many.
    #[must_use]
    pub fn new(nibbles: Vec<u8>) -> Option<Self> {
        (nibbles.len() <= DEPTH_MAX && nibbles.iter().all(|n| *n < 16)).then_some(Self(nibbles))
    }

    /// The nibbles.
    #[must_use]
    pub fn nibbles(&self) -> &[u8] {
        &self.0
    }

    /// The path one branch further.
    #[must_use]
    pub fn child(&self, branch: u8) -> Self {
        let mut nibbles = self.0.clone();
        nibbles.push(branch & 0x0f);
        Self(nibbles)
    }

    /// Whether a key lies below this path.
    #[must_use]
    pub fn holds(&self, key: &LogKey) -> bool {
        self.0.iter().enumerate().all(|(depth, nibble)| key.nibble(depth) == *nibble)
    }
}

/// What a peer holds of one log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leaf {
    /// Which log.
    pub key: LogKey,
    /// Seq of the next entry.
    pub next: u64,
    /// The first bytes of the head's id; all their bits the other way round where the log is proven
    /// to be forked. Then seq and id are those of what all its branches share.
    pub head: [u8; 8],
}

/// How a subtree is described to a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subtree {
    /// By all its leaves, in order of key.
    Leaves(Vec<Leaf>),
    /// By its branches that hold anything, in order.
    Branches(Vec<(u8, NodeHash)>),
}

impl Subtree {
    /// How many leaves or branches describe it.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Leaves(leaves) => leaves.len(),
            Self::Branches(branches) => branches.len(),
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The frontier of one compartment.
#[derive(Debug, Default)]
pub struct Frontier {
    /// Heads are long, and are kept elsewhere, too: one copy of each.
    leaves: BTreeMap<LogKey, Arc<Head>>,
    forked: BTreeSet<LogKey>,
    /// Hashes of inner nodes, dropped along a path when a leaf below it moves.
    hashes: RefCell<BTreeMap<Node, NodeHash>>,
    /// The longest path of which there was one.
    hashed_depth: Cell<u8>,
}

impl Frontier {
    /// Sets a log's head. Of a log that is proven to be forked that is the end of what its branches
    /// share: whatever lies beyond it differs among peers for good.
    pub fn set(&mut self, key: LogKey, head: impl Into<Arc<Head>>) {
        self.leaves.insert(key, head.into());
        self.moved(&key);
    }

    /// Says that a log is proven to be forked, and where what its branches share ends. A peer without
    /// the proof sees a difference; peers with other branches see none.
    pub fn set_forked(&mut self, key: LogKey, shared: impl Into<Arc<Head>>) {
        self.forked.insert(key);
        self.set(key, shared);
    }

    /// Says that a device has too many incarnations: its logs are not named any more.
    pub fn set_excess(
        &mut self,
        compartment: &CompartmentId,
        device: &DeviceId,
        logs: impl Iterator<Item = LogKey>,
    ) {
        for key in logs {
            self.remove(&key);
        }
        let id = EntryId(excess_digest(compartment, device));
        let key = LogKey::of_excess(compartment, device);
        self.set(key, Head { next: 1, id, epoch: NO_EPOCH });
    }

    /// Names a log no more.
    pub fn remove(&mut self, key: &LogKey) {
        self.leaves.remove(key);
        self.forked.remove(key);
        self.moved(key);
    }

    /// Whether a log is named.
    #[must_use]
    pub fn is_named(&self, key: &LogKey) -> bool {
        self.leaves.contains_key(key)
    }

    /// Says which authority entries that travel alone are here, in order of id.
    pub fn set_strays<'a>(
        &mut self,
        compartment: &CompartmentId,
        ids: impl Iterator<Item = &'a EntryId>,
    ) {
        let mut parts: Vec<&[u8]> = vec![&compartment.0];
        parts.extend(ids.map(|id| id.0.as_slice()));
        let key = LogKey::of_strays(compartment);
        if parts.len() == 1 {
            self.remove(&key);
            return;
        }
        let next = parts.len() as u64 - 1;
        let id = EntryId(Domain::Strays.hash(&parts));
        self.set(key, Head { next, id, epoch: NO_EPOCH });
    }

    /// Says that of a forked log the branch is here that a mark chooses: so many of its entries, the last
    /// of which is this one; or that none is.
    pub fn set_branch(&mut self, log: &LogId, chosen: Option<(u64, EntryId)>) {
        let key = LogKey::of_branch(log);
        match chosen {
            Some((next, id)) => self.set(key, Head { next, id, epoch: NO_EPOCH }),
            None => self.remove(&key),
        }
    }

    /// Whether a log is said to be forked.
    #[must_use]
    pub fn is_forked(&self, key: &LogKey) -> bool {
        self.forked.contains(key)
    }

    /// A log as it is described to peers; of one that is not here, its beginning.
    #[must_use]
    pub fn leaf(&self, key: &LogKey) -> Leaf {
        self.describe_log((key, &self.head(key)))
    }

    fn moved(&mut self, key: &LogKey) {
        let hashes = self.hashes.get_mut();
        for depth in 0..=self.hashed_depth.get() {
            hashes.remove(&Node::above(key, depth));
        }
    }

    /// A log's head; the empty one where there is no such log.
    #[must_use]
    pub fn head(&self, key: &LogKey) -> Head {
        self.leaves.get(key).map_or(Head::EMPTY, |head| **head)
    }

    /// How many logs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there are no logs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The hash of everything.
    #[must_use]
    pub fn root(&self) -> NodeHash {
        self.hash_of(Node::default())
    }

    /// The hash of a subtree.
    #[must_use]
    pub fn hash(&self, prefix: &Prefix) -> NodeHash {
        self.hash_of(Node::at(prefix))
    }

    fn hash_of(&self, node: Node) -> NodeHash {
        if let Some(hash) = self.hashes.borrow().get(&node) {
            return *hash;
        }
        let mut parts = Vec::new();
        let hash = if self.is_large(node) {
            for (branch, hash) in self.branches(node) {
                parts.push(branch);
                parts.extend_from_slice(&hash);
            }
            Domain::FrontierNode.hash(&[&parts])
        } else {
            for (key, head) in self.below_node(node) {
                parts.extend_from_slice(&key.0);
                parts.extend_from_slice(&head.next.to_be_bytes());
                parts.extend_from_slice(&head.id.0);
                if self.forked.contains(key) {
                    parts.extend_from_slice(FORKED);
                }
            }
            if parts.is_empty() {
                return EMPTY;
            }
            Domain::FrontierLeaf.hash(&[&parts])
        };
        let hash = truncate(&hash);
        self.hashes.borrow_mut().insert(node, hash);
        self.hashed_depth.set(self.hashed_depth.get().max(node.depth));
        hash
    }

    /// Describes a subtree: by leaves where there are few, else by branches.
    #[must_use]
    pub fn describe(&self, prefix: &Prefix) -> Subtree {
        let node = Node::at(prefix);
        if self.is_large(node) {
            return Subtree::Branches(self.branches(node).collect());
        }
        Subtree::Leaves(self.below_node(node).map(|held| self.describe_log(held)).collect())
    }

    /// Whether it is described by branches.
    fn is_large(&self, node: Node) -> bool {
        usize::from(node.depth) < DEPTH_MAX && self.below_node(node).nth(LEAVES_MAX).is_some()
    }

    /// The branches that hold anything.
    fn branches(&self, node: Node) -> impl Iterator<Item = (u8, NodeHash)> {
        let branches = (0..16).map(move |branch| (branch, self.hash_of(node.child(branch))));
        branches.filter(|(_, hash)| *hash != EMPTY)
    }

    fn below_node(&self, node: Node) -> impl Iterator<Item = (&LogKey, &Head)> {
        self.leaves.range(node.span()).map(|(key, head)| (key, &**head))
    }

    fn describe_log(&self, (key, head): (&LogKey, &Head)) -> Leaf {
        let tag = head_tag(&head.id);
        let head_tag = if self.forked.contains(key) { forked_tag(tag) } else { tag };
        Leaf { key: *key, next: head.next, head: head_tag }
    }

    /// The logs below a path.
    pub fn below(&self, prefix: &Prefix) -> impl Iterator<Item = (&LogKey, &Head)> {
        self.below_node(Node::at(prefix))
    }
}

/// A place in the trie: the nibbles of its path, the first in the highest bits, and how many there are.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Node {
    depth: u8,
    path: u128,
}

impl Node {
    fn at(prefix: &Prefix) -> Self {
        prefix.0.iter().fold(Self::default(), |node, nibble| node.child(*nibble))
    }

    /// The one on the way to a key.
    const fn above(key: &LogKey, depth: u8) -> Self {
        let path = u128::from_be_bytes(key.0) & !Self::rest(depth);
        Self { depth, path }
    }

    const fn child(self, branch: u8) -> Self {
        let depth = self.depth.saturating_add(1);
        let shift = 128_u32.saturating_sub(4 * depth as u32);
        Self { depth, path: self.path | ((branch & 0x0f) as u128) << shift }
    }

    /// The bits that a path leaves open.
    const fn rest(depth: u8) -> u128 {
        match u128::MAX.checked_shr(4 * depth as u32) {
            Some(rest) => rest,
            None => 0,
        }
    }

    fn span(self) -> RangeInclusive<LogKey> {
        let key = |bits: u128| LogKey(bits.to_be_bytes());
        key(self.path)..=key(self.path | Self::rest(self.depth))
    }
}

fn excess_digest(compartment: &CompartmentId, device: &DeviceId) -> Digest {
    Domain::Excess.hash(&[&compartment.0, &device.0])
}

/// What the hash of a forked log's leaf ends with.
const FORKED: &[u8] = b"forked";

/// The first bytes of a head's id: enough to notice that two peers hold different branches.
#[must_use]
pub fn head_tag(id: &EntryId) -> [u8; 8] {
    let mut out = [0; 8];
    for (to, from) in out.iter_mut().zip(id.0) {
        *to = from;
    }
    out
}

/// The tag of a head up to which a forked log is shared.
#[must_use]
pub fn forked_tag(tag: [u8; 8]) -> [u8; 8] {
    tag.map(|byte| !byte)
}

fn truncate(digest: &Digest) -> NodeHash {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(digest) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;
    use crate::id::{DeviceId, EpochId, Incarnation};
    use proptest::prelude::*;

    fn key(n: u16) -> LogKey {
        let mut key = [0; 16];
        key.copy_from_slice(&sha256(&n.to_be_bytes())[..16]);
        key[0] = (n % 5) as u8 * 16 + key[0] % 16;
        LogKey(key)
    }

    fn head(next: u64) -> Head {
        Head { next, id: EntryId(sha256(&next.to_be_bytes())), epoch: EpochId([0; 32]) }
    }

    fn frontier(logs: &[(u16, u64)]) -> Frontier {
        let mut frontier = Frontier::default();
        for (n, next) in logs {
            frontier.set(key(*n), head(*next));
        }
        frontier
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_root_depends_on_the_state_and_not_on_how_it_came_about(
            steps in prop::collection::vec((0u16..200, 1u64..9), 0..300),
            peeks in prop::collection::vec(any::<bool>(), 300),
        ) {
            let mut grown = Frontier::default();
            let mut last = BTreeMap::new();
            for ((n, next), peek) in steps.iter().zip(&peeks) {
                grown.set(key(*n), head(*next));
                last.insert(*n, *next);
                if *peek {
                    let _ = grown.root();
                }
            }
            let fresh = frontier(&last.iter().map(|(n, next)| (*n, *next)).collect::<Vec<_>>());
            prop_assert_eq!(grown.root(), fresh.root());
            if let Some((n, next)) = last.into_iter().next() {
                grown.set(key(n), head(next + 100));
                prop_assert_ne!(grown.root(), fresh.root());
            }
        }
    }

    #[test]
    fn what_lies_beyond_a_fork_is_no_difference_and_knowing_of_it_is_one() {
        let (mut one, mut other) = (frontier(&[(1, 9), (2, 5)]), frontier(&[(1, 9), (2, 7)]));
        assert_ne!(one.root(), other.root());
        one.set_forked(key(2), head(3));
        other.set_forked(key(2), head(3));
        assert_eq!(one.root(), other.root());
        assert_eq!(one.leaf(&key(2)).head, forked_tag(head_tag(&head(3).id)));
        assert_ne!(one.root(), frontier(&[(1, 9), (2, 3)]).root());
        // Other entries before it are one, too.
        other.set_forked(key(2), Head { id: EntryId([1; 32]), ..head(3) });
        assert_ne!(one.root(), other.root());
        assert_eq!(one.leaf(&key(3)), Leaf { key: key(3), next: 0, head: [0; 8] });
    }

    #[test]
    fn entries_that_travel_alone_are_one_leaf_of_class_authority() {
        let id = CompartmentId([1; 32]);
        let ids = [1, 2].map(|n| EntryId([n; 32]));
        let mut frontier = frontier(&[(1, 9)]);
        let before = frontier.root();
        frontier.set_strays(&id, ids.iter());
        let both = frontier.root();
        frontier.set_strays(&id, ids[..1].iter());
        let one = frontier.root();
        assert!(before != both && both != one && one != before);
        assert_eq!(frontier.head(&LogKey::of_strays(&id)).next, 1);
        assert!(Prefix::default().child(0).holds(&LogKey::of_strays(&id)));
        frontier.set_strays(&id, [].iter());
        assert_eq!(frontier.root(), before);
    }

    #[test]
    fn a_chosen_branch_is_one_leaf_of_its_class() {
        let log = LogId {
            compartment: CompartmentId([1; 32]),
            class: Class::Priority,
            device: DeviceId([2; 32]),
            incarnation: Incarnation(3),
        };
        let mut frontier = frontier(&[(1, 9)]);
        let before = frontier.root();
        frontier.set_branch(&log, Some((7, EntryId([1; 32]))));
        let leaf = frontier.leaf(&LogKey::of_branch(&log));
        assert_eq!((leaf.next, leaf.head), (7, [1; 8]));
        assert!(Prefix::default().child(Class::Priority as u8).holds(&leaf.key));
        let named = frontier.root();
        frontier.set_branch(&log, Some((7, EntryId([2; 32]))));
        assert!(frontier.root() != named && named != before);
        frontier.set_branch(&log, None);
        assert_eq!(frontier.root(), before);
    }

    #[test]
    fn subtrees_are_described_by_leaves_up_to_the_bound_and_by_branches_past_it() {
        let at: Vec<_> = (0..LEAVES_MAX as u16).map(|n| (n, 1)).collect();
        assert!(
            matches!(frontier(&at).describe(&Prefix::default()), Subtree::Leaves(l) if l.len() == LEAVES_MAX)
        );
        let past: Vec<_> = (0..=LEAVES_MAX as u16).map(|n| (n, 1)).collect();
        assert!(
            matches!(frontier(&past).describe(&Prefix::default()), Subtree::Branches(b) if b.len() == 5)
        );
        assert_eq!(frontier(&[]).root(), EMPTY);
    }

    #[test]
    fn prefixes_hold_what_lies_below_them() {
        let full = frontier(&(0..100).map(|n| (n, 1)).collect::<Vec<_>>());
        let mut seen = 0;
        for branch in 0..16 {
            let prefix = Prefix::default().child(branch);
            for (key, _) in full.below(&prefix) {
                assert!(prefix.holds(key));
                seen += 1;
            }
        }
        assert_eq!(seen, 100);
        assert!(Prefix::new(vec![16]).is_none());
        assert!(Prefix::new(vec![0; DEPTH_MAX + 1]).is_none());
    }
}
