//! What is counted, as each language counts.

use std::borrow::Borrow;

use super::super::language::{Count, Language};

/// What is counted, in the forms that languages have: `#` stands for the number.
#[derive(Debug)]
pub(in super::super) struct Forms {
    pub(super) one: &'static str,
    pub(super) other: &'static str,
    /// Arabic's alone: zero, two, few, many.
    pub(super) more: [&'static str; 4],
}

impl Forms {
    /// So many of it.
    pub(in super::super) fn of(
        &self,
        language: impl Borrow<Language>,
        n: impl Borrow<u64>,
    ) -> String {
        let (language, n) = (*language.borrow(), *n.borrow());
        let [zero, two, few, many] = self.more;
        let form = match language.count(n) {
            Count::Zero => zero,
            Count::One => self.one,
            Count::Two => two,
            Count::Few => few,
            Count::Many => many,
            Count::Other => self.other,
        };
        form.replace('#', &n.to_string())
    }
}

pub(super) const fn forms(one: &'static str, other: &'static str) -> Forms {
    Forms { one, other, more: [other; 4] }
}
