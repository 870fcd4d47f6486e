//! The only Datalog that a pass may hold, in both directions.
//!
//! The first block has exactly these facts, each once and in this order:
//!
//! ```text
//! pass(hex:<16 bytes>);          device(hex:<32 bytes>);   holder("TAXII client");
//! purpose("BorderMonitoring");   minted(<date>);
//! not_before(<date>);            not_after(<date>);        right(<1 read, 2 write>);
//! compartments({hex:<32 bytes>, ...});   kinds({<wire numbers>});
//! label_max(<wire number of a TLP colour>);   operations({"read", "search", ...});
//! ```
//!
//! Every further block has some of these checks, at least one, each at most once, in this order:
//!
//! ```text
//! check if now($x), $x >= <date>;        check if now($x), $x < <date>;
//! check if needs($x), $x <= <right>;     check if compartment($x), {hex:...}.contains($x);
//! check if kind($x), {...}.contains($x); check if label($x), $x <= <colour>;
//! check if operation($x), {...}.contains($x);
//! ```
//!
//! `now`, `needs`, `compartment`, `kind`, `label` and `operation` are facts of the request, which
//! the checker alone states.

use std::collections::BTreeSet;

use biscuit_auth::builder::{
    Binary, Check, CheckKind, Expression, Fact, Op, Predicate, Rule, Term,
};
use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::format::schema;
use schema::op::Content as OpContent;
use schema::op_binary::Kind as BinaryKind;
use schema::term::Content as TermContent;
use tearline_crdt::id::{CompartmentId, DeviceId};
use tearline_crdt::record::kind::Kind;
use tearline_crdt::record::vocabulary::{Purpose, Tlp, Vocabulary as _};

use super::scope::{Limit, Narrowing, Operation, PassRight, Scope, Second};
use super::terms::{PassId, Terms};

/// A form that is not in the vocabulary, briefly.
pub(super) type NotInIt = &'static str;

/// Names of the facts of the first block, in their order.
const FACTS: [&str; 12] = [
    "pass",
    "device",
    "holder",
    "purpose",
    "minted",
    "not_before",
    "not_after",
    "right",
    "compartments",
    "kinds",
    "label_max",
    "operations",
];

/// The facts of the first block.
pub(super) fn facts(terms: &Terms) -> Vec<Fact> {
    let Terms { id, device, holder, purpose, minted, scope } = terms;
    let values = [
        Term::Bytes(id.0.to_vec()),
        Term::Bytes(device.0.to_vec()),
        Term::Str(holder.clone()),
        Term::Str(purpose.word().to_owned()),
        Term::Date(minted.0),
        Term::Date(scope.not_before.0),
        Term::Date(scope.not_after.0),
        right(scope.right),
        compartments(&scope.compartments),
        kinds(&scope.kinds),
        label(scope.label_max),
        operations(&scope.operations),
    ];
    FACTS.iter().zip(values).map(|(name, value)| fact(name, value)).collect()
}

/// The checks of a narrowing's block.
pub(super) fn checks(narrowing: &Narrowing) -> Vec<Check> {
    let Narrowing { not_before, not_after, .. } = narrowing;
    [
        not_before.map(|from| comparison("now", Binary::GreaterOrEqual, Term::Date(from.0))),
        not_after.map(|to| comparison("now", Binary::LessThan, Term::Date(to.0))),
        narrowing.right.map(|most| comparison("needs", Binary::LessOrEqual, right(most))),
        narrowing.compartments.as_ref().map(|set| membership("compartment", compartments(set))),
        narrowing.kinds.as_ref().map(|set| membership("kind", kinds(set))),
        narrowing.label_max.map(|most| comparison("label", Binary::LessOrEqual, label(most))),
        narrowing.operations.as_ref().map(|set| membership("operation", operations(set))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A fact with one value.
pub(super) fn fact(name: &str, value: Term) -> Fact {
    Fact::new(name.to_owned(), vec![value])
}

/// A right as a number that can be compared.
pub(super) const fn right(right: PassRight) -> Term {
    Term::Integer(match right {
        PassRight::Read => 1,
        PassRight::Write => 2,
    })
}

/// A label's colour as a number that can be compared.
pub(super) fn label(tlp: Tlp) -> Term {
    Term::Integer(tlp.number().into())
}

fn compartments(set: &BTreeSet<CompartmentId>) -> Term {
    Term::Set(set.iter().map(|compartment| Term::Bytes(compartment.0.to_vec())).collect())
}

fn kinds(set: &BTreeSet<Kind>) -> Term {
    Term::Set(set.iter().map(|kind| Term::Integer(*kind as i64)).collect())
}

fn operations(set: &BTreeSet<Operation>) -> Term {
    Term::Set(set.iter().map(|operation| Term::Str(operation.name().to_owned())).collect())
}

fn comparison(name: &str, operator: Binary, with: Term) -> Check {
    check(name, [Op::Value(variable()), Op::Value(with), Op::Binary(operator)])
}

fn membership(name: &str, set: Term) -> Check {
    check(name, [Op::Value(set), Op::Value(variable()), Op::Binary(Binary::Contains)])
}

/// `check if name($x), ops`.
fn check(name: &str, ops: [Op; 3]) -> Check {
    let head = Predicate::new(QUERY.to_owned(), Vec::new());
    let body = vec![Predicate::new(name.to_owned(), vec![variable()])];
    let expressions = vec![Expression { ops: ops.into() }];
    Check { queries: vec![Rule::new(head, body, expressions, Vec::new())], kind: CheckKind::One }
}

fn variable() -> Term {
    Term::Variable("x".to_owned())
}

/// The version of Biscuit's Datalog that these forms need, which is its first.
const DATALOG_VERSION: u32 = 3;
/// The name that Biscuit gives the head of a check.
const QUERY: &str = "query";

/// Reads the first block.
pub(super) fn read_terms(block: &schema::Block, symbols: &SymbolTable) -> Result<Terms, NotInIt> {
    refuse_extras(block)?;
    if !block.checks.is_empty() {
        return Err("a check in the first block");
    }
    let mut values = Vec::new();
    for fact in &block.facts {
        let [value] = fact.predicate.terms.as_slice() else {
            return Err("a fact with not exactly one value");
        };
        let name = symbols.get_symbol(fact.predicate.name);
        if name.is_none() || name != FACTS.get(values.len()).copied() {
            return Err("a fact that is not expected there");
        }
        values.push(value);
    }
    let Ok::<[_; FACTS.len()], _>(values) = values.try_into() else {
        return Err("too few facts");
    };
    let [
        id,
        device,
        holder,
        purpose,
        minted,
        not_before,
        not_after,
        right,
        compartments,
        kinds,
        label_max,
        operations,
    ] = values;
    Ok(Terms {
        id: PassId(read_bytes(id)?),
        device: DeviceId(read_bytes(device)?),
        holder: read_text(holder, symbols)?.to_owned(),
        purpose: Purpose::from_word(read_text(purpose, symbols)?).ok_or("an unknown purpose")?,
        minted: read_date(minted)?,
        scope: Scope {
            right: read_right(right)?,
            compartments: read_set(compartments, read_compartment)?,
            kinds: read_set(kinds, read_kind)?,
            label_max: read_label(label_max)?,
            operations: read_set(operations, |term| read_operation(term, symbols))?,
            not_before: read_date(not_before)?,
            not_after: read_date(not_after)?,
        },
    })
}

/// Reads a block after the first.
pub(super) fn read_narrowing(
    block: &schema::Block,
    symbols: &SymbolTable,
) -> Result<Narrowing, NotInIt> {
    refuse_extras(block)?;
    if !block.facts.is_empty() {
        return Err("a fact after the first block");
    }
    let mut narrowing = Narrowing::default();
    let mut last = None;
    for check in &block.checks {
        let limit = read_check(check, symbols, &mut narrowing)?;
        if last.is_some_and(|last| last >= limit) {
            return Err("checks twice or out of order");
        }
        last = Some(limit);
    }
    Ok(narrowing)
}

fn refuse_extras(block: &schema::Block) -> Result<(), NotInIt> {
    if !block.rules.is_empty() {
        return Err("a rule");
    }
    if !block.scope.is_empty() || !block.public_keys.is_empty() {
        return Err("trust in other keys");
    }
    if block.context.is_some() {
        return Err("a context");
    }
    if block.version != Some(DATALOG_VERSION) {
        return Err("another version of Datalog");
    }
    Ok(())
}

/// Reads one check into the narrowing; says what it limits.
fn read_check(
    check: &schema::Check,
    symbols: &SymbolTable,
    into: &mut Narrowing,
) -> Result<Limit, NotInIt> {
    let (None, [query]) = (check.kind, check.queries.as_slice()) else {
        return Err("a check of another kind");
    };
    let ([asked], [expression]) = (query.body.as_slice(), query.expressions.as_slice()) else {
        return Err("a check that joins");
    };
    let plain = symbols.get_symbol(query.head.name) == Some(QUERY) && query.head.terms.is_empty();
    let ([Value { content: Some(TermContent::Variable(x)) }], true, []) =
        (asked.terms.as_slice(), plain, query.scope.as_slice())
    else {
        return Err("a check of another form");
    };
    let [first, second, last] = expression.ops.as_slice() else {
        return Err("an expression of another form");
    };
    let (Some(OpContent::Value(first)), Some(OpContent::Value(second)), Some(operator)) =
        (&first.content, &second.content, &last.content)
    else {
        return Err("an expression of another form");
    };
    let OpContent::Binary(schema::OpBinary { kind: operator, ffi_name: None }) = operator else {
        return Err("an operator that is not allowed");
    };
    let is_x = |term: &Value| term.content == Some(TermContent::Variable(*x));
    // The variable comes first in a comparison and last in a test of membership.
    let contains = *operator == BinaryKind::Contains as i32;
    let (variable, value) = if contains { (second, first) } else { (first, second) };
    if !is_x(variable) {
        return Err("an expression of another form");
    }
    let name = symbols.get_symbol(asked.name).ok_or("an unknown symbol")?;
    let operator = BinaryKind::from_i32(*operator).ok_or("an unknown operator")?;
    match (name, operator) {
        ("now", BinaryKind::GreaterOrEqual) => {
            into.not_before = Some(read_date(value)?);
            Ok(Limit::NotBefore)
        }
        ("now", BinaryKind::LessThan) => {
            into.not_after = Some(read_date(value)?);
            Ok(Limit::NotAfter)
        }
        ("needs", BinaryKind::LessOrEqual) => {
            into.right = Some(read_right(value)?);
            Ok(Limit::Right)
        }
        ("compartment", BinaryKind::Contains) => {
            into.compartments = Some(read_set(value, read_compartment)?);
            Ok(Limit::Compartment)
        }
        ("kind", BinaryKind::Contains) => {
            into.kinds = Some(read_set(value, read_kind)?);
            Ok(Limit::Kind)
        }
        ("label", BinaryKind::LessOrEqual) => {
            into.label_max = Some(read_label(value)?);
            Ok(Limit::Label)
        }
        ("operation", BinaryKind::Contains) => {
            into.operations = Some(read_set(value, |term| read_operation(term, symbols))?);
            Ok(Limit::Operation)
        }
        _ => Err("a check of something else"),
    }
}

/// A term as the token carries it.
type Value = schema::Term;

fn read_bytes<const N: usize>(term: &Value) -> Result<[u8; N], NotInIt> {
    match &term.content {
        Some(TermContent::Bytes(bytes)) => {
            bytes.as_slice().try_into().map_err(|_| "an id of the wrong length")
        }
        _ => Err("a value that is not bytes"),
    }
}

fn read_text<'a>(term: &Value, symbols: &'a SymbolTable) -> Result<&'a str, NotInIt> {
    match term.content {
        Some(TermContent::String(symbol)) => symbols.get_symbol(symbol).ok_or("an unknown symbol"),
        _ => Err("a value that is not a text"),
    }
}

fn read_date(term: &Value) -> Result<Second, NotInIt> {
    match term.content {
        Some(TermContent::Date(seconds)) => Ok(Second(seconds)),
        _ => Err("a value that is not a date"),
    }
}

fn read_integer(term: &Value) -> Result<i64, NotInIt> {
    match term.content {
        Some(TermContent::Integer(number)) => Ok(number),
        _ => Err("a value that is not a number"),
    }
}

fn read_right(term: &Value) -> Result<PassRight, NotInIt> {
    match read_integer(term)? {
        1 => Ok(PassRight::Read),
        2 => Ok(PassRight::Write),
        _ => Err("an unknown right"),
    }
}

fn read_label(term: &Value) -> Result<Tlp, NotInIt> {
    let number = u8::try_from(read_integer(term)?).ok();
    number.and_then(Tlp::from_number).ok_or("an unknown label")
}

fn read_compartment(term: &Value) -> Result<CompartmentId, NotInIt> {
    read_bytes(term).map(CompartmentId)
}

fn read_kind(term: &Value) -> Result<Kind, NotInIt> {
    let number = u8::try_from(read_integer(term)?).ok();
    number.and_then(Kind::from_u8).ok_or("an unknown kind")
}

fn read_operation(term: &Value, symbols: &SymbolTable) -> Result<Operation, NotInIt> {
    read_text(term, symbols)?.parse().map_err(|_| "an unknown operation")
}

/// Reads a set; no item may stand in it twice.
fn read_set<T: Ord>(
    term: &Value,
    mut item: impl FnMut(&Value) -> Result<T, NotInIt>,
) -> Result<BTreeSet<T>, NotInIt> {
    let Some(TermContent::Set(schema::TermSet { set })) = &term.content else {
        return Err("a value that is not a set");
    };
    let mut items = BTreeSet::new();
    for term in set {
        if !items.insert(item(term)?) {
            return Err("a set with an item twice");
        }
    }
    Ok(items)
}
