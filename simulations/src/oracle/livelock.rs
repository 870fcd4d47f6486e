//! No livelock: between two peers that have no news, frames come to an end.
//!
//! Comparing costs a few frames for each log that differs, and a transfer brings news with every flush. A
//! link on which more frames than that arrive while neither end stores anything new goes in circles. What gossip says
//! to keep its trees is not counted: it comes as long as a link is up.

use super::Found;
use crate::world::World;

/// Frames without news, beside those for logs.
const FRAMES_MAX: usize = 256;
/// The same for each log that either end holds.
const FRAMES_PER_LOG_MAX: usize = 4;

pub(crate) fn check(world: &World, line: u32) -> Option<Found> {
    let line = world.lines.get(line as usize)?;
    let honest = line.plan.between.iter().all(|post| world.is_honest(*post));
    if (line.idle_frames as usize) < FRAMES_MAX || !honest {
        return None;
    }
    let posts = line.plan.between.iter().filter_map(|post| world.peers.get(*post as usize));
    let replicas = posts.filter_map(|peer| peer.replica.as_ref());
    let logs: usize = replicas.map(|replica| replica.logbook().logs().count()).sum();
    let most = FRAMES_MAX + FRAMES_PER_LOG_MAX * logs;
    if line.idle_frames as usize <= most {
        return None;
    }
    let name = |post: u32| world.plan.posts.get(post as usize).map_or("", |p| p.name.as_str());
    let [a, b] = line.plan.between;
    let (a, b, frames) = (name(a), name(b), line.idle_frames);
    Some(Found(format!(
        "{a} and {b} exchanged {frames} frames, and neither has anything new by them"
    )))
}
