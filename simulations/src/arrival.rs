//! The earliest that something can be anywhere: Dijkstra over contacts in time, with a link's whole rate to
//! itself. No protocol beats it.
//!
//! A record leaves a post as soon as it is there, over every link with a contact in which it gets through
//! before the contact ends; only posts that carry its compartment pass it on. Faults are left out, so that
//! it stays a bound whatever fails. What a frame has beside the record's text is left out, too.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::agenda::{NEVER, Nanos};
use crate::plan::{Line, Plan};
use crate::quantity::SECOND;

/// The contacts of a plan, by post.
#[derive(Debug)]
pub struct Contacts<'a> {
    plan: &'a Plan,
    lines_of: Vec<Vec<&'a Line>>,
}

impl<'a> Contacts<'a> {
    /// Of a plan.
    #[must_use]
    pub fn of(plan: &'a Plan) -> Self {
        let mut lines_of: Vec<Vec<&Line>> = vec![Vec::new(); plan.posts.len()];
        for line in &plan.lines {
            for post in line.between {
                lines_of.get_mut(post as usize).into_iter().for_each(|lines| lines.push(line));
            }
        }
        Self { plan, lines_of }
    }

    /// When a record of so much text that a post writes at a moment can be at each post.
    #[must_use]
    pub fn earliest(&mut self, by: u32, at: Nanos, bytes: u64, compartment: u32) -> Vec<Nanos> {
        let mut earliest = vec![NEVER; self.plan.posts.len()];
        let mut next = BinaryHeap::from([Reverse((at, by))]);
        while let Some(Reverse((at, post))) = next.pop() {
            match earliest.get_mut(post as usize) {
                Some(known) if at < *known => *known = at,
                _ => continue,
            }
            if !self.plan.carries(post, compartment) {
                continue;
            }
            for line in self.lines_of.get(post as usize).into_iter().flatten() {
                let [a, b] = line.between;
                let other = if a == post { b } else { a };
                let there = through(line, at, bytes);
                if earliest.get(other as usize).is_some_and(|known| there < *known) {
                    next.push(Reverse((there, other)));
                }
            }
        }
        earliest
    }
}

/// When bytes that are at one end at a moment are at the other.
fn through(line: &Line, at: Nanos, bytes: u64) -> Nanos {
    let sends = u128::from(bytes) * 8 * u128::from(SECOND) / u128::from(line.rate.max(1));
    let takes = line.latency.saturating_add(sends as Nanos);
    let Some(windows) = &line.windows else { return at.saturating_add(takes) };
    let from = windows.partition_point(|(_, to)| *to <= at);
    let later = windows.iter().skip(from);
    let mut fits = later.filter_map(|(begins, ends)| {
        let there = at.max(*begins).saturating_add(takes);
        (there <= *ends).then_some(there)
    });
    fits.next().unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Changes, Plan};
    use crate::scenario::Scenario;

    /// A line of three posts: a window on the first link, another on the second.
    fn plan(second: &str) -> Plan {
        let text = format!(
            "name = \"x\"\nabout = \"\"\nlength = \"10 h\"\nsettle = \"1 h\"\n\
             agency = [{{ country = \"NE\", name = \"A\" }}, {{ country = \"TD\", name = \"B\" }}]\n\
             post = [{{ name = \"a\", agency = \"NE\" }}, {{ name = \"b\", agency = \"TD\" }},\n\
                     {{ name = \"c\", agency = \"NE\" }}]\n\
             compartment = [{{ name = \"both\", audience = [\"NE\", \"TD\"] }},\n\
                            {{ name = \"one\", audience = [\"NE\"] }}]\n\
             [[link]]\nfrom = \"a\"\nto = \"b\"\nrate = \"8 kbit/s\"\nlatency = \"1 s\"\n\
             windows = [[\"1 h\", \"2 h\"]]\n\
             [[link]]\nfrom = \"b\"\nto = \"c\"\nrate = \"8 kbit/s\"\nwindows = {second}\n"
        );
        Plan::of(&Scenario::parse(&text, "x").unwrap(), 1, Changes::default())
    }

    #[test]
    fn a_record_takes_the_first_contacts_that_follow_each_other() {
        let hour = 3_600 * SECOND;
        let plan = plan("[[\"30 min\", \"90 min\"], [\"3 h\", \"4 h\"]]");
        let mut contacts = Contacts::of(&plan);
        let soon = contacts.earliest(0, 0, 1_000, 0);
        assert_eq!(soon, [0, hour + 2 * SECOND, hour + 3 * SECOND]);
        let late = contacts.earliest(0, hour + hour * 3 / 4, 1_000, 0);
        assert_eq!(late.last(), Some(&(3 * hour + SECOND)));
        assert_eq!(contacts.earliest(0, 3 * hour, 1_000, 0), [3 * hour, NEVER, NEVER]);
        // Nobody in between may carry it.
        assert_eq!(contacts.earliest(0, 0, 1_000, 1)[2], NEVER);
    }

    #[test]
    fn what_does_not_get_through_waits_for_a_contact_that_is_long_enough() {
        let plan = plan("[[\"2 h\", \"121 min\"], [\"3 h\", \"4 h\"]]");
        let there = Contacts::of(&plan).earliest(0, 0, 100_000, 0);
        assert_eq!(there[2], 3 * 3_600 * SECOND + 100 * SECOND);
    }
}
