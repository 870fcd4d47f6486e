//! Regular expressions for `MATCHES`: the part of Perl's (PCRE) that is regular, found in time that grows with
//! the text and never with tricks in it. All states are followed at once, character by character (K. Thompson,
//! "Regular Expression Search Algorithm", 1968).
//!
//! What is not regular, or rarely used, is refused by name: references back, looking around, possessive and
//! atomic parts, POSIX classes, Unicode properties.

use std::iter::Peekable;
use std::str::Chars;

/// Most instructions of a program.
const PROGRAM_MAX: usize = 2_000;
/// Deepest nesting of groups.
const DEPTH_MAX: usize = 32;

/// An expression, ready to be searched for.
#[derive(Clone, Debug)]
pub(super) struct Regex {
    program: Vec<Step>,
    any_case: bool,
}

/// An instruction.
#[derive(Clone, Debug)]
enum Step {
    /// One of these characters, and on.
    One(Set),
    /// On here or there.
    Fork(usize, usize),
    /// On there.
    Jump(usize),
    /// On if this holds here.
    Require(Edge),
    /// Found.
    End,
}

/// Characters.
#[derive(Clone, Debug, Default)]
struct Set {
    ranges: Vec<(char, char)>,
    negated: bool,
}

impl Set {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != self.negated
    }
}

/// A place between characters.
#[derive(Clone, Copy, Debug)]
enum Edge {
    /// Before the first.
    Start,
    /// After the last, or before a last line feed.
    End,
    /// After the last.
    VeryEnd,
    /// Between a letter of a word and none, or not.
    Word(bool),
}

/// A part of an expression.
enum Part {
    One(Set),
    Edge(Edge),
    All(Vec<Self>),
    Either(Vec<Self>),
    Repeated(Box<Self>, usize, Option<usize>),
}

impl Regex {
    /// Reads an expression.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (any_case, text) = match text.strip_prefix("(?i)") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut reader = Reader { rest: text.chars().peekable(), depth: 0 };
        let part = reader.either()?;
        if reader.rest.next().is_some() {
            return Err("there is a `)` too many".into());
        }
        let mut program = Vec::new();
        emit(&part, &mut program)?;
        push(&mut program, Step::End)?;
        Ok(Self { program, any_case })
    }

    /// Whether it occurs in a text.
    pub(super) fn is_in(&self, text: &[char]) -> bool {
        let mut now = Vec::new();
        let mut next = Vec::new();
        // In which round a state was come to last.
        let mut seen = vec![usize::MAX; self.program.len()];
        for at in 0..=text.len() {
            // An occurrence may begin anywhere.
            if self.follow(0, text, at, &mut now, &mut seen) {
                return true;
            }
            let Some(c) = text.get(at) else { break };
            for state in now.drain(..) {
                if let Some(Step::One(set)) = self.program.get(state)
                    && self.fits(set, *c)
                    && self.follow(state + 1, text, at + 1, &mut next, &mut seen)
                {
                    return true;
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        false
    }

    /// Goes on from a state without a character, and notes the states that wait for one; whether it ends.
    fn follow(
        &self,
        from: usize,
        text: &[char],
        at: usize,
        waiting: &mut Vec<usize>,
        seen: &mut [usize],
    ) -> bool {
        let mut open = vec![from];
        while let Some(state) = open.pop() {
            match seen.get_mut(state) {
                Some(round) if *round != at => *round = at,
                _ => continue,
            }
            match self.program.get(state) {
                Some(Step::One(_)) => waiting.push(state),
                Some(Step::Fork(here, there)) => open.extend([*there, *here]),
                Some(Step::Jump(to)) => open.push(*to),
                Some(Step::Require(edge)) if holds(*edge, text, at) => open.push(state + 1),
                Some(Step::End) => return true,
                Some(Step::Require(_)) | None => {}
            }
        }
        false
    }

    fn fits(&self, set: &Set, c: char) -> bool {
        if !self.any_case {
            return set.has(c);
        }
        let mut cases = c.to_lowercase().chain(c.to_uppercase());
        if set.negated { cases.all(|c| set.has(c)) } else { cases.any(|c| set.has(c)) }
    }
}

fn holds(edge: Edge, text: &[char], at: usize) -> bool {
    let word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    match edge {
        Edge::Start => at == 0,
        Edge::VeryEnd => at == text.len(),
        Edge::End => at == text.len() || at + 1 == text.len() && text.get(at) == Some(&'\n'),
        Edge::Word(wanted) => {
            let before = at.checked_sub(1).and_then(|at| text.get(at));
            (word(before) != word(text.get(at))) == wanted
        }
    }
}

/// Appends the program of a part.
fn emit(part: &Part, program: &mut Vec<Step>) -> Result<(), String> {
    match part {
        Part::One(set) => push(program, Step::One(set.clone())),
        Part::Edge(edge) => push(program, Step::Require(*edge)),
        Part::All(parts) => parts.iter().try_for_each(|part| emit(part, program)),
        Part::Either(parts) => {
            let mut ends = Vec::new();
            for (n, part) in parts.iter().enumerate() {
                let fork = program.len();
                let last = n + 1 == parts.len();
                if !last {
                    push(program, Step::Fork(fork + 1, 0))?;
                }
                emit(part, program)?;
                if !last {
                    ends.push(program.len());
                    push(program, Step::Jump(0))?;
                    let end = program.len();
                    set(program, fork, Step::Fork(fork + 1, end));
                }
            }
            let end = program.len();
            ends.into_iter().for_each(|at| set(program, at, Step::Jump(end)));
            Ok(())
        }
        Part::Repeated(part, least, most) => {
            for _ in 0..*least {
                emit(part, program)?;
            }
            match most {
                None => {
                    let fork = program.len();
                    push(program, Step::Fork(fork + 1, 0))?;
                    emit(part, program)?;
                    push(program, Step::Jump(fork))?;
                    let end = program.len();
                    set(program, fork, Step::Fork(fork + 1, end));
                }
                Some(most) => {
                    let mut forks = Vec::new();
                    for _ in *least..*most {
                        forks.push(program.len());
                        push(program, Step::Fork(program.len() + 1, 0))?;
                        emit(part, program)?;
                    }
                    let end = program.len();
                    forks.into_iter().for_each(|at| set(program, at, Step::Fork(at + 1, end)));
                }
            }
            Ok(())
        }
    }
}

fn push(program: &mut Vec<Step>, step: Step) -> Result<(), String> {
    if program.len() >= PROGRAM_MAX {
        return Err(format!("it is too large: over {PROGRAM_MAX} steps"));
    }
    program.push(step);
    Ok(())
}

fn set(program: &mut [Step], at: usize, step: Step) {
    if let Some(place) = program.get_mut(at) {
        *place = step;
    }
}

/// An expression that is being read.
struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    depth: usize,
}

impl Reader<'_> {
    fn either(&mut self) -> Result<Part, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("its groups are nested deeper than {DEPTH_MAX}"));
        }
        let mut parts = vec![self.all()?];
        while self.rest.next_if_eq(&'|').is_some() {
            parts.push(self.all()?);
        }
        self.depth -= 1;
        Ok(Part::Either(parts))
    }

    fn all(&mut self) -> Result<Part, String> {
        let mut parts = Vec::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let part = match c {
                '(' => self.group()?,
                '[' => Part::One(self.class()?),
                '.' => Part::One(Set { ranges: vec![('\n', '\n')], negated: true }),
                '^' => Part::Edge(Edge::Start),
                '$' => Part::Edge(Edge::End),
                '*' | '+' | '?' => return Err(format!("`{c}` has nothing to repeat")),
                '\\' => self.escape()?,
                c => Part::One(one(c)),
            };
            parts.push(self.repeated(part)?);
        }
        Ok(Part::All(parts))
    }

    fn group(&mut self) -> Result<Part, String> {
        if self.rest.next_if_eq(&'?').is_some() {
            match self.rest.next() {
                Some(':') => {}
                Some('P' | '<' | '\'') => {
                    let name: String =
                        std::iter::from_fn(|| self.rest.next_if(|c| !matches!(c, '>' | '\'')))
                            .collect();
                    let named = self.rest.next().is_some();
                    if !named || name.starts_with(['=', '!']) {
                        return Err("looking around is not supported".into());
                    }
                }
                Some('=' | '!') => return Err("looking around is not supported".into()),
                _ => return Err("a group that begins with `(?` is not supported here".into()),
            }
        }
        let part = self.either()?;
        self.rest.next_if_eq(&')').ok_or("a `(` has no end")?;
        Ok(part)
    }

    fn repeated(&mut self, part: Part) -> Result<Part, String> {
        let sign = self.rest.peek().copied();
        let (least, most) = match sign {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.counts()? {
                Some(counts) => counts,
                None => return Ok(part),
            },
            _ => return Ok(part),
        };
        if sign != Some('{') {
            self.rest.next();
        }
        if matches!(part, Part::Edge(_)) {
            return Err("a place between characters cannot be repeated".into());
        }
        match self.rest.peek() {
            // As few as can be is as good as many: whether it occurs is the same.
            Some('?') => {
                self.rest.next();
            }
            Some('*' | '+') => return Err("repeating twice is not supported".into()),
            _ => {}
        }
        Ok(Part::Repeated(Box::new(part), least, most))
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else in braces is itself.
    fn counts(&mut self) -> Result<Option<(usize, Option<usize>)>, String> {
        let inside: String = self.rest.clone().skip(1).take_while(|c| *c != '}').take(12).collect();
        let (least, most) = inside.split_once(',').unwrap_or((&inside, &inside));
        let number = |text: &str| text.parse::<usize>().ok().filter(|_| !text.starts_with('+'));
        let Some(least) = number(least) else {
            return if self.rest.clone().nth(1).is_some_and(|c| c.is_ascii_digit()) {
                Err("its `{` does not say how often".into())
            } else {
                Ok(None)
            };
        };
        let most =
            if most.is_empty() { None } else { Some(number(most).ok_or("its `{` has no end")?) };
        if least > PROGRAM_MAX || most.is_some_and(|most| most < least || most > PROGRAM_MAX) {
            return Err(format!(
                "`{{{inside}}}` cannot be: from little to much, {PROGRAM_MAX} at most"
            ));
        }
        for _ in 0..=inside.chars().count() {
            self.rest.next();
        }
        self.rest.next_if_eq(&'}').ok_or("its `{` has no end")?;
        Ok(Some((least, most)))
    }

    fn class(&mut self) -> Result<Set, String> {
        let mut set = Set { ranges: Vec::new(), negated: self.rest.next_if_eq(&'^').is_some() };
        let mut first = true;
        loop {
            let c = self.rest.next().ok_or("a `[` has no end")?;
            if c == ']' && !first {
                return Ok(set);
            }
            first = false;
            let from = match c {
                '[' if self.rest.peek() == Some(&':') => {
                    return Err("classes such as [:alpha:] are not supported".into());
                }
                '\\' => match self.escaped_in_class()? {
                    Ok(c) => c,
                    Err(ranges) => {
                        set.ranges.extend(ranges);
                        continue;
                    }
                },
                c => c,
            };
            let mut ahead = self.rest.clone();
            let ranged = ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']');
            if !ranged {
                set.ranges.push((from, from));
                continue;
            }
            self.rest.next();
            let to = match self.rest.next() {
                Some('\\') => self.escaped_in_class()?.map_err(|_| "a range ends with a class")?,
                Some(c) => c,
                None => return Err("a `[` has no end".into()),
            };
            if to < from {
                return Err(format!("the range {from}-{to} goes backwards"));
            }
            set.ranges.push((from, to));
        }
    }

    /// The character, or the characters, of an escape in a class.
    fn escaped_in_class(&mut self) -> Result<Result<char, Vec<(char, char)>>, String> {
        let c = self.rest.next().ok_or("it ends with `\\`")?;
        if c == 'b' {
            return Ok(Ok('\u{8}'));
        }
        match class_of(c) {
            Some(Set { ranges, negated: false }) => Ok(Err(ranges)),
            Some(set) => Ok(Err(others(&set.ranges))),
            None => self.character(c).map(Ok),
        }
    }

    fn escape(&mut self) -> Result<Part, String> {
        let c = self.rest.next().ok_or("it ends with `\\`")?;
        Ok(match c {
            'b' => Part::Edge(Edge::Word(true)),
            'B' => Part::Edge(Edge::Word(false)),
            'A' => Part::Edge(Edge::Start),
            'Z' => Part::Edge(Edge::End),
            'z' => Part::Edge(Edge::VeryEnd),
            '1'..='9' | 'k' | 'g' => return Err("references back are not supported".into()),
            c => match class_of(c) {
                Some(set) => Part::One(set),
                None => Part::One(one(self.character(c)?)),
            },
        })
    }

    /// The one character of an escape.
    fn character(&mut self, c: char) -> Result<char, String> {
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'a' => '\u{7}',
            'e' => '\u{1b}',
            '0' => '\0',
            'x' | 'u' => {
                let braced = self.rest.next_if_eq(&'{').is_some();
                let most = if braced {
                    6
                } else if c == 'u' {
                    4
                } else {
                    2
                };
                let digits: String =
                    std::iter::from_fn(|| self.rest.next_if(char::is_ascii_hexdigit))
                        .take(most)
                        .collect();
                if braced && self.rest.next() != Some('}') {
                    return Err("its `\\x{` has no end".into());
                }
                let number = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                number.ok_or("its `\\x` names no character")?
            }
            c if c.is_ascii_alphanumeric() => return Err(format!("`\\{c}` is not supported")),
            c => c,
        })
    }
}

fn one(c: char) -> Set {
    Set { ranges: vec![(c, c)], negated: false }
}

/// The characters that an escape stands for.
fn class_of(c: char) -> Option<Set> {
    let ranges = match c.to_ascii_lowercase() {
        'd' => vec![('0', '9')],
        'w' => vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        's' => vec![('\t', '\r'), (' ', ' ')],
        _ => return None,
    };
    Some(Set { ranges, negated: c.is_ascii_uppercase() })
}

/// All characters but those of some ranges, which are in order.
fn others(ranges: &[(char, char)]) -> Vec<(char, char)> {
    let after = |c: char| char::from_u32(u32::from(c) + 1).unwrap_or(char::MAX);
    let before = |c: char| char::from_u32(u32::from(c).saturating_sub(1)).unwrap_or('\0');
    let starts = std::iter::once('\0').chain(ranges.iter().map(|(_, to)| after(*to)));
    let ends = ranges.iter().map(|(from, _)| before(*from)).chain(std::iter::once(char::MAX));
    starts.zip(ends).filter(|(from, to)| from <= to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_in(expression: &str, text: &str) -> bool {
        Regex::parse(expression).unwrap().is_in(&text.chars().collect::<Vec<_>>())
    }

    #[test]
    fn an_expression_occurs_or_not() {
        for (expression, yes, no) in [
            (
                "^Final Report.+\\.exe$",
                &["Final Report 3.exe", "Final Report..exe\n"][..],
                &["a Final Report 3.exe", "Final Report.exe"][..],
            ),
            (
                ".+\\@example\\.com$",
                &["joe@example.com"],
                &["joe@example.com.au", "joe@exampleXcom", "@example.com"],
            ),
            ("a|bc|", &["", "x"], &[]),
            ("^(a|bc)+d{2,3}?$", &["add", "abcaddd"], &["ad", "adddd", "dd"]),
            ("^x{0}y{2}z{1,}$", &["yyz", "yyzzz"], &["xyyz", "yz", "yy"]),
            ("[^a-c\\d]", &["d", "-"], &["abc123", ""]),
            ("^[\\w.-]+$", &["a_b.c-9"], &["a b", "é"]),
            ("^[]a]+$", &["]a]"], &["b"]),
            ("[\\W]", &["a b"], &["ab_9"]),
            ("\\bcat\\b", &["a cat.", "cat"], &["concat", "cats"]),
            ("(?i)^PowerShell", &["powershell.exe", "POWERSHELL"], &["xpowershell"]),
            ("(?i)[^a]", &["b"], &["A", "aA"]),
            ("\\xd4\\xc3\\x{b2}", &["\u{d4}\u{c3}\u{b2}\0"], &["\u{d4}"]),
            ("(?P<user>jo+)(?:hn)?@", &["john@", "joo@"], &["j@"]),
            ("a{,2}", &["a{,2}"], &["aa"]),
            ("^.$", &["é", "\u{1f600}"], &["\n", "ab"]),
            ("(a*)*b", &["aaab", "b"], &["aaa"]),
        ] {
            yes.iter()
                .for_each(|text| assert!(is_in(expression, text), "{expression} in {text:?}"));
            no.iter()
                .for_each(|text| assert!(!is_in(expression, text), "{expression} in {text:?}"));
        }
    }

    #[test]
    fn what_is_not_regular_is_refused_by_name() {
        for (expression, said) in [
            ("(?=a)", "looking around"),
            ("(?<!a)b", "looking around"),
            ("(a)\\1", "references back"),
            ("[[:alpha:]]", "not supported"),
            ("\\p{L}", "not supported"),
            ("a**", "twice"),
            ("a++", "twice"),
            ("(a", "no end"),
            ("a)", "too many"),
            ("[a", "no end"),
            ("*", "nothing to repeat"),
            ("a{2", "no end"),
            ("a{3,2}", "cannot be"),
            ("a{5000}", "cannot be"),
            ("[z-a]", "backwards"),
            ("\\", "ends with"),
            ("((a{99}){99}){99}", "too large"),
            ("\\xg", "no character"),
            ("(?>a)", "not supported"),
        ] {
            let refused = Regex::parse(expression).unwrap_err();
            assert!(refused.contains(said), "{expression}: {refused}");
        }
        assert!(Regex::parse(&"(".repeat(100_000)).is_err());
    }

    #[test]
    fn no_text_takes_long() {
        let text: Vec<char> = "a".repeat(60_000).chars().collect();
        assert!(!Regex::parse("(a*)*(a|aa)+$b").unwrap().is_in(&text));
    }

    proptest! {
        #[test]
        fn no_expression_makes_it_panic(expression in "[a-c(){}\\[\\]|*+?^$.\\\\dwsbx0-9,:<>=!-]{0,24}", text in "[a-c0-9\n -]{0,20}") {
            if let Ok(regex) = Regex::parse(&expression) {
                let _ = regex.is_in(&text.chars().collect::<Vec<_>>());
            }
        }
    }
}
