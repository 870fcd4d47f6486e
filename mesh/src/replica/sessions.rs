//! The sessions of a replica, and which of them are to be looked at.
//!
//! A hub has hundreds of links, and nearly every input concerns one of them. So whoever changes a session
//! *touches* it, and what is owed on links is looked for on those that were touched since the last time:
//! a session that nobody touched has nothing new to send. Three kinds of sessions wait for the time to pass;
//! they are kept apart, so that asking when the next is due costs nothing where none is.

use std::collections::{BTreeMap, BTreeSet};

use super::Link;
use super::greeting::Turn;
use super::session::Session;

/// The sessions, by link.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: BTreeMap<Link, Session>,
    /// Those that were changed, begun or ended since they were settled.
    touched: BTreeSet<Link>,
    /// Those that are to be looked at again after the next input.
    again: BTreeSet<Link>,
    /// Of the others, those that wait for their turn to greet, and those that may owe something.
    waiting: BTreeSet<Link>,
    owing: BTreeSet<Link>,
    /// And those that asked for payloads, or will.
    asking: BTreeSet<Link>,
}

impl Sessions {
    pub(super) fn get(&self, link: &Link) -> Option<&Session> {
        self.all.get(link)
    }

    /// Touches it.
    pub(super) fn get_mut(&mut self, link: &Link) -> Option<&mut Session> {
        let session = self.all.get_mut(link)?;
        self.touched.insert(*link);
        Some(session)
    }

    pub(super) fn insert(&mut self, link: Link, session: Session) {
        self.touched.insert(link);
        self.all.insert(link, session);
    }

    pub(super) fn remove(&mut self, link: &Link) -> Option<Session> {
        self.touched.insert(*link);
        self.all.remove(link)
    }

    pub(super) fn contains_key(&self, link: &Link) -> bool {
        self.all.contains_key(link)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Link> {
        self.all.keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Session> {
        self.all.values()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Link, &Session)> {
        self.all.iter()
    }

    /// Touches all.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.touch_all();
        self.all.values_mut()
    }

    /// Something changed that every session hangs on.
    pub(super) fn touch_all(&mut self) {
        self.touched.extend(self.all.keys());
    }

    /// Changes those of which something holds.
    pub(super) fn change(
        &mut self,
        which: impl Fn(&Session) -> bool,
        mut change: impl FnMut(&Link, &mut Session),
    ) {
        for (link, session) in &mut self.all {
            if which(session) {
                change(link, session);
                self.touched.insert(*link);
            }
        }
    }

    /// A session has more to send than was looked for.
    pub(super) fn look_again(&mut self, link: Link) {
        self.again.insert(link);
    }

    /// The links that were touched.
    pub(super) const fn touched(&self) -> &BTreeSet<Link> {
        &self.touched
    }

    /// They are looked at now.
    pub(super) fn take_touched(&mut self) -> BTreeSet<Link> {
        std::mem::take(&mut self.touched)
    }

    /// These were looked at, and what that touched needs no look.
    pub(super) fn settle(&mut self, mut looked_at: BTreeSet<Link>) {
        looked_at.append(&mut self.touched);
        for link in looked_at {
            let session = self.all.get(&link);
            let waits = session.is_some_and(|session| matches!(session.turn, Turn::Waits { .. }));
            let owes = session.is_some_and(Session::may_owe);
            let asks = session.is_some_and(|session| session.aside.waits());
            keep(&mut self.asking, link, asks);
            keep(&mut self.waiting, link, waits);
            keep(&mut self.owing, link, owes);
        }
        self.touched.append(&mut self.again);
    }

    /// Those that may wait for their turn, by link.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&Link, &Session)> {
        self.of(&self.waiting)
    }

    /// Those that may owe something, by link.
    pub(super) fn owing(&self) -> impl Iterator<Item = (&Link, &Session)> {
        self.of(&self.owing)
    }

    /// Those that may wait for payloads, by link.
    pub(super) fn asking(&self) -> impl Iterator<Item = (&Link, &Session)> {
        self.of(&self.asking)
    }

    fn of<'a>(
        &'a self,
        links: &'a BTreeSet<Link>,
    ) -> impl Iterator<Item = (&'a Link, &'a Session)> {
        let links = links.union(&self.touched);
        links.filter_map(|link| self.all.get_key_value(link))
    }
}

fn keep(links: &mut BTreeSet<Link>, link: Link, is_in: bool) {
    if is_in {
        links.insert(link);
    } else {
        links.remove(&link);
    }
}
