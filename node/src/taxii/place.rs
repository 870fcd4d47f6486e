//! How far a collection was pulled. A server's dates are what lasts; its places between pages are tried, and may have
//! ended.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tearline_crdt::hash::sha256;

use crate::failure::Failure;
use crate::files::{create_private, read_whole, write_atomically};
use crate::gateway::{stamp, stamp_text};
use crate::home::Home;

/// Where a pull goes on.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// `added_after` of the pages, in µs; 0 for none.
    pub(super) after_us: u64,
    /// The server's place in them.
    pub(super) next: Option<String>,
    /// The latest date that a page named.
    pub(super) last_us: u64,
}

/// What a page says beside its objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Turned {
    /// What tells it from others.
    pub(super) digest: [u8; 32],
    /// Whether the server has more.
    pub(super) more: bool,
    /// Its place after this page.
    pub(super) next: Option<String>,
    /// The date of the page's last object.
    pub(super) last_us: Option<u64>,
}

/// What to do after a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Ask for the next.
    On,
    /// All is here.
    Done,
    /// The server repeats itself, or says that there is more and not where.
    Lost,
}

/// A pull under way.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) place: Place,
    /// The pages of this pull.
    seen: BTreeSet<[u8; 32]>,
}

impl Pages {
    pub(super) const fn from(place: Place) -> Self {
        Self { place, seen: BTreeSet::new() }
    }

    /// The query of the next page.
    pub(super) fn query(&self, limit: u32) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        if self.place.after_us > 0 {
            query.append_pair("added_after", &stamp_text(self.place.after_us));
        }
        if let Some(next) = &self.place.next {
            query.append_pair("next", next);
        }
        query.finish()
    }

    /// Forgets the server's place, which it does not know any more.
    pub(super) fn forget_next(&mut self) -> bool {
        self.place.next.take().is_some()
    }

    /// Goes on after a page whose objects are taken.
    pub(super) fn turn(&mut self, page: Turned) -> Step {
        let Place { after_us, next, last_us } = &mut self.place;
        *last_us = (*last_us).max(page.last_us.unwrap_or(0));
        let again = !self.seen.insert(page.digest) || self.seen.len() > PAGES_MAX;
        if !page.more {
            // Others may have been added at the last date since: it is asked for once more.
            *after_us = (*after_us).max(last_us.saturating_sub(1));
            *next = None;
            return Step::Done;
        }
        if let Some(place) = page.next.filter(|_| !again) {
            *next = Some(place);
            return Step::On;
        }
        // Without a place of the server's, or with one that leads nowhere, its dates are gone by.
        let by_date = *last_us > *after_us;
        *next = None;
        if by_date {
            *after_us = *last_us;
            return Step::On;
        }
        Step::Lost
    }
}

/// Most pages of one pull.
const PAGES_MAX: usize = 100_000;
/// Most bytes of a place that is kept.
const PLACE_BYTES_MAX: usize = 64 * 1024;

/// The file with the place of a collection that is pulled into a compartment.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

impl Kept {
    pub(super) fn of(home: &Home, url: &str, compartment: &str) -> Result<Self, Failure> {
        let folder = home.root().join("taxii");
        create_private(&folder)?;
        let hash = sha256(format!("{url}\n{compartment}").as_bytes());
        let name: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(folder.join(format!("{name}.json"))))
    }

    /// The place that was kept last; the beginning if there is none that can be read.
    pub(super) fn read(&self) -> Result<Place, Failure> {
        let bytes = read_whole(&self.0, PLACE_BYTES_MAX)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    pub(super) fn write(&self, place: &Place) -> Result<(), Failure> {
        let text = serde_json::to_vec(place)
            .map_err(|error| Failure::bug(format!("a place cannot be written: {error}")))?;
        write_atomically(&self.0, &text)
    }
}

/// Reads a date of a server.
pub(super) fn date(text: &str) -> Option<u64> {
    stamp(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(digest: u8, more: bool, next: Option<&str>, last_us: Option<u64>) -> Turned {
        Turned { digest: [digest; 32], more, next: next.map(str::to_owned), last_us }
    }

    #[test]
    fn pages_are_gone_through_by_the_servers_places_and_then_from_its_last_date() {
        let mut pages = Pages::from(Place::default());
        assert_eq!(pages.query(10), "limit=10");
        assert_eq!(pages.turn(page(1, true, Some("a b"), Some(5_000_000))), Step::On);
        assert_eq!(pages.query(10), "limit=10&next=a+b");
        assert_eq!(pages.turn(page(2, false, None, Some(9_000_000))), Step::Done);
        assert_eq!(pages.query(10), "limit=10&added_after=1970-01-01T00%3A00%3A08.999999Z");
        // Nothing new has no date.
        assert_eq!(pages.turn(page(3, false, None, None)), Step::Done);
        assert_eq!(pages.place.after_us, 8_999_999);
    }

    #[test]
    fn a_server_that_pages_badly_is_gone_through_by_dates_or_given_up() {
        // It repeats a page whatever place it is told.
        let mut pages = Pages::from(Place::default());
        assert_eq!(pages.turn(page(1, true, Some("a"), Some(5))), Step::On);
        assert_eq!(pages.turn(page(1, true, Some("a"), Some(5))), Step::On);
        assert_eq!(pages.place, Place { after_us: 5, next: None, last_us: 5 });
        // And whatever date.
        assert_eq!(pages.turn(page(1, true, Some("a"), Some(5))), Step::Lost);
        // It has more, and says neither where nor when.
        let mut pages = Pages::from(Place::default());
        assert_eq!(pages.turn(page(1, true, None, None)), Step::Lost);
        // It has more, and says when.
        let mut pages = Pages::from(Place::default());
        assert_eq!(pages.turn(page(1, true, None, Some(7))), Step::On);
        assert_eq!(pages.turn(page(2, true, None, Some(7))), Step::Lost);
    }
}
