//! From words to a pattern: one function for each rule of the grammar (STIX 2.1, section 9.9), each of which
//! goes no deeper than [`DEPTH_MAX`].

use super::regex::Regex;
use super::token::{Literal, Token, Word, tokens};
use super::{
    Comparison, DEPTH_MAX, Fault, Network, Observing, Operator, Order, PATTERN_BYTES_MAX, Path,
    Pattern, Qualifier, REPEATS_MAX, Selector, TESTS_MAX, Test,
};

pub(super) fn pattern(text: &str) -> Result<Pattern, Fault> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(Fault::new(1, format!("a pattern has at most {PATTERN_BYTES_MAX} bytes")));
    }
    let end = text.chars().count() + 1;
    let mut reader =
        Reader { tokens: tokens(text)?, next: 0, end, depth: 0, tests: 0, blocks: Vec::new() };
    let root = reader.followed()?;
    match reader.tokens.get(reader.next) {
        None => Ok(Pattern { root, blocks: reader.blocks }),
        Some(token) => Err(Fault::new(
            token.at,
            "nothing can follow here but AND, OR, FOLLOWEDBY, WITHIN, REPEATS or START",
        )),
    }
}

struct Reader {
    tokens: Vec<Token>,
    next: usize,
    /// The place after the last character.
    end: usize,
    depth: usize,
    tests: usize,
    blocks: Vec<Comparison>,
}

impl Reader {
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |token| token.at)
    }

    fn fault<T>(&self, what: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::new(self.at(), what))
    }

    fn word(&self) -> Option<&Word> {
        self.tokens.get(self.next).map(|token| &token.word)
    }

    /// Takes a sign or keyword if it is next.
    fn takes(&mut self, wanted: &str) -> bool {
        let there = match self.word() {
            Some(Word::Sign(sign)) => *sign == wanted,
            Some(Word::Name(name)) => name == wanted,
            _ => false,
        };
        self.next += usize::from(there);
        there
    }

    fn must(&mut self, wanted: &str, what: &str) -> Result<(), Fault> {
        if self.takes(wanted) {
            Ok(())
        } else {
            self.fault(format!("`{wanted}` is missing here: {what}"))
        }
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fault(format!("brackets are nested deeper than {DEPTH_MAX}"));
        }
        Ok(())
    }

    /// Parts with an operator between them.
    fn list<T>(
        &mut self,
        operator: &str,
        part: impl Fn(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut parts = vec![part(self)?];
        while self.takes(operator) {
            parts.push(part(self)?);
        }
        Ok(parts)
    }

    fn followed(&mut self) -> Result<Observing, Fault> {
        Ok(Observing::of(self.list("FOLLOWEDBY", Self::either)?, Observing::Followed))
    }

    fn either(&mut self) -> Result<Observing, Fault> {
        Ok(Observing::of(self.list("OR", Self::all)?, Observing::Either))
    }

    fn all(&mut self) -> Result<Observing, Fault> {
        Ok(Observing::of(self.list("AND", Self::observing)?, Observing::All))
    }

    fn observing(&mut self) -> Result<Observing, Fault> {
        let mut found = if self.takes("[") {
            let block = self.comparison()?;
            self.must("]", "it ends what one observation is compared with")?;
            self.blocks.push(block);
            Observing::Block(self.blocks.len() - 1)
        } else if self.takes("(") {
            self.deeper()?;
            let inner = self.followed()?;
            self.must(")", "a bracket has no end")?;
            self.depth -= 1;
            inner
        } else {
            return self.fault("an observation begins with `[` or `(`");
        };
        let mut qualifiers = 0;
        while let Some(qualifier) = self.qualifier()? {
            qualifiers += 1;
            if qualifiers > DEPTH_MAX {
                return self.fault(format!("an observation has over {DEPTH_MAX} qualifiers"));
            }
            found = Observing::Qualified(Box::new(found), qualifier);
        }
        Ok(found)
    }

    fn qualifier(&mut self) -> Result<Option<Qualifier>, Fault> {
        let at = self.at();
        if self.takes("WITHIN") {
            let seconds = match self.literal("a number of seconds")? {
                Literal::Int(seconds) => seconds as f64,
                Literal::Float(seconds) => seconds,
                _ => return Err(Fault::new(at, "WITHIN takes a number of seconds")),
            };
            self.must("SECONDS", "WITHIN 5 SECONDS")?;
            if seconds <= 0.0 || seconds > SECONDS_MAX {
                return Err(Fault::new(
                    at,
                    format!("WITHIN takes more than 0 and at most {SECONDS_MAX} seconds"),
                ));
            }
            return Ok(Some(Qualifier::Within((seconds * 1_000.0) as u64)));
        }
        if self.takes("REPEATS") {
            let times = match self.literal("a number of times")? {
                Literal::Int(times) => usize::try_from(times).unwrap_or_default(),
                _ => 0,
            };
            self.must("TIMES", "REPEATS 5 TIMES")?;
            if !(1..=REPEATS_MAX).contains(&times) {
                return Err(Fault::new(at, format!("REPEATS takes 1 to {REPEATS_MAX} times")));
            }
            return Ok(Some(Qualifier::Repeats(times)));
        }
        if !self.takes("START") {
            return Ok(None);
        }
        let start = self.literal("START t'2026-05-01T10:00:00Z' STOP t'2026-05-02T10:00:00Z'")?;
        self.must("STOP", "it goes with START")?;
        let stop = self.literal("STOP t'2026-05-02T10:00:00Z'")?;
        match (start, stop) {
            (Literal::Time(start), Literal::Time(stop)) if start < stop => {
                Ok(Some(Qualifier::Between(start, stop)))
            }
            _ => Err(Fault::new(
                at,
                "START and STOP take times, t'2026-05-01T10:00:00Z', the first before the second",
            )),
        }
    }

    fn literal(&mut self, what: &str) -> Result<Literal, Fault> {
        match self.word() {
            Some(Word::Literal(literal)) => {
                let literal = literal.clone();
                self.next += 1;
                Ok(literal)
            }
            _ => self.fault(format!("a value is missing here: {what}")),
        }
    }

    fn comparison(&mut self) -> Result<Comparison, Fault> {
        let one = |reader: &mut Self| {
            Ok(Comparison::of(reader.list("AND", Self::test)?, Comparison::All))
        };
        Ok(Comparison::of(self.list("OR", one)?, Comparison::Either))
    }

    fn test(&mut self) -> Result<Comparison, Fault> {
        if self.takes("(") {
            self.deeper()?;
            let inner = self.comparison()?;
            self.must(")", "a bracket has no end")?;
            self.depth -= 1;
            return Ok(inner);
        }
        self.tests += 1;
        if self.tests > TESTS_MAX {
            return self.fault(format!("a pattern has over {TESTS_MAX} comparisons"));
        }
        let first = self.next;
        let negated = self.takes("NOT");
        if self.takes("EXISTS") {
            let path = self.path()?;
            return Ok(Comparison::Test(Test { path, negated, operator: Operator::Exists }));
        }
        self.next = first;
        let path = self.path()?;
        let negated = self.takes("NOT");
        let operator = self.operator()?;
        Ok(Comparison::Test(Test { path, negated, operator }))
    }

    fn operator(&mut self) -> Result<Operator, Fault> {
        let at = self.at();
        for (sign, order) in [
            ("=", Order::Equal),
            ("==", Order::Equal),
            ("!=", Order::Unequal),
            ("<>", Order::Unequal),
            ("<=", Order::AtMost),
            (">=", Order::AtLeast),
            ("<", Order::Below),
            (">", Order::Above),
        ] {
            if self.takes(sign) {
                let value = self.literal("what the property is compared with")?;
                let ordered = !matches!(order, Order::Equal | Order::Unequal);
                if ordered && matches!(value, Literal::Flag(_)) {
                    return Err(Fault::new(at, "true and false have no order"));
                }
                return Ok(Operator::Order(order, value));
            }
        }
        if self.takes("IN") {
            self.must("(", "IN ('a', 'b')")?;
            let mut values = Vec::new();
            if !self.takes(")") {
                values = self.list(",", |reader| reader.literal("a value of the set"))?;
                self.must(")", "IN ('a', 'b')")?;
            }
            return Ok(Operator::In(values));
        }
        for name in ["LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"] {
            if !self.takes(name) {
                continue;
            }
            let at = self.at();
            let Literal::Text(text) = self.literal("a text in quotes")? else {
                return Err(Fault::new(at, format!("{name} takes a text in quotes")));
            };
            let network = || {
                Network::parse(&text)
                    .ok_or_else(|| Fault::new(at, format!("{text:?} is no address or network")))
            };
            return Ok(match name {
                "LIKE" => Operator::Like(text.chars().collect()),
                "ISSUBSET" => Operator::Subset(network()),
                "ISSUPERSET" => Operator::Superset(network()),
                _ => Operator::Matches(Regex::parse(&text).map_err(|what| Fault::new(at, what))),
            });
        }
        self.fault("an operator is missing here: =, !=, <, <=, >, >=, IN, LIKE, MATCHES, ISSUBSET or ISSUPERSET")
    }

    fn path(&mut self) -> Result<Path, Fault> {
        let object_type = match self.word() {
            Some(Word::Name(name)) if !KEYWORDS.contains(&name.as_str()) => name.clone(),
            _ => return self.fault("a property is missing here, as in file:name"),
        };
        self.next += 1;
        self.must(":", "between an object's type and its property, as in file:name")?;
        let mut steps = vec![self.step()?];
        loop {
            if self.takes(".") {
                steps.push(self.step()?);
            } else if self.takes("[") {
                let any = self.takes("*");
                let at = self.at();
                let selector = if any {
                    Selector::Any
                } else {
                    match self.literal("the number of an item, or *")? {
                        Literal::Int(index) => Selector::Item(index),
                        _ => return Err(Fault::new(at, "an item has a whole number, or is *")),
                    }
                };
                self.must("]", "after the number of an item")?;
                steps.push(selector);
            } else {
                return Ok(Path { object_type, steps });
            }
            if steps.len() > DEPTH_MAX {
                return self.fault(format!("a path has over {DEPTH_MAX} parts"));
            }
        }
    }

    /// The name of a property: one with a hyphen is in quotes.
    fn step(&mut self) -> Result<Selector, Fault> {
        let name = match self.word() {
            Some(Word::Name(name)) if !name.contains('-') && !KEYWORDS.contains(&name.as_str()) => {
                name.clone()
            }
            Some(Word::Literal(Literal::Text(name))) => name.clone(),
            _ => {
                return self
                    .fault("a property's name is missing here; one with a hyphen is in quotes");
            }
        };
        self.next += 1;
        Ok(Selector::Name(name))
    }
}

/// Words that name nothing.
const KEYWORDS: [&str; 18] = [
    "AND",
    "OR",
    "NOT",
    "FOLLOWEDBY",
    "LIKE",
    "MATCHES",
    "ISSUPERSET",
    "ISSUBSET",
    "EXISTS",
    "LAST",
    "IN",
    "START",
    "STOP",
    "SECONDS",
    "WITHIN",
    "REPEATS",
    "TIMES",
    "true",
];

/// Longest time that WITHIN can say: 300 years.
const SECONDS_MAX: f64 = 1e10;
