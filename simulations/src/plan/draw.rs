//! From a scenario and a seed to a plan.

use std::collections::BTreeMap;

use super::motion::{Plane, Track};
use super::{Agency, Changes, Compartment, Fault, FaultKind, Hostile, Line, Plan, Post, Write};
use crate::agenda::Nanos;
use crate::draws::Draws;
use crate::quantity::{HOUR, MINUTE, SECOND};
use crate::scenario::{Family, Links, Posts, RANGE_PAIRS_MAX, Scenario, class_named};

/// Most contacts of one link: a run of ten weeks with one every two minutes.
const WINDOWS_MAX: usize = 50_000;
/// Most packets that the family of loss loses.
const LOSS_PERCENT_MAX: u64 = 30;
/// Of a thousand links, how many are doubled when they are.
const DOUBLED_PER_MILLE: u64 = 300;

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn of(scenario: &Scenario, seed: u64, changes: Changes) -> Self {
        let agencies: Vec<Agency> = scenario
            .agencies
            .iter()
            .map(|a| Agency { country: a.country.get_ref().clone(), name: a.name.clone() })
            .collect();
        let number = |country: &str| {
            agencies.iter().position(|agency| agency.country == country).unwrap_or(0) as u32
        };
        let (posts, groups) = people(scenario, changes.peers, &number);
        let compartments = scenario
            .compartments
            .iter()
            .map(|compartment| Compartment {
                name: compartment.name.get_ref().clone(),
                audience: compartment.audience.get_ref().iter().map(|c| number(c)).collect(),
            })
            .collect();
        let length = changes.length.unwrap_or(scenario.length.0);
        let mut plan = Self {
            name: scenario.name.get_ref().clone(),
            about: scenario.about.clone(),
            seed,
            length,
            tail: scenario.tail.0,
            settle: scenario.settle.0,
            agencies,
            posts,
            compartments,
            lines: Vec::new(),
            writes: Vec::new(),
            faults: Vec::new(),
            goals: scenario.goals.iter().map(|goal| goal.get_ref().clone()).collect(),
        };
        plan.draw_lines(scenario, &groups);
        plan.draw_writes(scenario, &groups);
        plan.draw_faults(scenario, &groups);
        plan.writes.sort_by_key(|write| (write.at, write.by, write.compartment));
        plan.faults.sort_by_key(|fault| fault.at);
        plan
    }

    fn draw_lines(&mut self, scenario: &Scenario, groups: &Groups) {
        let tracks = self.tracks(scenario, groups);
        for links in &scenario.links {
            let (from, to) = (groups.of(links.from.get_ref()), groups.of(links.to.get_ref()));
            if let Some(range) = &links.range {
                self.draw_meetings(links, range.get_ref().0, [from, to], &tracks);
                continue;
            }
            for (index, post) in from.iter().enumerate() {
                let ring = from == to;
                for step in 0..links.each as usize {
                    // In a group each has links to those after it; elsewhere they take turns.
                    let at =
                        if ring { index + 1 + step } else { index * links.each as usize + step };
                    let Some(other) = to.get(at % to.len().max(1)).copied() else { continue };
                    let between = [*post, other];
                    let known =
                        |line: &Line| line.between == between || line.between == [other, *post];
                    if other == *post
                        || ring
                            && to.len() < 2 * links.each as usize + 2
                            && self.lines.iter().any(known)
                    {
                        continue;
                    }
                    let number = self.lines.len() as u64;
                    let windows =
                        windows(links, self.horizon(), Draws::of(self.seed, "contacts", number));
                    self.lines.push(line(links, between, windows));
                }
            }
        }
    }

    /// Links of all pairs of two groups, up while the two are near each other.
    fn draw_meetings(
        &mut self,
        links: &Links,
        range_km: f64,
        [from, to]: [&[u32]; 2],
        tracks: &BTreeMap<u32, Track>,
    ) {
        let pairs = from.iter().flat_map(|post| to.iter().map(move |other| [*post, *other]));
        // Of pairs within one group, each once.
        let pairs =
            pairs.filter(|[post, other]| if from == to { post < other } else { post != other });
        for between in pairs.take(RANGE_PAIRS_MAX as usize) {
            let [Some(here), Some(there)] = between.map(|post| tracks.get(&post)) else { continue };
            let mut windows = here.meetings(there, range_km, self.horizon());
            windows.truncate(WINDOWS_MAX);
            self.lines.push(line(links, between, Some(windows)));
        }
    }

    /// The tracks of posts that are somewhere, if that is asked for.
    fn tracks(&self, scenario: &Scenario, groups: &Groups) -> BTreeMap<u32, Track> {
        if scenario.links.iter().all(|links| links.range.is_none()) {
            return BTreeMap::new();
        }
        let plane = Plane::of(scenario);
        let of_group = |posts: &Posts| {
            let track = |number: &u32| {
                let draws = Draws::of(self.seed, "motion", u64::from(*number));
                Some((*number, Track::of(posts, plane, self.horizon(), draws)?))
            };
            groups.of(posts.name.get_ref()).iter().filter_map(track).collect::<Vec<_>>()
        };
        scenario.posts.iter().flat_map(of_group).collect()
    }

    fn draw_writes(&mut self, scenario: &Scenario, groups: &Groups) {
        let compartment = |name: &str| {
            self.compartments.iter().position(|known| known.name == name).unwrap_or(0) as u32
        };
        let mut writes = Vec::new();
        for (number, work) in scenario.work.iter().enumerate() {
            let Some(class) = class_named(work.class.get_ref()) else { continue };
            let by = groups.of(work.by.get_ref());
            let compartment = compartment(work.compartment.get_ref());
            let mut draws = Draws::of(self.seed, "work", number as u64);
            let mut write = |draws: &mut Draws, at: Nanos| {
                let Some(by) = by.get(draws.below(by.len() as u64) as usize).copied() else {
                    return;
                };
                let edit = draws.chance(work.edits);
                if at < self.length {
                    let bytes = work.size.0;
                    writes.push(Write { at, by, compartment, class, bytes, edit, says: None });
                }
            };
            if work.per_day > 0.0 {
                let mean = ((24 * HOUR) as f64 / work.per_day) as Nanos;
                let mut at = draws.exponential(mean);
                while at < self.length {
                    write(&mut draws, at);
                    at = at.saturating_add(draws.exponential(mean).max(1));
                }
            }
            for burst in &work.bursts {
                for _ in 0..burst.records {
                    let at = burst.at.0 + draws.below(burst.over.0);
                    write(&mut draws, at);
                }
            }
        }
        for single in &scenario.writes {
            let Some(class) = class_named(single.class.get_ref()) else { continue };
            let Some(by) = groups.of(single.by.get_ref()).first().copied() else { continue };
            let compartment = compartment(single.compartment.get_ref());
            let (at, bytes, edit) = (single.at.0, single.size.0, single.edit);
            let says = single.says.as_ref().map(|says| says.get_ref().as_str().into());
            writes.push(Write { at, by, compartment, class, bytes, edit, says });
        }
        self.writes = writes;
    }

    fn draw_faults(&mut self, scenario: &Scenario, groups: &Groups) {
        for single in &scenario.faults {
            let names = single.posts.get_ref().iter();
            let mut posts: Vec<u32> = names.flat_map(|name| groups.of(name)).copied().collect();
            posts.sort_unstable();
            posts.dedup();
            let (at, lasts, kind) = (single.at.0, single.lasts.0, single.kind);
            let by = single.by.as_ref().map_or(0, |by| by.get_ref().0);
            self.faults.push(Fault { at, lasts, kind, posts, by });
        }
        for family in &scenario.families {
            let mut draws = Draws::of(self.seed, "family", *family as u64);
            // Wholly on or wholly off: faults of one kind hide those of another.
            if draws.chance(0.5) {
                self.draw_family(*family, &mut draws);
            }
        }
    }

    fn draw_family(&mut self, family: Family, draws: &mut Draws) {
        match family {
            Family::Loss => {
                for line in &mut self.lines {
                    line.loss = draws.below(LOSS_PERCENT_MAX + 1) as f64 / 100.0;
                }
            }
            Family::Double => {
                let doubled = |_: &&Line| draws.below(1_000) < DOUBLED_PER_MILLE;
                let twice: Vec<Line> = self.lines.iter().filter(doubled).cloned().collect();
                self.lines.extend(twice);
            }
            Family::Reordering => {
                for line in &mut self.lines {
                    line.jitter = draws.below(2 * SECOND);
                }
            }
            Family::Partitions => {
                for _ in 0..draws.between(1, 4) {
                    let at = draws.below(self.length);
                    let posts = self.some_posts(draws);
                    // One long cut, or a short one again and again.
                    let flaps = draws.chance(0.3);
                    let (times, least, most) =
                        if flaps { (8, SECOND, 5 * MINUTE) } else { (1, MINUTE, self.length / 2) };
                    let mut at = at;
                    for _ in 0..times {
                        let lasts = draws.between(least, most.max(least));
                        self.fault(at, lasts, FaultKind::Partition, posts.clone());
                        at = at + lasts + draws.between(least, most.max(least));
                    }
                }
            }
            Family::Crashes => {
                for _ in 0..draws.between(1, 10) {
                    let (at, post) = (draws.below(self.length), self.a_post(draws));
                    let lasts = draws.between(SECOND, HOUR);
                    self.fault(at, lasts, FaultKind::Crash, vec![post]);
                }
            }
            Family::LostDisks => {
                for _ in 0..draws.between(1, 2) {
                    let (at, post) = (draws.below(self.length), self.a_post(draws));
                    let lasts = draws.between(MINUTE, HOUR);
                    self.fault(at, lasts, FaultKind::LostDisk, vec![post]);
                }
            }
            Family::Clocks => {
                for post in &mut self.posts {
                    post.clock = up_to_a_day(draws);
                }
            }
            Family::Clogs => {
                for _ in 0..draws.between(1, 3) {
                    let mut at = draws.below(self.length);
                    let kind = if draws.chance(0.5) { FaultKind::Clog } else { FaultKind::OneWay };
                    // One after the other, and in the same order they are free again.
                    for post in self.some_posts(draws) {
                        let lasts = draws.between(SECOND, HOUR);
                        self.fault(at, lasts, kind, vec![post]);
                        at += draws.between(SECOND, 10 * MINUTE);
                    }
                }
            }
            Family::ClockJumps => {
                for _ in 0..draws.between(1, 6) {
                    let (at, post) = (draws.below(self.length), self.a_post(draws));
                    let (lasts, by) = (draws.between(SECOND, 2 * HOUR), up_to_a_day(draws));
                    self.fault_by(at, lasts, FaultKind::ClockJump, post, by);
                }
            }
            Family::FullDisks => {
                for _ in 0..draws.between(1, 6) {
                    let (at, post) = (draws.below(self.length), self.a_post(draws));
                    let lasts = draws.between(SECOND, HOUR);
                    self.fault(at, lasts, FaultKind::FullDisk, vec![post]);
                }
            }
            Family::RolledBack => {
                let (at, lasts) = (draws.below(self.length), draws.between(SECOND, HOUR));
                let by = draws.between(MINUTE, 3 * HOUR) as i64;
                if let Some(post) = self.an_officer(draws) {
                    self.fault_by(at, lasts, FaultKind::RolledBack, post, by);
                }
            }
            Family::Droppers => self.draw_hostile(Hostile::Dropper, draws),
            Family::Withholders => self.draw_hostile(Hostile::Withholder, draws),
            Family::Replayers => self.draw_hostile(Hostile::Replayer, draws),
            Family::Flooders => self.draw_hostile(Hostile::Flooder, draws),
            Family::Liars => self.draw_hostile(Hostile::Liar, draws),
            Family::Equivocators => self.draw_copy(draws),
            Family::Seizures => self.draw_endings(FaultKind::Seized, draws),
            Family::Colluders => {
                for _ in 0..2 {
                    self.draw_hostile(Hostile::Colluder, draws);
                }
            }
            Family::Adoptions => self.draw_endings(FaultKind::Cleared, draws),
        }
    }

    /// Lets standings end, unless honest posts would not be joined without those that had them.
    fn draw_endings(&mut self, kind: FaultKind, draws: &mut Draws) {
        for _ in 0..draws.between(1, 2) {
            let (at, lasts) = (draws.below(self.length), draws.between(MINUTE, HOUR));
            let Some(post) = self.an_officer(draws) else { continue };
            let before = self.faults.len();
            self.fault(at, lasts, kind, vec![post]);
            if self.island().is_some() {
                self.faults.truncate(before);
            }
        }
    }

    /// Makes a post hostile, unless honest ones would not be joined without it.
    fn draw_hostile(&mut self, hostile: Hostile, draws: &mut Draws) {
        let Some(number) = self.a_member(draws) else { return };
        if let Some(post) = self.posts.get_mut(number as usize) {
            post.hostile = Some(hostile);
        }
        if self.island().is_some()
            && let Some(post) = self.posts.get_mut(number as usize)
        {
            post.hostile = None;
        }
    }

    /// Adds a copy of a post, with links to some of those with whom the post has some, and writes for it.
    fn draw_copy(&mut self, draws: &mut Draws) {
        let before = (self.posts.clone(), self.lines.clone(), self.writes.clone());
        let Some(original) = self.an_officer(draws) else { return };
        let Some(mut copy) = self.posts.get(original as usize).cloned() else { return };
        let number = self.posts.len() as u32;
        copy.name = format!("{}-copy", copy.name);
        (copy.copies, copy.hostile) = (Some(original), None);
        self.posts.push(copy);
        for line in &mut self.lines {
            // At least one of them goes to the copy.
            let there = line.between.contains(&original);
            if there && draws.chance(0.5) {
                let other = |post: u32| if post == original { number } else { post };
                line.between = line.between.map(other);
            }
        }
        for write in self.writes.iter_mut().filter(|write| write.by == original) {
            if draws.chance(0.5) {
                write.by = number;
            }
        }
        let has_links = |post: u32| self.lines.iter().any(|line| line.between.contains(&post));
        if !has_links(original) || !has_links(number) || self.island().is_some() {
            (self.posts, self.lines, self.writes) = before;
        }
    }

    fn fault(&mut self, at: Nanos, lasts: Nanos, kind: FaultKind, posts: Vec<u32>) {
        if at < self.length {
            self.faults.push(Fault { at, lasts, kind, posts, by: 0 });
        }
    }

    fn fault_by(&mut self, at: Nanos, lasts: Nanos, kind: FaultKind, post: u32, by: i64) {
        if at < self.length && by != 0 {
            self.faults.push(Fault { at, lasts, kind, posts: vec![post], by });
        }
    }

    /// A post that is honest until now and no desk.
    fn a_member(&self, draws: &mut Draws) -> Option<u32> {
        let is_desk = |post: u32| {
            let agency = self.posts.get(post as usize).map(|post| post.agency);
            agency.and_then(|agency| self.desk(agency)) == Some(post)
        };
        let all = 0..self.posts.len() as u32;
        let members: Vec<u32> = all.filter(|p| self.is_honest(*p) && !is_desk(*p)).collect();
        members.get(draws.below(members.len() as u64) as usize).copied()
    }

    /// The same, and no relay, so that it writes.
    fn an_officer(&self, draws: &mut Draws) -> Option<u32> {
        let post = self.a_member(draws)?;
        self.posts.get(post as usize).filter(|post| !post.relay).map(|_| post)
    }

    fn a_post(&self, draws: &mut Draws) -> u32 {
        draws.below(self.posts.len() as u64) as u32
    }

    /// At least one and, if there are two, not all.
    fn some_posts(&self, draws: &mut Draws) -> Vec<u32> {
        let count = self.posts.len() as u32;
        let first = draws.below(u64::from(count)) as u32;
        let others = (0..count).filter(|post| *post != first && draws.chance(0.4));
        let mut side: Vec<u32> = others.collect();
        side.truncate(count.saturating_sub(2) as usize);
        side.push(first);
        side.sort_unstable();
        side
    }
}

fn up_to_a_day(draws: &mut Draws) -> i64 {
    let day = 24 * HOUR;
    draws.below(2 * day) as i64 - day as i64
}

/// Which posts a name means.
#[derive(Debug, Default)]
struct Groups(BTreeMap<String, Vec<u32>>);

impl Groups {
    fn of(&self, name: &str) -> &[u32] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

/// All posts, those that are no relays first in each agency: the first of them is its desk.
fn people(
    scenario: &Scenario,
    peers: Option<u32>,
    number: &impl Fn(&str) -> u32,
) -> (Vec<Post>, Groups) {
    let counts = counts(&scenario.posts, peers);
    let (mut posts, mut groups) = (Vec::new(), Groups::default());
    for (group, count) in scenario.posts.iter().zip(counts) {
        let own = group.name.get_ref();
        for index in 1..=count {
            let name = if group.count == 1 { own.clone() } else { format!("{own}-{index}") };
            let at = posts.len() as u32;
            posts.push(Post {
                name: name.clone(),
                agency: number(group.agency.get_ref()),
                relay: group.relay,
                clock: group.clock.0,
                hostile: group.hostile,
                copies: None,
            });
            groups.0.entry(own.clone()).or_default().push(at);
            if name != *own {
                groups.0.entry(name).or_default().push(at);
            }
        }
    }
    for group in &scenario.posts {
        let Some(copied) = &group.copies else { continue };
        let original = groups.of(copied.get_ref()).first().copied();
        for copy in groups.of(group.name.get_ref()) {
            if let Some(post) = posts.get_mut(*copy as usize) {
                post.copies = original;
            }
        }
    }
    (posts, groups)
}

/// How many posts each group has. Groups of one stay one; the others share the rest in proportion.
fn counts(groups: &[Posts], peers: Option<u32>) -> Vec<u32> {
    let mut counts: Vec<u32> = groups.iter().map(|group| group.count).collect();
    let Some(peers) = peers else { return counts };
    let single = groups.iter().filter(|group| group.count == 1).count() as u32;
    let several: u32 = counts.iter().sum::<u32>() - single;
    let wanted = peers.saturating_sub(single);
    let (mut before, mut given) = (0, 0);
    for count in counts.iter_mut().filter(|count| **count > 1) {
        before += *count;
        let until = (u64::from(before) * u64::from(wanted) / u64::from(several.max(1))) as u32;
        *count = (until - given).max(1);
        given = until;
    }
    counts
}

/// A link as a rule says, with contacts of its own.
const fn line(links: &Links, between: [u32; 2], windows: Option<Vec<(Nanos, Nanos)>>) -> Line {
    Line {
        between,
        rate: links.rate.0,
        latency: links.latency.0,
        jitter: links.jitter.0,
        loss: links.loss,
        half_duplex: links.half_duplex,
        windows,
    }
}

/// The contacts of a link up to a moment.
fn windows(links: &Links, until: Nanos, mut draws: Draws) -> Option<Vec<(Nanos, Nanos)>> {
    if let Some(windows) = &links.windows {
        return Some(windows.get_ref().iter().map(|(from, to)| (from.0, to.0)).collect());
    }
    let mut windows = Vec::new();
    if let (Some(every), Some(lasts)) = (&links.every, links.lasts) {
        let every = every.get_ref().0;
        let mut at = links.first.map_or_else(|| draws.below(every), |first| first.0);
        while at < until && windows.len() < WINDOWS_MAX {
            // Where one follows the other at once, they are one.
            let to = at + lasts.0.min(every - 1);
            windows.push((at, to));
            at += every;
        }
        return Some(windows);
    }
    if let (Some(gap), Some(contact)) = (&links.mean_gap, links.mean_contact) {
        let mut at = draws.exponential(gap.get_ref().0);
        while at < until && windows.len() < WINDOWS_MAX {
            let to = at + draws.exponential(contact.0).max(1);
            windows.push((at, to));
            at = to + draws.exponential(gap.get_ref().0).max(1);
        }
        return Some(windows);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library;

    #[test]
    fn a_plan_is_a_function_of_scenario_and_seed() {
        let scenario = library::named("chaos").unwrap();
        let plan = |seed| format!("{:?}", Plan::of(&scenario, seed, Changes::default()));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn every_family_is_drawn_by_some_seeds_and_not_by_others() {
        let mut scenario = library::named("chaos").unwrap();
        for family in Family::ALL {
            scenario.families = vec![];
            let without = |seed| format!("{:?}", Plan::of(&scenario, seed, Changes::default()));
            let plain: Vec<String> = (0..20).map(without).collect();
            scenario.families = vec![family];
            let with = |seed| format!("{:?}", Plan::of(&scenario, seed, Changes::default()));
            let on = (0..20).zip(&plain).filter(|(seed, plain)| with(*seed) != **plain).count();
            assert!((3..18).contains(&on), "{family:?}: {on} of 20");
        }
    }

    #[test]
    fn more_peers_are_shared_out_and_single_posts_stay_single() {
        let scenario = library::named("lake-chad").unwrap();
        for peers in [40, 100, 1_000] {
            let changes = Changes { peers: Some(peers), length: None };
            let plan = Plan::of(&scenario, 1, changes);
            assert_eq!(plan.posts.len(), peers as usize);
            let single = scenario.posts.iter().filter(|group| group.count == 1);
            for group in single {
                let count =
                    plan.posts.iter().filter(|post| post.name == *group.name.get_ref()).count();
                assert_eq!(count, 1);
            }
        }
    }

    #[test]
    fn contacts_follow_their_model() {
        let text = |model: &str| {
            format!(
                "name = \"x\"\nabout = \"\"\nlength = \"1000 h\"\nsettle = \"1 h\"\n\
                 agency = [{{ country = \"NE\", name = \"A\" }}]\n\
                 post = [{{ name = \"a\", agency = \"NE\" }}, {{ name = \"b\", agency = \"NE\" }}]\n\
                 compartment = [{{ name = \"c\", audience = [\"NE\"] }}]\n\
                 [[link]]\nfrom = \"a\"\nto = \"b\"\nrate = \"1 Mbit/s\"\n{model}\n"
            )
        };
        let contacts = |model: &str| {
            let scenario = Scenario::parse(&text(model), "x").unwrap();
            Plan::of(&scenario, 1, Changes::default()).lines[0].windows.clone()
        };
        assert_eq!(contacts(""), None);
        let fixed = contacts("every = \"6 h\"\nlasts = \"20 min\"\nfirst = \"1 h\"").unwrap();
        assert_eq!(fixed[1], (7 * HOUR, 7 * HOUR + 20 * MINUTE));
        let drawn = contacts("mean_gap = \"50 min\"\nmean_contact = \"10 min\"").unwrap();
        assert!((900..1_100).contains(&drawn.len()), "one an hour in 1,000 hours: {}", drawn.len());
        let up: u64 = drawn.iter().map(|(from, to)| to - from).sum();
        assert!((140 * HOUR..195 * HOUR).contains(&up), "{}", up / HOUR);
    }
}
