//! Three ways: what a file says of a record now, what the last import of it brought, and what the record
//! says here.
//!
//! What the file says as it did then, nobody said anew: the record stays as it is there, whatever was
//! edited. What the file says otherwise is news, and is taken, over an edit too. A property that the file
//! does not have is one of these two: it left the file since, or it never was in it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use tearline_crdt::document::{Patch, Segment};
use tearline_crdt::record::edge;
use tearline_crdt::time::WallTime;

use crate::exchange::stix;

/// What becomes of a record.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Merge {
    /// What is written. It touches each property of `news`, so that what the file says of it is brought.
    pub(super) patch: Patch,
    /// Properties of which the file says something else than it did.
    pub(super) news: Vec<String>,
    /// Properties that were edited here and stay so.
    pub(super) kept: Vec<String>,
}

/// Compares property by property.
pub(super) fn merge(
    brought: &Map<String, Value>,
    here: &Map<String, Value>,
    file: &Map<String, Value>,
) -> Merge {
    let mut merge = Merge::default();
    let names: BTreeSet<&String> = [brought, here, file].into_iter().flat_map(Map::keys).collect();
    // A file knows nothing of releases.
    for name in names.into_iter().filter(|name| !edge::is_reserved(name)) {
        let (shown, said) = (here.get(name), file.get(name));
        if brought.get(name) != said {
            take(&mut merge.patch, name, shown, said);
            merge.news.push(name.clone());
        } else if shown != said {
            merge.kept.push(name.clone());
        }
    }
    merge
}

/// Has a property say what the file says. Where it does already, because somebody was quicker, that is said
/// once more: by the record's history it must be brought, or the next import would take it for news.
fn take(patch: &mut Patch, name: &str, shown: Option<&Value>, said: Option<&Value>) {
    let path = || vec![Segment::Name(name.to_owned())];
    match said {
        Some(value) => {
            if shown == said {
                patch.unset(path());
            }
            patch.set(path(), value.clone());
        }
        None => {
            if shown.is_none() {
                patch.set(path(), Value::Null);
            }
            patch.unset(path());
        }
    }
}

/// Whether an object is an earlier version than what was brought last, as STIX versions objects.
pub(super) fn is_older(object: &Map<String, Value>, brought: &Map<String, Value>) -> bool {
    let version = |fields: &Map<String, Value>| {
        fields.get("modified").and_then(Value::as_str).and_then(WallTime::parse)
    };
    matches!((version(object), version(brought)), (Some(theirs), Some(ours)) if theirs < ours)
}

/// Whether a STIX object is by somebody else than its last version: only its producer may issue versions of it (STIX
/// 2.1, section 3.6.2).
pub(super) fn is_by_another(object: &Map<String, Value>, brought: &Map<String, Value>) -> bool {
    let by = |fields: &Map<String, Value>| fields.get("created_by_ref").cloned();
    stix::is_stix(object) && stix::is_stix(brought) && by(object) != by(brought)
}

/// What is said of such an object that cannot be kept as a note, either.
pub(super) const BY_ANOTHER: &str = "it is by another producer than the object here, whose alone its versions are, and no \
                                     note on it";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// One property `p`: what was brought, is here, is in the file; and whether it is news, or kept.
    #[test]
    fn what_the_file_says_anew_is_taken_and_nothing_else() {
        for (brought, here, file, news, kept) in [
            (Some("a"), Some("a"), Some("a"), false, false),
            (Some("a"), Some("b"), Some("a"), false, true),
            (Some("a"), Some("a"), Some("c"), true, false),
            (Some("a"), Some("b"), Some("c"), true, false),
            (Some("a"), Some("b"), Some("b"), true, false),
            (Some("a"), Some("a"), None, true, false),
            (Some("a"), Some("b"), None, true, false),
            (Some("a"), None, None, true, false),
            (Some("a"), None, Some("a"), false, true),
            (Some("a"), None, Some("c"), true, false),
            (None, Some("b"), None, false, true),
            (None, Some("b"), Some("c"), true, false),
            (None, None, Some("c"), true, false),
        ] {
            let fields = |value: Option<&str>| -> Map<String, Value> {
                value.map(|value| ("p".to_owned(), json!(value))).into_iter().collect()
            };
            let found = merge(&fields(brought), &fields(here), &fields(file));
            let case = format!("{brought:?} {here:?} {file:?}");
            assert_eq!((!found.news.is_empty(), !found.kept.is_empty()), (news, kept), "{case}");
            assert_eq!(found.patch.is_empty(), !news, "{case}");
        }
    }

    #[test]
    fn releases_are_none_of_the_files_business() {
        let mut edges = Map::new();
        edges.insert(edge::RELEASED_FROM.into(), json!("0"));
        assert_eq!(merge(&Map::new(), &edges, &Map::new()), Merge::default());
        assert_eq!(merge(&Map::new(), &Map::new(), &edges), Merge::default());
    }

    #[test]
    fn versions_are_their_producer_s_alone() {
        let object = |by: Option<&str>| {
            let id = "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f";
            let mut object = fields(&[("type", "indicator"), ("id", id), ("spec_version", "2.1")]);
            object.extend(by.map(|by| ("created_by_ref".to_owned(), by.into())));
            object
        };
        for (ours, theirs, other) in [
            (None, None, false),
            (Some("identity--a"), Some("identity--a"), false),
            (Some("identity--a"), Some("identity--b"), true),
            (Some("identity--a"), None, true),
            (None, Some("identity--b"), true),
        ] {
            assert_eq!(is_by_another(&object(theirs), &object(ours)), other, "{ours:?} {theirs:?}");
        }
        // A row of a table has no producer.
        let row = fields(&[("created_by_ref", "x")]);
        assert!(!is_by_another(&row, &fields(&[])));
    }

    fn fields(of: &[(&str, &str)]) -> Map<String, Value> {
        of.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
    }
}
