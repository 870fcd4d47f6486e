//! How far behind each post was, and in how many parts the mesh lay, over the time of a run.
//!
//! A post is as *stale* as the oldest record that it is to have and that has not come: it decides on a
//! picture that is so old. The mesh lies in *parts* where no chain of contacts joins posts at a moment; a
//! device that is down is no part. Both are looked at in the middle of equal steps until the contacts end.

use crate::agenda::{NEVER, Nanos};
use crate::plan::{FaultKind, Plan};
use crate::world::World;

/// Steps of a run.
pub const STEPS: usize = 96;

/// How far behind posts were.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Staleness {
    /// How long a step is.
    pub step: Nanos,
    /// Of each post that reads anything: its name, and its staleness in each step.
    pub posts: Vec<(String, Vec<Nanos>)>,
}

/// In how many parts the mesh lay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Parts {
    /// Posts that were up.
    pub up: usize,
    /// Parts that these lay in.
    pub parts: usize,
    /// Posts in the largest.
    pub largest: usize,
}

impl Staleness {
    pub(crate) fn measured(world: &World) -> Self {
        let (plan, step) = (&world.plan, step_of(&world.plan));
        let mut oldest = vec![[NEVER; STEPS]; plan.posts.len()];
        for record in world.books.records.iter().filter(|record| world.is_honest(record.by)) {
            for ((post, had), oldest) in (0..).zip(&record.had).zip(&mut oldest) {
                if post == record.by || !plan.reads(post, record.compartment) {
                    continue;
                }
                let missing = steps_within(record.at, *had, step);
                for first in oldest.get_mut(missing).into_iter().flatten() {
                    *first = (*first).min(record.at);
                }
            }
        }
        let reads = |post: u32| (0..plan.compartments.len() as u32).any(|c| plan.reads(post, c));
        let posts = (0..).zip(&plan.posts).zip(oldest);
        let posts = posts.filter(|((post, _), _)| world.is_honest(*post) && reads(*post));
        let posts = posts.map(|((_, post), oldest)| {
            let middles = (0..STEPS).map(|number| middle(number, step));
            let ages = middles.zip(oldest).map(|(now, first)| now.saturating_sub(first));
            (post.name.clone(), ages.collect())
        });
        Self { step, posts: posts.collect() }
    }

    /// The mean over all posts in each step.
    #[must_use]
    pub fn means(&self) -> Vec<Nanos> {
        let count = self.posts.len().max(1) as u128;
        let sum = |number: usize| -> u128 {
            let ages = self.posts.iter().filter_map(|(_, ages)| ages.get(number));
            ages.map(|age| u128::from(*age)).sum()
        };
        (0..STEPS).map(|number| (sum(number) / count) as Nanos).collect()
    }
}

/// The steps whose middles lie from a moment to before another.
fn steps_within(from: Nanos, to: Nanos, step: Nanos) -> std::ops::Range<usize> {
    let first_after = |at: Nanos| {
        let at = at.saturating_sub(step / 2);
        usize::try_from(at.div_ceil(step.max(1))).unwrap_or(STEPS).min(STEPS)
    };
    let from = first_after(from);
    from..first_after(to).max(from)
}

const fn middle(number: usize, step: Nanos) -> Nanos {
    number as Nanos * step + step / 2
}

fn step_of(plan: &Plan) -> Nanos {
    (plan.horizon() / STEPS as Nanos).max(1)
}

impl Parts {
    /// In each step, by what the plan says of contacts and faults.
    #[must_use]
    pub fn of(plan: &Plan) -> Vec<Self> {
        (0..STEPS).map(|number| Self::at(plan, middle(number, step_of(plan)))).collect()
    }

    fn at(plan: &Plan, now: Nanos) -> Self {
        let on = plan
            .faults
            .iter()
            .filter(|fault| (fault.at..fault.at.saturating_add(fault.lasts.max(1))).contains(&now));
        let (mut down, mut cuts) = (vec![false; plan.posts.len()], Vec::new());
        for fault in on {
            match fault.kind {
                FaultKind::Crash
                | FaultKind::LostDisk
                | FaultKind::RolledBack
                | FaultKind::FullDisk => fault.posts.iter().for_each(|post| {
                    down.get_mut(*post as usize).into_iter().for_each(|down| *down = true);
                }),
                FaultKind::Partition | FaultKind::Clog => cuts.push(fault),
                FaultKind::OneWay
                | FaultKind::ClockJump
                | FaultKind::Seized
                | FaultKind::Cleared => {}
            }
        }
        let is_up = |post: &u32| down.get(*post as usize) == Some(&false);
        let mut leaders: Vec<u32> = (0..plan.posts.len() as u32).collect();
        for line in &plan.lines {
            let open = line.windows.as_ref().is_none_or(|windows| {
                let next = windows.partition_point(|(_, to)| *to <= now);
                windows.get(next).is_some_and(|(from, _)| *from <= now)
            });
            let [a, b] = line.between;
            let side = |post: u32| move |posts: &Vec<u32>| posts.contains(&post);
            let cut = cuts.iter().any(|cut| side(a)(&cut.posts) != side(b)(&cut.posts));
            if open && !cut && is_up(&a) && is_up(&b) {
                let (a, b) = (leader(&mut leaders, a), leader(&mut leaders, b));
                leaders.get_mut(a as usize).into_iter().for_each(|leader| *leader = b);
            }
        }
        let mut sizes = vec![0_usize; plan.posts.len()];
        for post in (0..plan.posts.len() as u32).filter(is_up) {
            let leader = leader(&mut leaders, post);
            sizes.get_mut(leader as usize).into_iter().for_each(|size| *size += 1);
        }
        Self {
            up: sizes.iter().sum(),
            parts: sizes.iter().filter(|size| **size > 0).count(),
            largest: sizes.into_iter().max().unwrap_or(0),
        }
    }
}

/// Who stands for the part of a post; the way there is made shorter.
fn leader(leaders: &mut [u32], post: u32) -> u32 {
    let mut at = post;
    while let Some(next) = leaders.get(at as usize).copied().filter(|next| *next != at) {
        let beyond = leaders.get(next as usize).copied().unwrap_or(next);
        leaders.get_mut(at as usize).into_iter().for_each(|leader| *leader = beyond);
        at = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Changes;
    use crate::quantity::HOUR;
    use crate::scenario::Scenario;

    #[test]
    fn a_step_counts_where_its_middle_lies() {
        assert_eq!(steps_within(0, 100, 10), 0..10);
        assert_eq!(steps_within(5, 6, 10), 0..1);
        assert_eq!(steps_within(6, 14, 10), 1..1);
        assert_eq!(steps_within(6, 16, 10), 1..2);
        assert_eq!(steps_within(90, NEVER, 10), 9..STEPS);
    }

    #[test]
    fn a_mesh_lies_in_as_many_parts_as_contacts_and_faults_leave() {
        let text = "name = \"x\"\nabout = \"\"\nlength = \"8 h\"\nsettle = \"1 h\"\n\
             agency = [{ country = \"NE\", name = \"A\" }]\n\
             post = [{ name = \"a\", agency = \"NE\" }, { name = \"b\", agency = \"NE\" },\n\
                     { name = \"c\", agency = \"NE\" }]\n\
             compartment = [{ name = \"all\", audience = [\"NE\"] }]\n\
             [[link]]\nfrom = \"a\"\nto = \"b\"\nrate = \"1 Mbit/s\"\nwindows = [[\"0 h\", \"4 h\"]]\n\
             [[link]]\nfrom = \"b\"\nto = \"c\"\nrate = \"1 Mbit/s\"\n\
             [[fault]]\nat = \"2 h\"\nkind = \"partition\"\nposts = [\"c\"]\nlasts = \"1 h\"\n\
             [[fault]]\nat = \"6 h\"\nkind = \"crash\"\nposts = [\"c\"]\nlasts = \"1 h\"\n";
        let plan = Plan::of(&Scenario::parse(text, "x").unwrap(), 1, Changes::default());
        let of = |hours: u64| {
            let Parts { up, parts, largest } = Parts::at(&plan, hours * HOUR + HOUR / 2);
            (up, parts, largest)
        };
        assert_eq!([1, 2, 5, 6].map(of), [(3, 1, 3), (3, 2, 2), (3, 2, 2), (2, 2, 1)]);
        assert_eq!(Parts::of(&plan).len(), STEPS);
    }
}
