//! The words of a pattern (STIX 2.1, section 9): literals, names, keywords and signs, each with its place.

use super::Fault;
use crate::time::WallTime;

/// A word, and the character that it begins at, from 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) word: Word,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// A keyword or a name of letters, digits, underscores and hyphens.
    Name(String),
    /// A literal.
    Literal(Literal),
    /// A sign: `[`, `<=`, `:`.
    Sign(&'static str),
}

/// A value that properties are compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Time(WallTime),
    Flag(bool),
}

/// Signs, the longer before their beginnings.
const SIGNS: [&str; 18] =
    ["==", "!=", "<>", "<=", ">=", "=", "<", ">", "[", "]", "(", ")", ":", ".", ",", "*", "+", "-"];

/// Takes a pattern apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Fault> {
    let mut found = Vec::new();
    let mut rest = text;
    let place =
        |rest: &str| text.get(..text.len() - rest.len()).unwrap_or_default().chars().count() + 1;
    loop {
        rest = blank(rest).map_err(|at| Fault::new(place(at), "a remark has no end"))?;
        let at = place(rest);
        let fault = |what: &str| Fault::new(at, what);
        let Some(first) = rest.chars().next() else { return Ok(found) };
        let (word, tail) = if first == '\'' {
            let (text, tail) = quoted(rest).ok_or_else(|| fault("a text has no closing quote"))?;
            (Word::Literal(Literal::Text(text)), tail)
        } else if let Some((mark, tail)) = typed(rest) {
            let (text, tail) =
                quoted(tail).ok_or_else(|| fault("a literal has no closing quote"))?;
            let literal = match mark {
                't' => time(&text).map(Literal::Time).ok_or("a time is t'2026-05-01T10:00:00Z'"),
                'h' => hex(&text)
                    .map(Literal::Bytes)
                    .ok_or("bytes are h'' with pairs of hexadecimal digits"),
                _ => base64(&text)
                    .map(Literal::Bytes)
                    .ok_or("bytes are b'' with base 64 and its padding"),
            };
            (Word::Literal(literal.map_err(fault)?), tail)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            let (name, tail) = rest.split_at(rest.find(|c| !named(c)).unwrap_or(rest.len()));
            (name_or_flag(name), tail)
        } else if let Some((literal, tail)) = number(rest) {
            (
                Word::Literal(
                    literal.ok_or_else(|| fault("the number is too large, or begins with 0"))?,
                ),
                tail,
            )
        } else {
            let sign = SIGNS.into_iter().find_map(|sign| Some((sign, rest.strip_prefix(sign)?)));
            let (sign, tail) = sign.ok_or_else(|| fault("nothing begins with this character"))?;
            (Word::Sign(sign), tail)
        };
        found.push(Token { at, word });
        rest = tail;
    }
}

fn name_or_flag(name: &str) -> Word {
    match name {
        "true" => Word::Literal(Literal::Flag(true)),
        "false" => Word::Literal(Literal::Flag(false)),
        name => Word::Name(name.to_owned()),
    }
}

/// What follows blanks and remarks; or the remark that has no end.
fn blank(mut rest: &str) -> Result<&str, &str> {
    loop {
        let trimmed = rest.trim_start();
        if let Some(remark) = trimmed.strip_prefix("/*") {
            rest = remark.split_once("*/").ok_or(trimmed)?.1;
        } else if let Some(remark) = trimmed.strip_prefix("//") {
            rest = remark.split_once(['\n', '\r']).map_or("", |(_, rest)| rest);
        } else {
            return Ok(trimmed);
        }
    }
}

/// The letter of `t'...'`, `h'...'` or `b'...'`, and the quote.
fn typed(rest: &str) -> Option<(char, &str)> {
    let mark = rest.chars().next().filter(|c| matches!(c, 't' | 'h' | 'b'))?;
    let tail = rest.get(1..)?;
    tail.starts_with('\'').then_some((mark, tail))
}

/// A text in quotes, in which a backslash makes the next character itself.
fn quoted(rest: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    loop {
        match chars.next()? {
            (at, '\'') => return Some((text, rest.get(at + 1..)?)),
            (_, '\\') => match chars.next()?.1 {
                c @ ('\'' | '\\') => text.push(c),
                _ => return None,
            },
            (_, c) => text.push(c),
        }
    }
}

/// A number with its sign; `None` inside if it is no 64-bit one, or begins with 0.
fn number(rest: &str) -> Option<(Option<Literal>, &str)> {
    let digits_from = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    let count = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = count(digits_from);
    let fraction = digits_from.get(whole..)?.strip_prefix('.').map_or(0, count);
    if whole == 0 && fraction == 0 {
        return None;
    }
    let sign = rest.len() - digits_from.len();
    let end = sign + whole + if fraction > 0 { fraction + 1 } else { 0 };
    let (text, tail) = rest.split_at_checked(end)?;
    if whole > 1 && digits_from.starts_with('0') {
        return Some((None, tail));
    }
    let literal = if fraction > 0 {
        text.parse().ok().filter(|number: &f64| number.is_finite()).map(Literal::Float)
    } else {
        text.parse().ok().map(Literal::Int)
    };
    Some((literal, tail))
}

fn time(text: &str) -> Option<WallTime> {
    let whole = text.len() >= 20 && text.as_bytes().get(10) == Some(&b'T') && text.ends_with('Z');
    WallTime::parse(text).filter(|_| whole)
}

/// Bytes from pairs of hexadecimal digits.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some((digit(high)? * 16 + digit(low)?) as u8),
            _ => None,
        })
        .collect()
}

/// Bytes from base 64 with its padding (RFC 4648, section 4).
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let six = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::new();
    for part in digits.as_bytes().chunks(4) {
        let mut held = 0_u32;
        for byte in part {
            held = held << 6 | u32::from(six(*byte)?);
        }
        held <<= 6 * (4 - part.len());
        bytes.extend(held.to_be_bytes().iter().skip(1).take(part.len() - 1));
    }
    Some(bytes)
}
