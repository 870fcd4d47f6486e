//! Shrinking: from a run that breaks to a small scenario in which the same oracle still finds something.
//!
//! The plan is what is made smaller, because everything in it is written out: its end comes earlier, then
//! faults, posts, links and writes are left out, in halves first and one by one at last (delta debugging:
//! Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input"), and what is left of loss,
//! jitter and wrong clocks is set right. That is repeated until nothing more can go.

use crate::agenda::Nanos;
use crate::plan::{Fault, Line, Plan, Post, Write};
use crate::quantity::MINUTE;
use crate::sweep::{Broke, attempt};
use crate::world::Sabotage;

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest plan that was found.
    pub plan: Plan,
    /// What breaks in it.
    pub broke: Broke,
    /// How many runs it took.
    pub runs: usize,
    /// Whether nothing more could be left out; otherwise the runs were used up.
    pub complete: bool,
}

/// Shrinks a plan, in at most so many runs. `None` if it does not break.
#[must_use]
pub fn shrink(plan: &Plan, runs_max: usize, sabotage: Option<Sabotage>) -> Option<Shrunk> {
    let broke = attempt(plan, sabotage).err()?;
    let mut search = Search { plan: plan.clone(), broke, sabotage, runs: 1, runs_max };
    let complete = search.go();
    let Search { plan, broke, runs, .. } = search;
    Some(Shrunk { plan, broke, runs, complete })
}

struct Search {
    plan: Plan,
    broke: Broke,
    sabotage: Option<Sabotage>,
    runs: usize,
    runs_max: usize,
}

impl Search {
    /// Whether it came to where nothing more can go.
    fn go(&mut self) -> bool {
        loop {
            let before = self.plan.to_toml();
            self.end_earlier();
            self.leave_out(
                |plan| plan.faults.len(),
                |plan, keep| plan.faults = kept(&plan.faults, keep),
            );
            self.leave_out_posts();
            self.leave_out(
                |plan| plan.lines.len(),
                |plan, keep| plan.lines = kept(&plan.lines, keep),
            );
            self.leave_out(
                |plan| plan.writes.len(),
                |plan, keep| plan.writes = kept(&plan.writes, keep),
            );
            self.set_right();
            if self.runs >= self.runs_max {
                return false;
            }
            if self.plan.to_toml() == before {
                return true;
            }
        }
    }

    /// Takes a smaller plan if the same breaks in it.
    fn take(&mut self, smaller: Plan) -> bool {
        // Posts that nothing joins can never hold the same: that would be another finding.
        if self.runs >= self.runs_max || smaller.island().is_some() {
            return false;
        }
        self.runs += 1;
        match attempt(&smaller, self.sabotage) {
            Err(broke) if broke.is_as(&self.broke) => {
                (self.plan, self.broke) = (smaller, broke);
                true
            }
            _ => false,
        }
    }

    fn end_earlier(&mut self) {
        loop {
            let length = self.plan.length / 2;
            if length < MINUTE || !self.take(until(&self.plan, length)) {
                break;
            }
        }
        let mut smaller = self.plan.clone();
        smaller.tail = 0;
        if self.plan.tail > 0 {
            self.take(smaller);
        }
    }

    /// Leaves out pieces of a list: halves, quarters, and so on to single ones.
    fn leave_out(
        &mut self,
        count: fn(&Plan) -> usize,
        keep: fn(&mut Plan, &dyn Fn(usize) -> bool),
    ) {
        let mut size = count(&self.plan).div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < count(&self.plan) {
                let mut smaller = self.plan.clone();
                keep(&mut smaller, &|at| at < from || at >= from + size);
                if !self.take(smaller) {
                    from += size;
                }
                if self.runs >= self.runs_max {
                    return;
                }
            }
            size /= 2;
        }
    }

    fn leave_out_posts(&mut self) {
        let mut at = self.plan.posts.len();
        while at > 0 {
            at -= 1;
            if let Some(smaller) = without(&self.plan, at as u32) {
                self.take(smaller);
            }
        }
    }

    fn set_right(&mut self) {
        let changes: [fn(&mut Plan); 5] = [
            |plan| plan.posts.iter_mut().for_each(|post| post.hostile = None),
            |plan| plan.lines.iter_mut().for_each(|line| line.loss = 0.0),
            |plan| plan.lines.iter_mut().for_each(|line| line.jitter = 0),
            |plan| plan.lines.iter_mut().for_each(|line| line.windows = None),
            |plan| plan.posts.iter_mut().for_each(|post| post.clock = 0),
        ];
        for change in changes {
            let mut smaller = self.plan.clone();
            change(&mut smaller);
            if smaller.to_toml() != self.plan.to_toml() {
                self.take(smaller);
            }
        }
    }
}

fn kept<T: Clone>(all: &[T], keep: &dyn Fn(usize) -> bool) -> Vec<T> {
    all.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, one)| one.clone()).collect()
}

/// The same plan with an earlier end.
fn until(plan: &Plan, length: Nanos) -> Plan {
    let mut smaller = plan.clone();
    smaller.length = length;
    smaller.writes.retain(|write| write.at < length);
    smaller.faults.retain(|fault| fault.at < length);
    let horizon = smaller.horizon();
    for line in &mut smaller.lines {
        if let Some(windows) = &mut line.windows {
            windows.retain(|(from, _)| *from < horizon);
        }
    }
    smaller
}

/// The same plan without a post; with it goes its agency, if that has no other that may read.
fn without(plan: &Plan, gone: u32) -> Option<Plan> {
    let agency = plan.posts.get(gone as usize)?.agency;
    let others = (0..).zip(&plan.posts).filter(|(at, post)| *at != gone && post.agency == agency);
    let mut smaller = plan.clone();
    let copies = (0..).zip(&plan.posts).filter(|(_, post)| post.copies == Some(gone));
    let mut posts_gone: Vec<u32> = copies.map(|(at, _)| at).collect();
    let reads = |(_, post): (u32, &Post)| !post.relay && post.copies.is_none();
    if others.clone().any(reads) {
        posts_gone.push(gone);
    } else {
        // Only relays are left of it; a compartment without readers goes, too.
        let mut all: Vec<u32> = others.map(|(at, _)| at).collect();
        all.push(gone);
        let lower = |number: &u32| number - u32::from(*number > agency);
        smaller.agencies.remove(agency as usize);
        for compartment in &mut smaller.compartments {
            compartment.audience.retain(|member| *member != agency);
            compartment.audience = compartment.audience.iter().map(lower).collect();
        }
        smaller.posts.iter_mut().for_each(|post| post.agency = lower(&post.agency));
        if smaller.agencies.is_empty() || smaller.compartments.iter().any(|c| c.audience.is_empty())
        {
            return None;
        }
        posts_gone = all;
    }
    let lower = |post: u32| post - posts_gone.iter().filter(|other| **other < post).count() as u32;
    let stays = |post: &u32| !posts_gone.contains(post);
    smaller.posts = kept(&smaller.posts, &|at| stays(&(at as u32)));
    smaller.posts.iter_mut().for_each(|post| post.copies = post.copies.map(lower));
    smaller.lines.retain(|Line { between, .. }| between.iter().all(stays));
    smaller.lines.iter_mut().for_each(|line| line.between = line.between.map(lower));
    smaller.writes.retain(|Write { by, .. }| stays(by));
    smaller.writes.iter_mut().for_each(|write| write.by = lower(write.by));
    for Fault { posts, .. } in &mut smaller.faults {
        posts.retain(stays);
        posts.iter_mut().for_each(|post| *post = lower(*post));
    }
    smaller.faults.retain(|fault| !fault.posts.is_empty());
    Some(smaller)
}
