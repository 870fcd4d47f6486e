//! Comparing one observation: its objects with what stands between square brackets. All comparisons of a
//! block must hold of the same object; what a property `..._ref` names is looked up among the objects.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::token::{Literal, base64, hex};
use super::{Comparison, Network, Operator, Order, Path, Pattern, Selector, Test};
use crate::time::WallTime;

/// The objects of an observation, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Objects(BTreeMap<String, Map<String, Value>>);

/// Most values that one path of one object leads to.
const VALUES_MAX: usize = 1_000;

impl Objects {
    /// Adds an object of a type.
    pub fn add(&mut self, id: impl Into<String>, stix_type: &str, mut object: Map<String, Value>) {
        object.insert("type".into(), stix_type.into());
        self.0.insert(id.into(), object);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a path leads to from an object.
    fn values<'o>(&'o self, object: &'o Map<String, Value>, path: &'o Path) -> Vec<&'o Value> {
        let mut steps = path.steps.iter();
        let Some(Selector::Name(first)) = steps.next() else { return Vec::new() };
        let mut values: Vec<&Value> = object.get(first).into_iter().collect();
        for step in steps {
            values = values
                .into_iter()
                .flat_map(|value| self.step(value, step))
                .take(VALUES_MAX)
                .collect();
        }
        values
    }

    fn step<'o>(&'o self, value: &'o Value, step: &Selector) -> Vec<&'o Value> {
        match (step, value) {
            (Selector::Name(name), Value::Object(map)) => map.get(name).into_iter().collect(),
            // A reference, and a property of what it names.
            (Selector::Name(name), Value::String(id)) => {
                self.0.get(id).and_then(|object| object.get(name)).into_iter().collect()
            }
            (Selector::Any, Value::Array(items)) => items.iter().collect(),
            (Selector::Item(index), Value::Array(items)) => {
                let index = if *index < 0 {
                    items.len().checked_sub(index.unsigned_abs() as usize)
                } else {
                    usize::try_from(*index).ok()
                };
                index.and_then(|index| items.get(index)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn satisfying(&self, comparison: &Comparison) -> BTreeSet<&str> {
        match comparison {
            Comparison::Test(test) => {
                let fits = self.0.iter().filter(|(_, object)| {
                    object.get("type").is_some_and(|of| *of == test.path.object_type.as_str())
                        && self.holds(object, test)
                });
                fits.map(|(id, _)| id.as_str()).collect()
            }
            Comparison::Either(parts) => {
                parts.iter().flat_map(|part| self.satisfying(part)).collect()
            }
            Comparison::All(parts) => {
                let mut parts = parts.iter().map(|part| self.satisfying(part));
                let first = parts.next().unwrap_or_default();
                parts.fold(first, |all, part| &all & &part)
            }
        }
    }

    fn holds(&self, object: &Map<String, Value>, test: &Test) -> bool {
        let values = self.values(object, &test.path);
        if matches!(test.operator, Operator::Exists) {
            return values.is_empty() == test.negated;
        }
        let last = test.path.steps.iter().rev().find_map(|step| match step {
            Selector::Name(name) => Some(name.as_str()),
            _ => None,
        });
        let name = last.unwrap_or_default();
        values.into_iter().any(|value| fits(value, name, &test.operator) != test.negated)
    }
}

impl Pattern {
    /// Which of the pattern's blocks an observation of these objects satisfies, in their order.
    #[must_use]
    pub fn shown(&self, objects: &Objects) -> Vec<bool> {
        self.blocks.iter().map(|block| !objects.satisfying(block).is_empty()).collect()
    }
}

fn fits(value: &Value, name: &str, operator: &Operator) -> bool {
    let text = value.as_str();
    match operator {
        Operator::Exists => true,
        Operator::Order(order, literal) => {
            let compared = compare(value, name, literal);
            match order {
                Order::Equal => compared == Some(Ordering::Equal),
                Order::Unequal => compared != Some(Ordering::Equal),
                Order::Below => compared == Some(Ordering::Less),
                Order::AtMost => compared.is_some_and(Ordering::is_le),
                Order::Above => compared == Some(Ordering::Greater),
                Order::AtLeast => compared.is_some_and(Ordering::is_ge),
            }
        }
        Operator::In(literals) => {
            literals.iter().any(|one| compare(value, name, one) == Some(Ordering::Equal))
        }
        Operator::Like(like) => text.is_some_and(|text| is_like(text, like)),
        Operator::Matches(Ok(regex)) => text.is_some_and(|text| {
            let characters: Vec<char> = match bytes(text, name) {
                Some(bytes) => bytes.into_iter().map(char::from).collect(),
                None => text.chars().collect(),
            };
            regex.is_in(&characters)
        }),
        Operator::Subset(Ok(wanted)) => {
            text.and_then(Network::parse).is_some_and(|network| wanted.holds(&network))
        }
        Operator::Superset(Ok(wanted)) => {
            text.and_then(Network::parse).is_some_and(|network| network.holds(wanted))
        }
        Operator::Matches(Err(_)) | Operator::Subset(Err(_)) | Operator::Superset(Err(_)) => false,
    }
}

/// How a value stands to a literal; `None` where the two cannot be compared.
fn compare(value: &Value, name: &str, literal: &Literal) -> Option<Ordering> {
    match (literal, value) {
        (Literal::Int(wanted), Value::Number(number)) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Some(number.cmp(wanted)),
            // Beyond all whole numbers of a pattern.
            (None, Some(_)) => Some(Ordering::Greater),
            _ => number.as_f64()?.partial_cmp(&(*wanted as f64)),
        },
        (Literal::Float(wanted), Value::Number(number)) => number.as_f64()?.partial_cmp(wanted),
        (Literal::Text(wanted), Value::String(text)) => Some(text.as_str().cmp(wanted)),
        (Literal::Flag(wanted), Value::Bool(flag)) => Some(flag.cmp(wanted)),
        (Literal::Time(wanted), Value::String(text)) => Some(WallTime::parse(text)?.cmp(wanted)),
        (Literal::Bytes(wanted), Value::String(text)) => {
            let held = bytes(text, name).unwrap_or_else(|| text.clone().into_bytes());
            Some(held.as_slice().cmp(wanted))
        }
        _ => None,
    }
}

/// The bytes that a property stands for whose name says that it is written in hexadecimal digits or base 64.
fn bytes(text: &str, name: &str) -> Option<Vec<u8>> {
    if name.ends_with("_hex") {
        hex(text)
    } else if name.ends_with("_bin") {
        base64(text)
    } else {
        None
    }
}

/// Whether a text is like another in which `%` stands for any characters and `_` for one.
fn is_like(text: &str, like: &[char]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut of) = (0, 0);
    // Where the last `%` stood, and from where on it may take one character more.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        match like.get(of) {
            Some('%') => {
                star = Some((of, at));
                of += 1;
            }
            Some(c) if *c == '_' || text.get(at) == Some(c) => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((star_of, taken)) = star else { return false };
                star = Some((star_of, taken + 1));
                (of, at) = (star_of + 1, taken + 1);
            }
        }
    }
    like.get(of..).unwrap_or_default().iter().all(|c| *c == '%')
}
