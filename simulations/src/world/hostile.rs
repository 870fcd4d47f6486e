//! What hostile posts do. The replica on them is the one that ships; what it sends is kept back, changed,
//! repeated or joined by noise on its way to the other end, which cannot tell the one from the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tearline_crdt::frontier::Subtree;
use tearline_mesh::wire::Frame;

use crate::agenda::Nanos;
use crate::draws::Draws;
use crate::plan::{Hostile, Plan};
use crate::quantity::MINUTE;

/// Most frames that a replayer keeps.
const KEPT_MAX: usize = 64;
/// A frame is old enough to be sent again when whatever was under way with it has arrived.
const OLD: Nanos = 5 * MINUTE;
/// Most times that a flooder sends a frame at once.
const FLOOD_MAX: u64 = 20;
/// Most bytes of noise.
const NOISE_MAX: u64 = 1_024;
/// No frame begins so.
const NO_FRAME: u8 = 0xff;

/// All hostile posts of a run, and how far it came to light what they do.
#[derive(Debug, Default)]
pub(crate) struct Hostiles {
    posts: BTreeMap<u32, State>,
    /// What colluders sent, with who did.
    pool: VecDeque<(Nanos, u32, Vec<u8>)>,
    /// Hostile posts against which somebody holds a fault.
    pub(crate) named: BTreeSet<u32>,
}

#[derive(Debug)]
struct State {
    kind: Hostile,
    draws: Draws,
    kept: VecDeque<(Nanos, Vec<u8>)>,
    /// Frames that are wrong whoever reads them, and that an honest post was given.
    noise: u64,
}

impl Hostiles {
    pub(crate) fn of(plan: &Plan) -> Self {
        let state = |(number, kind): (u32, Hostile)| {
            let draws = Draws::of(plan.seed, "hostile", u64::from(number));
            (number, State { kind, draws, kept: VecDeque::new(), noise: 0 })
        };
        let posts = (0..).zip(&plan.posts);
        let hostile = posts.filter_map(|(number, post)| Some((number, post.hostile?)));
        Self { posts: hostile.map(state).collect(), ..Self::default() }
    }

    /// What arrives in the place of a frame that a post sent.
    pub(crate) fn instead(
        &mut self,
        [from, to]: [u32; 2],
        now: Nanos,
        bytes: Vec<u8>,
    ) -> Vec<Vec<u8>> {
        let colludes = |post| self.posts.get(&post).is_some_and(|s| s.kind == Hostile::Colluder);
        if colludes(from) && colludes(to) {
            return vec![bytes];
        }
        let Some(State { kind, draws, kept, noise }) = self.posts.get_mut(&from) else {
            return vec![bytes];
        };
        match kind {
            Hostile::Dropper if carries_entries(&bytes) => vec![],
            Hostile::Withholder if is_withheld(&bytes) => vec![],
            Hostile::Dropper | Hostile::Withholder => vec![bytes],
            Hostile::Liar => {
                let lie = if draws.chance(0.3) { lie(&bytes, draws) } else { None };
                vec![lie.unwrap_or(bytes)]
            }
            Hostile::Colluder => {
                let old =
                    |(sent, by, _): &&(Nanos, u32, Vec<u8>)| *sent + OLD <= now && *by != from;
                let again: Vec<_> = self.pool.iter().filter(old).collect();
                let again = again.get(draws.below(again.len() as u64) as usize);
                let again = again.filter(|_| draws.chance(0.05)).map(|(_, _, frame)| frame.clone());
                if self.pool.len() >= KEPT_MAX {
                    self.pool.pop_front();
                }
                self.pool.push_back((now, from, bytes.clone()));
                let own = (!is_withheld(&bytes)).then_some(bytes);
                own.into_iter().chain(again).collect()
            }
            Hostile::Replayer => {
                let old: Vec<usize> = (0..kept.len())
                    .take_while(|at| kept.get(*at).is_some_and(|(sent, _)| *sent + OLD <= now))
                    .collect();
                let again = old.get(draws.below(old.len() as u64) as usize);
                let again = again.filter(|_| draws.chance(0.2)).and_then(|at| kept.get(*at));
                let again = again.map(|(_, frame)| frame.clone());
                if kept.len() >= KEPT_MAX {
                    kept.pop_front();
                }
                kept.push_back((now, bytes.clone()));
                std::iter::once(bytes).chain(again).collect()
            }
            Hostile::Flooder => {
                let times = if draws.chance(0.1) { draws.between(2, FLOOD_MAX) } else { 1 };
                let mut all = vec![bytes; times as usize];
                if draws.chance(0.01) {
                    let mut garbage = vec![0; draws.between(1, NOISE_MAX) as usize];
                    tearline_crdt::entropy::Entropy::fill(draws, &mut garbage);
                    garbage.first_mut().into_iter().for_each(|first| *first = NO_FRAME);
                    *noise += 1;
                    all.push(garbage);
                }
                all
            }
        }
    }

    /// A hostile post that sent noise to honest ones, and that none of them holds anything against.
    pub(crate) fn unnamed(&self) -> Option<u32> {
        let mut noisy = self.posts.iter().filter(|(_, state)| state.noise > 0);
        noisy.find(|(post, _)| !self.named.contains(post)).map(|(post, _)| *post)
    }
}

fn carries_entries(bytes: &[u8]) -> bool {
    let frame = Frame::decode(bytes);
    matches!(
        frame,
        Ok(Frame::Run { .. } | Frame::Piece { .. } | Frame::Stray { .. } | Frame::Fork { .. })
    )
}

/// Every other log, by its key, so that the rest of each compartment passes.
fn is_withheld(bytes: &[u8]) -> bool {
    match Frame::decode(bytes) {
        Ok(Frame::Run { key, .. }) => key.0.last().is_some_and(|byte| byte % 2 == 0),
        _ => false,
    }
}

/// The same frame with another frontier in it; `None` if it has none.
fn lie(bytes: &[u8], draws: &mut Draws) -> Option<Vec<u8>> {
    let mut frame = Frame::decode(bytes).ok()?;
    match &mut frame {
        Frame::Have { logs, .. } => {
            let (_, next) = logs.first_mut()?;
            *next = next.saturating_add(draws.between(1, 1_000));
        }
        Frame::Positions { positions, .. } => {
            let leaf = positions.first_mut()?;
            leaf.next = leaf.next.saturating_add(draws.between(1, 1_000));
            leaf.head = draws.next().to_be_bytes();
        }
        Frame::Nodes { nodes, .. } => {
            let (_, subtree) = nodes.first_mut()?;
            let Subtree::Leaves(leaves) = subtree else { return None };
            let leaf = leaves.first_mut()?;
            leaf.next = leaf.next.saturating_add(draws.between(1, 1_000));
            leaf.head = draws.next().to_be_bytes();
        }
        Frame::Open { digest, .. } => digest.iter_mut().for_each(|byte| *byte ^= 1),
        Frame::Hello { areas, .. } => {
            let (_, root) = areas.first_mut()?;
            root.iter_mut().for_each(|byte| *byte ^= 1);
        }
        _ => return None,
    }
    Some(frame.encode())
}
