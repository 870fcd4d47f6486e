//! A request that was let in, with its parts read.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::HeaderMap;

use super::State;
use super::problem::Problem;
use super::share::Share;
use crate::serve::Seat;
use crate::service::edge::{Edge, Guest};

/// A request of the holder of a pass.
pub(super) struct Call<'a> {
    pub(super) state: &'a Arc<State>,
    pub(super) guest: Guest,
    /// What its pass may take at once.
    pub(super) share: Arc<Share>,
    /// Of its connection.
    pub(super) seat: Arc<Seat>,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
    pub(super) body: Bytes,
    /// What stands in the path's places, by their names.
    pub(super) places: Vec<(String, String)>,
}

impl Call<'_> {
    pub(super) fn edge(&self) -> &Edge {
        &self.state.edge
    }

    /// What stands in a place of the path; nothing where the route has no such place.
    pub(super) fn place(&self, name: &str) -> &str {
        let found = self.places.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// The parameters behind the question mark (URL Standard, `application/x-www-form-urlencoded`). Those
/// that a route does not know are left alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads them.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(Problem::bad(format!("the query has more than {QUERY_BYTES_MAX} bytes")));
        }
        Ok(Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }

    /// The value of a parameter that is there at most once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| &**value);
        match (found.next(), found.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Problem::bad(format!("the parameter {name} is there twice"))),
        }
    }

    /// The values of a parameter: between commas, and of each time that it is there.
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, Problem> {
        let found = self.0.iter().filter(|(key, _)| key == name);
        let values: Vec<String> =
            found.flat_map(|(_, value)| value.split(',')).map(str::to_owned).collect();
        if values.len() > VALUES_MAX || values.iter().any(String::is_empty) {
            return Err(Problem::bad(format!(
                "{name} takes 1 to {VALUES_MAX} values, with commas between"
            )));
        }
        Ok(values)
    }

    /// Fails where there is a parameter that is none of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(_) => Err(Problem::bad(format!("the parameters here are {}", known.join(", ")))),
        }
    }

    /// How many a page shall have.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.one("limit")? else { return Ok(default) };
        match text.parse::<u64>() {
            Ok(limit) if limit > 0 && !text.starts_with('+') => {
                Ok(usize::try_from(limit).unwrap_or(most).min(most))
            }
            _ => Err(Problem::bad(format!("limit is {text:?}; write a whole number from 1 on"))),
        }
    }
}

/// Longest query.
const QUERY_BYTES_MAX: usize = 8 * 1024;
/// Most values of one parameter.
const VALUES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let query = Query::parse("limit=5&match%5Bid%5D=a,b&match[id]=c&x=1&x=2&y=%2B+").unwrap();
        assert_eq!(query.limit(10, 100).unwrap(), 5);
        assert_eq!(query.list("match[id]").unwrap(), ["a", "b", "c"]);
        assert!(query.one("x").is_err());
        assert_eq!(query.one("y").unwrap(), Some("+ "));
        assert_eq!(query.one("z").unwrap(), None);
        assert!(Query::parse("match[type]=a,,b").unwrap().list("match[type]").is_err());
        let many = format!("q={}", "a,".repeat(VALUES_MAX + 1));
        assert!(Query::parse(&many).unwrap().list("q").is_err());
        assert!(Query::parse(&"a".repeat(QUERY_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_limit_is_a_number_above_nothing() {
        let limit = |text: &str| Query::parse(&format!("limit={text}")).unwrap().limit(10, 100);
        assert_eq!(limit("100").unwrap(), 100);
        assert_eq!(limit("18446744073709551615").unwrap(), 100);
        for wrong in ["0", "-1", "%2B5", "1.5", "many", "", "18446744073709551616"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
