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
    /// There may be more, and this was enough for once.
    Enough,
}

/// A pull under way.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) place: Place,
    /// The latest date that a server can have added something at.
    until_us: u64,
    /// Whether it said a later one.
    pub(super) ahead: bool,
    /// The pages of this pull.
    seen: BTreeSet<[u8; 32]>,
    taken: usize,
}

impl Pages {
    /// From a place on, where it is `now_us`. A place in the future is none: nothing would be added after it for long.
    pub(super) fn from(place: Place, now_us: u64) -> Self {
        let until_us = now_us.saturating_add(AHEAD_MAX_US);
        let ahead = place.after_us.max(place.last_us) > until_us;
        let place = if ahead { Place::default() } else { place };
        Self { place, until_us, ahead, seen: BTreeSet::new(), taken: 0 }
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
        let dated = page.last_us.filter(|us| *us <= self.until_us);
        self.ahead |= dated != page.last_us;
        self.taken += 1;
        let again = !self.seen.insert(page.digest);
        let Place { after_us, next, last_us } = &mut self.place;
        *last_us = (*last_us).max(dated.unwrap_or(0));
        // Others may have been added at the last date since, or did not fit on the page: it is asked for once more.
        let from_us = last_us.saturating_sub(1);
        if !page.more {
            *after_us = (*after_us).max(from_us);
            *next = None;
            return Step::Done;
        }
        let told = page.next.filter(|next| !again && next.len() <= NEXT_BYTES_MAX);
        if told.is_none() {
            // Without a place of the server's, or with one that leads nowhere, its dates are gone by.
            if from_us <= *after_us {
                *next = None;
                return Step::Lost;
            }
            *after_us = from_us;
        }
        *next = told;
        if self.taken < PAGES_MAX { Step::On } else { Step::Enough }
    }
}

/// How far ahead of ours a server's clock may be: a day, so that one that is set to another zone's time works.
const AHEAD_MAX_US: u64 = 24 * 3_600 * 1_000_000;
/// Most pages of one pull.
const PAGES_MAX: usize = 100_000;
/// Longest place of a server's: it goes into the query of a request, which servers take 8 KiB of.
const NEXT_BYTES_MAX: usize = 4 * 1024;
/// Most bytes of a place that is kept: what JSON makes of the longest.
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

    const NOW_US: u64 = 1_700_000_000_000_000;

    fn pages() -> Pages {
        Pages::from(Place::default(), NOW_US)
    }

    #[test]
    fn pages_are_gone_through_by_the_servers_places_and_then_from_its_last_date() {
        let mut pages = pages();
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
        let mut bad = pages();
        assert_eq!(bad.turn(page(1, true, Some("a"), Some(5))), Step::On);
        assert_eq!(bad.turn(page(1, true, Some("a"), Some(5))), Step::On);
        assert_eq!(bad.place, Place { after_us: 4, next: None, last_us: 5 });
        // And whatever date.
        assert_eq!(bad.turn(page(1, true, Some("a"), Some(5))), Step::Lost);
        // It has more, and says neither where nor when.
        assert_eq!(pages().turn(page(1, true, None, None)), Step::Lost);
        // It has more, and says when: from the last date on, of which more may not have fit.
        let mut bad = pages();
        assert_eq!(bad.turn(page(1, true, None, Some(7))), Step::On);
        assert_eq!(bad.place.after_us, 6);
        assert_eq!(bad.turn(page(2, true, None, Some(7))), Step::Lost);
    }

    #[test]
    fn a_date_in_the_future_leads_nowhere() {
        let day_us = AHEAD_MAX_US;
        for (last_us, ahead) in
            [(NOW_US + day_us, false), (NOW_US + day_us + 1, true), (u64::MAX, true)]
        {
            let mut pages = pages();
            assert_eq!(pages.turn(page(1, false, None, Some(last_us))), Step::Done);
            assert_eq!((pages.ahead, pages.place.after_us == 0), (ahead, ahead), "{last_us}");
            let kept = Place { after_us: last_us, next: Some("a".into()), last_us: 0 };
            let pages = Pages::from(kept.clone(), NOW_US);
            assert_eq!((pages.ahead, pages.place == kept), (ahead, !ahead), "{last_us}");
        }
    }

    #[test]
    fn a_pull_and_what_it_keeps_have_a_bound() {
        let mut bad = pages();
        let long = "\u{1}".repeat(NEXT_BYTES_MAX);
        assert_eq!(bad.turn(page(1, true, Some(&long), None)), Step::On);
        assert!(serde_json::to_vec(&bad.place).unwrap().len() < PLACE_BYTES_MAX);
        assert_eq!(bad.turn(page(2, true, Some(&format!("{long}a")), None)), Step::Lost);
        // A server that has more for ever, by places or by dates.
        for by_date in [false, true] {
            let mut bad = pages();
            for n in 1..=PAGES_MAX {
                let mut one =
                    page(0, true, (!by_date).then_some("a"), by_date.then_some(n as u64 + 1));
                one.digest[..8].copy_from_slice(&n.to_be_bytes());
                let step = bad.turn(one);
                assert_eq!(step, if n < PAGES_MAX { Step::On } else { Step::Enough }, "{n}");
            }
        }
    }
}
