//! What a scenario must be beyond its form: names that lead somewhere, numbers within their bounds.

use std::collections::BTreeSet;

use tearline_crdt::bounds::AGENCIES_MAX;
use tearline_crdt::id::Class;
use toml::Spanned;

use super::{FaultKind, Links, Posts, Scenario};
use crate::quantity::{HOUR, Length};

/// Most posts.
pub(crate) const POSTS_MAX: u32 = 20_000;
/// Most compartments.
const COMPARTMENTS_MAX: usize = 64;
/// Most links of one post that one rule makes.
const EACH_MAX: u32 = 256;
/// Most pairs that one rule links by nearness.
pub(crate) const RANGE_PAIRS_MAX: u64 = 100_000;
/// Longest run: ten weeks.
pub(crate) const LENGTH_MAX: Length = Length(70 * 24 * HOUR);
/// Most records a day of one rule, and in one burst.
const RECORDS_MAX: u32 = 1_000_000;
/// Most packets that may be lost: above, hardly anything is sent but repetitions.
const LOSS_MAX: f64 = 0.5;

/// Where in the text, and what is wrong there.
pub(super) type Wrong = (usize, String);

impl Scenario {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let name = self.name.get_ref();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(is_plain) {
            return wrong(&self.name, "a name has lower-case letters, digits and hyphens");
        }
        for (what, length) in
            [("length", self.length), ("tail", self.tail), ("settle", self.settle)]
        {
            if length > LENGTH_MAX {
                return wrong(&self.name, format!("{what} is above ten weeks ({LENGTH_MAX})"));
            }
        }
        self.check_who()?;
        self.links.iter().try_for_each(|links| self.check_links(links))?;
        self.check_work()?;
        self.check_faults()
    }

    fn check_who(&self) -> Result<(), Wrong> {
        if self.agencies.is_empty() || self.agencies.len() > AGENCIES_MAX {
            return wrong(&self.name, format!("1 to {AGENCIES_MAX} [[agency]] are needed"));
        }
        for agency in &self.agencies {
            let country = agency.country.get_ref();
            if country.len() != 2 || !country.chars().all(|c| c.is_ascii_uppercase()) {
                return wrong(&agency.country, "an agency's country is two capital letters");
            }
        }
        unique(self.agencies.iter().map(|agency| &agency.country), "agency")?;
        unique(self.posts.iter().map(|post| &post.name), "post")?;
        unique(self.compartments.iter().map(|compartment| &compartment.name), "compartment")?;
        for post in &self.posts {
            self.needs_agency(post.agency.span().start, post.agency.get_ref())?;
            if post.count == 0 {
                return wrong(&post.name, "a group has at least one post");
            }
            if let Some(copied) = &post.copies {
                self.check_copy(post, copied)?;
            }
            post.check_place()?;
        }
        let count: u64 = self.posts.iter().map(|post| u64::from(post.count)).sum();
        if count > u64::from(POSTS_MAX) {
            return wrong(&self.name, format!("{count} posts are more than {POSTS_MAX}"));
        }
        for agency in &self.agencies {
            let has = |relay: bool| {
                let country = agency.country.get_ref();
                let originals = self.posts.iter().filter(|post| post.copies.is_none());
                let mut own = originals.filter(|post| post.agency.get_ref() == country);
                own.any(|post| post.relay == relay)
            };
            if !has(false) {
                let what = "an agency needs a post that is no relay: the first is its desk";
                return wrong(&agency.country, what);
            }
        }
        if self.compartments.is_empty() || self.compartments.len() > COMPARTMENTS_MAX {
            return wrong(
                &self.name,
                format!("1 to {COMPARTMENTS_MAX} [[compartment]] are needed"),
            );
        }
        for compartment in &self.compartments {
            if compartment.audience.get_ref().is_empty() {
                return wrong(&compartment.audience, "an empty audience means nobody");
            }
            for country in compartment.audience.get_ref() {
                self.needs_agency(compartment.audience.span().start, country)?;
            }
        }
        Ok(())
    }

    fn check_links(&self, links: &Links) -> Result<(), Wrong> {
        self.needs_posts(&links.from)?;
        self.needs_posts(&links.to)?;
        if links.each == 0 || links.each > EACH_MAX {
            return wrong(&links.from, format!("each is 1 to {EACH_MAX}"));
        }
        if !(0.0..=LOSS_MAX).contains(&links.loss) {
            return wrong(&links.from, format!("loss is a share of 0 to {LOSS_MAX}"));
        }
        let kinds = [
            links.every.is_some(),
            links.mean_gap.is_some(),
            links.windows.is_some(),
            links.range.is_some(),
        ];
        if kinds.iter().filter(|kind| **kind).count() > 1 {
            let what = "contacts are every/lasts, mean_gap/mean_contact, windows or range, and not two of them";
            return wrong(&links.from, what);
        }
        self.check_range(links)?;
        match (&links.every, links.lasts) {
            (Some(every), Some(lasts)) if lasts.0 == 0 || lasts > *every.get_ref() => {
                return wrong(
                    every,
                    "a contact lasts longer than nothing and at most until the next",
                );
            }
            (Some(every), None) => return wrong(every, "say how long a contact lasts: lasts"),
            (None, Some(_)) => return wrong(&links.from, "lasts needs every"),
            _ => {}
        }
        match (&links.mean_gap, links.mean_contact) {
            (Some(gap), None) => return wrong(gap, "say how long a contact lasts: mean_contact"),
            (None, Some(_)) => return wrong(&links.from, "mean_contact needs mean_gap"),
            (Some(gap), Some(contact)) if gap.get_ref().0 == 0 || contact.0 == 0 => {
                return wrong(gap, "mean_gap and mean_contact are above nothing");
            }
            _ => {}
        }
        if let Some(windows) = &links.windows {
            let all = windows.get_ref();
            let in_order = all.windows(2).all(|pair| matches!(pair, [a, b] if a.1 < b.0));
            if !in_order || all.iter().any(|(from, to)| from >= to) {
                return wrong(windows, "windows begin before they end, one after the other");
            }
        }
        Ok(())
    }

    /// Whoever is linked by nearness is somewhere.
    fn check_range(&self, links: &Links) -> Result<(), Wrong> {
        let Some(range) = &links.range else { return Ok(()) };
        let group =
            |name: &Spanned<String>| self.posts.iter().find(|posts| posts.means(name.get_ref()));
        let placeless = |posts: &&Posts| posts.at.is_none() && posts.moves.is_none();
        let (from, to) = (group(&links.from), group(&links.to));
        if let Some(posts) = from.into_iter().chain(to).find(placeless) {
            let what = format!("{} is nowhere: give it at or moves", posts.name.get_ref());
            return wrong(range, what);
        }
        if links.each != 1 {
            return wrong(range, "with range each is linked with all of the other group: no each");
        }
        let count = |posts: Option<&Posts>| posts.map_or(0, |posts| u64::from(posts.count));
        if count(from) * count(to) > RANGE_PAIRS_MAX {
            return wrong(range, format!("that is more than {RANGE_PAIRS_MAX} pairs"));
        }
        Ok(())
    }

    fn check_work(&self) -> Result<(), Wrong> {
        for work in &self.work {
            self.needs_writers(&work.by)?;
            self.needs_compartment(&work.compartment, &work.by)?;
            needs_class(&work.class)?;
            if !(0.0..=f64::from(RECORDS_MAX)).contains(&work.per_day) {
                return wrong(&work.by, format!("per_day is 0 to {RECORDS_MAX}"));
            }
            if !(0.0..=1.0).contains(&work.edits) {
                return wrong(&work.by, "edits is a share of 0 to 1");
            }
            if work.bursts.iter().any(|burst| burst.records > RECORDS_MAX) {
                return wrong(&work.by, format!("a burst has at most {RECORDS_MAX} records"));
            }
            if work.per_day == 0.0 && work.bursts.is_empty() {
                return wrong(&work.by, "say how much is written: per_day or bursts");
            }
        }
        for write in &self.writes {
            self.needs_writers(&write.by)?;
            self.needs_compartment(&write.compartment, &write.by)?;
            needs_class(&write.class)?;
            if let Some(says) = write.says.as_ref().filter(|says| !is_said(says.get_ref())) {
                let what = format!("what a record says is one line of 1 to {SAYS_BYTES_MAX} bytes");
                return wrong(says, what);
            }
        }
        Ok(())
    }

    /// A copy is of one device, which is there, and of the same agency.
    fn check_copy(&self, post: &Posts, copied: &Spanned<String>) -> Result<(), Wrong> {
        self.needs_posts(copied)?;
        let original = self.posts.iter().find(|group| group.means(copied.get_ref()));
        let Some(original) = original else { return Ok(()) };
        let many = original.count > 1 && original.name.get_ref() == copied.get_ref();
        if post.count > 1 || many {
            return wrong(copied, "one post copies one other");
        }
        if original.copies.is_some() || original.name.get_ref() == post.name.get_ref() {
            return wrong(copied, "a post copies one that is no copy");
        }
        if original.agency.get_ref() != post.agency.get_ref() || original.relay != post.relay {
            return wrong(copied, "a copy is of the same agency, and a relay if the other is one");
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), Wrong> {
        for fault in &self.faults {
            let needs_by = matches!(fault.kind, FaultKind::ClockJump | FaultKind::RolledBack);
            match &fault.by {
                None if needs_by => {
                    let what = "say by how much: by (of a clock-jump, may be negative)";
                    return wrong(&fault.posts, what);
                }
                Some(by) if !needs_by => {
                    return wrong(by, "by is for clock-jump and rolled-back alone");
                }
                Some(by) if fault.kind == FaultKind::RolledBack && by.get_ref().0 <= 0 => {
                    return wrong(by, "a disk is rolled back by more than nothing");
                }
                _ => {}
            }
            if fault.kind.ends_standing()
                && fault.posts.get_ref().iter().any(|name| self.is_desk(name))
            {
                let what = "a desk is told when a device is seized, so it is not seized itself";
                return wrong(&fault.posts, what);
            }
            if fault.posts.get_ref().is_empty() {
                return wrong(&fault.posts, "a fault hits at least one post");
            }
            for name in fault.posts.get_ref() {
                self.needs_post_named(fault.posts.span().start, name)?;
            }
        }
        Ok(())
    }

    /// Whether a name means a desk: the first post of an agency that is no relay and no copy.
    fn is_desk(&self, name: &str) -> bool {
        let Some(group) = self.posts.iter().find(|posts| posts.means(name)) else { return false };
        let agency = group.agency.get_ref();
        let mut own = self.posts.iter().filter(|posts| posts.agency.get_ref() == agency);
        let first = own.find(|posts| !posts.relay && posts.copies.is_none());
        let first = first.map(|posts| (posts.name.get_ref(), posts.count));
        first.is_some_and(|(own, count)| {
            group.name.get_ref() == own && (name == own || count > 1 && name == format!("{own}-1"))
        })
    }

    fn needs_agency(&self, at: usize, country: &str) -> Result<(), Wrong> {
        let known: Vec<&str> = self.agencies.iter().map(|a| a.country.get_ref().as_str()).collect();
        if known.contains(&country) {
            return Ok(());
        }
        Err((at, format!("no [[agency]] has the country {country:?}: {}", known.join(", "))))
    }

    fn needs_posts(&self, name: &Spanned<String>) -> Result<(), Wrong> {
        self.needs_post_named(name.span().start, name.get_ref())
    }

    fn needs_writers(&self, name: &Spanned<String>) -> Result<(), Wrong> {
        self.needs_posts(name)?;
        let group = self.posts.iter().find(|posts| posts.means(name.get_ref()));
        match group {
            Some(posts) if posts.relay => wrong(name, "a relay writes nothing"),
            _ => Ok(()),
        }
    }

    fn needs_post_named(&self, at: usize, name: &str) -> Result<(), Wrong> {
        if self.posts.iter().any(|posts| posts.means(name)) {
            return Ok(());
        }
        let known: Vec<&str> = self.posts.iter().map(|p| p.name.get_ref().as_str()).collect();
        Err((at, format!("no [[post]] is called {name:?}: {}", known.join(", "))))
    }

    /// The compartment is there, and who writes in it may.
    fn needs_compartment(&self, name: &Spanned<String>, by: &Spanned<String>) -> Result<(), Wrong> {
        let known = self.compartments.iter().find(|c| c.name.get_ref() == name.get_ref());
        let Some(compartment) = known else {
            return wrong(name, format!("no [[compartment]] is called {:?}", name.get_ref()));
        };
        let group = self.posts.iter().find(|posts| posts.means(by.get_ref()));
        let agency = group.map(|posts| posts.agency.get_ref());
        if agency.is_some_and(|agency| !compartment.audience.get_ref().contains(agency)) {
            return wrong(by, format!("{:?} is not for the agency of these posts", name.get_ref()));
        }
        Ok(())
    }
}

impl Posts {
    /// Whether a name means this group or one of it.
    pub(crate) fn means(&self, name: &str) -> bool {
        let own = self.name.get_ref();
        let number = name.strip_prefix(own.as_str()).and_then(|rest| rest.strip_prefix('-'));
        let is_one = |number: &str| {
            !number.starts_with('0') && number.parse::<u32>().is_ok_and(|n| n <= self.count)
        };
        name == own || self.count > 1 && number.is_some_and(is_one)
    }
}

fn needs_class(class: &Spanned<String>) -> Result<(), Wrong> {
    if class_named(class.get_ref()).is_some() {
        return Ok(());
    }
    wrong(class, "a class is flash, immediate, priority or routine")
}

/// The class of records with this name.
pub(crate) fn class_named(name: &str) -> Option<Class> {
    let mut classes = Class::ALL.into_iter().filter(|class| *class != Class::Authority);
    classes.find(|class| class.name() == name)
}

fn unique<'a>(names: impl Iterator<Item = &'a Spanned<String>>, what: &str) -> Result<(), Wrong> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.get_ref().is_empty() || !seen.insert(name.get_ref()) {
            return wrong(name, format!("every [[{what}]] has a name of its own"));
        }
    }
    Ok(())
}

pub(super) fn wrong<T>(at: &Spanned<T>, what: impl Into<String>) -> Result<(), Wrong> {
    Err((at.span().start, what.into()))
}

/// Most bytes that a record of an exercise says.
const SAYS_BYTES_MAX: usize = 4_096;

fn is_said(text: &str) -> bool {
    (1..=SAYS_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}
