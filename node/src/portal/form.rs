//! What a form or a query says (URL Standard, `application/x-www-form-urlencoded`), within bounds.

use axum::http::StatusCode;

/// Largest form, and longest query, in bytes.
pub(super) const FORM_BYTES_MAX: usize = 128 * 1024;
pub(super) const QUERY_BYTES_MAX: usize = 8 * 1024;
/// Most fields.
const FIELDS_MAX: usize = 256;

/// Names and values, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// The form of these names and values.
    pub(super) const fn of(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    pub(super) fn parse(bytes: &[u8], bytes_max: usize) -> Result<Self, StatusCode> {
        if bytes.len() > bytes_max {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let mut fields: Vec<(String, String)> =
            form_urlencoded::parse(bytes).into_owned().take(FIELDS_MAX + 1).collect();
        if fields.len() > FIELDS_MAX {
            return Err(StatusCode::BAD_REQUEST);
        }
        // Browsers send two bytes for a line end.
        for (_, value) in &mut fields {
            if value.contains('\r') {
                *value = value.replace("\r\n", "\n");
            }
        }
        Ok(Self(fields))
    }

    /// The first value of a name, without space around it; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// Whether there is such a field, empty or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// As it was typed: of a passphrase every space counts.
    pub(super) fn secret(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// All names and values, in their order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// All values of a name, without space around them.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields().filter(move |(known, _)| *known == name).map(|(_, value)| value.trim())
    }

    /// Those whose names begin so, without what they begin with, and that say something.
    pub(super) fn beginning<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let named = self
            .0
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.trim())));
        named.filter(|(_, value)| !value.is_empty())
    }

    /// The query that says the same with one parameter changed; empty values are left out.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (known, kept) in self.0.iter().filter(|(known, kept)| known != name && !kept.is_empty())
        {
            out.append_pair(known, kept);
        }
        if !value.is_empty() {
            out.append_pair(name, value);
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_within_its_bounds() {
        let form = Form::parse(b"a=+1+&set.x=2&set.y=&b=%0D%0A&a=3", 100).unwrap();
        assert_eq!((form.text("a"), form.secret("a"), form.text("c")), ("1", " 1 ", ""));
        assert_eq!(form.beginning("set.").collect::<Vec<_>>(), [("x", "2")]);
        assert_eq!(form.secret("b"), "\n");
        assert_eq!(Form::parse(b"q=a+b&after=1", 100).unwrap().with("after", ""), "q=a+b");
        assert!(Form::parse(&[b'a'; 101], 100).is_err());
        let many = "a=1&".repeat(FIELDS_MAX + 1);
        assert!(Form::parse(many.as_bytes(), FORM_BYTES_MAX).is_err());
    }
}
