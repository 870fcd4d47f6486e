//! What a page is asked for: the filters of section 3.4, and a place to go on from.

use std::collections::BTreeSet;

use tearline_crdt::record::kind::Kind;

use super::super::call::{Call, Query as Parameters};
use super::super::place::List;
use super::super::problem::Problem;
use super::super::time;
use crate::exchange::stix;
use crate::index::Query;

/// Objects of a page, if the request does not say, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

/// The filters of a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Filter {
    /// Added later than this.
    pub(super) after_us: u64,
    /// Most of them.
    pub(super) limit: usize,
    /// `match[id]`; empty for any.
    pub(super) ids: BTreeSet<String>,
    /// `match[type]`; empty for any.
    pub(super) types: BTreeSet<String>,
    /// `match[version]`; empty for the last.
    pub(super) versions: BTreeSet<Version>,
    /// `match[spec_version]`; empty for any.
    pub(super) spec_versions: BTreeSet<String>,
    /// What a place to go on from is bound to: the collection and all filters but the limit.
    pub(super) list: List,
}

/// Which of an object's versions.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Version {
    /// The earliest that is here.
    First,
    /// The latest.
    Last,
    /// All.
    All,
    /// The one of this time, in µs.
    At(u64),
}

impl Filter {
    /// Reads the filters of a request for something of a collection.
    pub(super) fn of(call: &Call<'_>) -> Result<Self, Problem> {
        let subject = format!("{}\n{}", call.place("collection"), call.place("object"));
        Self::parse(&call.query, &subject)
    }

    fn parse(query: &Parameters, subject: &str) -> Result<Self, Problem> {
        let after_us = match query.one("added_after")? {
            None => 0,
            Some(text) => time::parse(text).ok_or_else(|| {
                Problem::bad(format!(
                    "added_after is {text:?}; write it as 2026-03-01T12:00:00.000000Z"
                ))
            })?,
        };
        let set = |name| query.list(name).map(BTreeSet::from_iter);
        let (ids, types) = (set("match[id]")?, set("match[type]")?);
        let spec_versions: BTreeSet<String> = set("match[spec_version]")?;
        let mut versions = BTreeSet::new();
        for text in query.list("match[version]")? {
            versions.insert(match text.as_str() {
                "first" => Version::First,
                "last" => Version::Last,
                "all" => Version::All,
                other => Version::At(time::parse(other).ok_or_else(|| {
                    Problem::bad(format!(
                        "match[version] is {other:?}; write first, last, all or a time"
                    ))
                })?),
            });
        }
        let said =
            format!("{subject}\n{after_us}\n{ids:?}\n{types:?}\n{versions:?}\n{spec_versions:?}");
        let list = List::of(&said);
        let limit = query.limit(PAGE_DEFAULT, PAGE_MAX)?;
        let mut filter = Self { after_us, limit, ids, types, versions, spec_versions, list };
        if let Some(text) = query.one("next")? {
            let stamp_us = list.stamp(text).ok_or_else(|| {
                Problem::bad(
                    "next is no place in this list: it goes with the filters of the page before",
                )
            })?;
            filter.after_us = filter.after_us.max(stamp_us);
        }
        Ok(filter)
    }

    /// What the next page is asked for with.
    pub(super) fn next(&self, last_us: u64) -> String {
        self.list.next(last_us)
    }

    /// What of it the index can answer.
    pub(super) fn query(&self) -> Query {
        let mut query = Query { types: self.types.clone(), ..Query::default() };
        let ours = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Object);
        let asked = ours.filter(|kind| self.types.contains(stix::native_type(*kind)));
        query.kinds.extend(asked.map(|kind| kind as u8));
        if self.types.contains(stix::native_type(Kind::Object)) {
            // An object without a type of its own goes out as one.
            query.kinds.insert(Kind::Object as u8);
        }
        query
    }

    /// Whether a version is wanted, of an object of which there is this one only.
    pub(super) fn wants_version(&self, version_us: Option<u64>) -> bool {
        self.versions.is_empty()
            || self.versions.iter().any(|wanted| match wanted {
                Version::At(us) => version_us == Some(*us),
                Version::First | Version::Last | Version::All => true,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Result<Filter, Problem> {
        Filter::parse(&Parameters::parse(text)?, "collection\n")
    }

    #[test]
    fn a_place_goes_with_its_filters() {
        let first = filter("match[type]=indicator,sighting&limit=2").unwrap();
        let next = first.next(1_234_567);
        let again = filter(&format!("match[type]=sighting,indicator&limit=9&next={next}")).unwrap();
        assert_eq!((again.after_us, again.limit), (1_234_567, 9));
        for other in [
            "match[type]=indicator",
            "limit=2",
            "match[type]=indicator,sighting&added_after=2026-01-01",
        ] {
            assert!(filter(&format!("{other}&next={next}")).is_err(), "{other}");
        }
        let elsewhere =
            Parameters::parse(&format!("match[type]=indicator,sighting&next={next}")).unwrap();
        assert!(Filter::parse(&elsewhere, "another\n").is_err());
        for broken in ["", "x", "AAAA", &next[1..]] {
            assert!(
                filter(&format!("match[type]=indicator,sighting&next={broken}")).is_err(),
                "{broken}"
            );
        }
    }

    #[test]
    fn filters_are_read() {
        let read =
            filter("match[version]=all,2026-01-01T00:00:00.000Z&match[spec_version]=2.1").unwrap();
        assert!(read.versions.contains(&Version::All) && read.versions.len() == 2);
        assert_eq!(read.limit, PAGE_DEFAULT);
        assert_eq!(filter("limit=100000").unwrap().limit, PAGE_MAX);
        for wrong in ["match[version]=newest", "added_after=yesterday", "limit=0", "match[id]="] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
        let last = filter("match[version]=last").unwrap();
        assert!(last.wants_version(None));
        let at = filter("match[version]=1970-01-01T00:00:01Z").unwrap();
        assert!(at.wants_version(Some(1_000_000)) && !at.wants_version(None));
    }

    #[test]
    fn a_type_is_looked_for_among_kinds_and_objects() {
        let query = filter("match[type]=identity").unwrap().query();
        assert_eq!(query.kinds, [Kind::Person as u8, Kind::Organisation as u8].into());
        assert!(query.types.contains("identity"));
    }
}
