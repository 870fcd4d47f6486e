//! Edges between a record and its *releases*: records in other compartments that say part of what it
//! says. What is said of a record, an erasure above all, has to reach them.
//!
//! There are two, and both must agree. The record names each of its releases in a field of its own, so
//! that releases which were made apart stand side by side; what any change that counts ever named stays
//! named, so that nobody who may write in the record unsays it. A release names the record in its first
//! change, which nobody can edit: so whoever may write in a record cannot make records that he does not
//! like its releases.

use crate::attachment::is_attachment;
use crate::change::{Action, Change, Key, ObjId, Scalar};
use crate::id::RecordId;

/// The field of a release that names the record it came from, in hexadecimal digits.
pub const RELEASED_FROM: &str = "released_from";
/// Before a release's id, the field of a record that names it.
const RELEASED_TO: &str = "released_to_";

/// The field by which a record names a release.
#[must_use]
pub fn released_to(release: &RecordId) -> String {
    format!("{RELEASED_TO}{release}")
}

/// Whether a field is an edge, which only releasing writes, or an [attachment](crate::attachment)'s
/// manifest, which only attaching does. Neither is a property of what the record is about.
#[must_use]
pub fn is_reserved(field: &str) -> bool {
    field == RELEASED_FROM || field.starts_with(RELEASED_TO) || is_attachment(field)
}

/// The releases that a change names, in the order of its operations.
#[must_use]
pub(crate) fn releases(change: &Change) -> Vec<RecordId> {
    root_puts(change).filter_map(|(name, _)| name.strip_prefix(RELEASED_TO)?.parse().ok()).collect()
}

/// The record that a first change says it releases.
#[must_use]
pub(crate) fn released_from(first: &Change) -> Option<RecordId> {
    root_puts(first).find_map(|(name, value)| match value {
        Scalar::Str(text) if name == RELEASED_FROM => text.parse().ok(),
        _ => None,
    })
}

/// What a change puts into fields of the root.
fn root_puts(change: &Change) -> impl Iterator<Item = (&str, &Scalar)> {
    change.ops.iter().filter_map(|op| match (&op.obj, &op.key, &op.action) {
        (ObjId::Root, Key::Map(name), Action::Put(value)) => Some((name.as_str(), value)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
    use crate::change;

    fn read(bytes: &[u8]) -> Change {
        change::decode(bytes).unwrap()
    }

    #[test]
    fn a_change_names_each_release_in_a_field_of_its_own() {
        let (one, two) = (RecordId([1; 16]), RecordId([0xab; 16]));
        let mut fields = Map::new();
        for name in [released_to(&one), released_to(&two), "released_to_nobody".into()] {
            assert!(is_reserved(&name));
            fields.insert(name, Value::Bool(true));
        }
        fields.insert("name".into(), Value::from("released_to_ in a text"));
        let built = change::first_change([3; 16], 0, &fields).unwrap();
        assert_eq!(releases(&read(built[0].bytes())), [one, two]);
        assert!(is_reserved(RELEASED_FROM) && !is_reserved("name"));
    }

    #[test]
    fn a_first_change_says_what_it_releases() {
        let source = RecordId([7; 16]);
        let mut fields = Map::new();
        fields.insert("name".into(), Value::from("EXERCISE"));
        fields.insert(RELEASED_FROM.into(), Value::from(source.to_string()));
        let built = change::first_change([3; 16], 0, &fields).unwrap();
        assert_eq!(released_from(&read(built[0].bytes())), Some(source));
        fields.insert(RELEASED_FROM.into(), Value::from("elsewhere"));
        let built = change::first_change([3; 16], 0, &fields).unwrap();
        assert_eq!(released_from(&read(built[0].bytes())), None);
    }
}
