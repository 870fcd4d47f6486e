//! Languages: which there are, which way they are written, and how they count.

use axum::http::{HeaderMap, header};

use super::words::{self, Words};

/// A language of the portal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Language {
    English,
    French,
    Arabic,
}

/// The forms that a language has for a number of things (Unicode CLDR, language plural rules, cardinals, of
/// whole numbers).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Count {
    Zero,
    One,
    Two,
    Few,
    Many,
    Other,
}

impl Language {
    pub(super) const ALL: [Self; 3] = [Self::English, Self::French, Self::Arabic];

    /// BCP 47.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
            Self::Arabic => "ar",
        }
    }

    /// What its speakers call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::French => "Français",
            Self::Arabic => "العربية",
        }
    }

    pub(super) const fn direction(self) -> &'static str {
        match self {
            Self::English | Self::French => "ltr",
            Self::Arabic => "rtl",
        }
    }

    pub(super) fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The first that a browser asks for and that there is (RFC 9110, section 12.5.4; the order stands for the
    /// weights, as browsers send them).
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT_LANGUAGE).iter();
        let ranges = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let codes = ranges.filter_map(|range| range.split([';', '-']).next());
        let mut known = codes.filter_map(|code| Self::parse(&code.trim().to_ascii_lowercase()));
        known.next().unwrap_or(Self::English)
    }

    pub(super) const fn words(self) -> &'static Words {
        match self {
            Self::English => &words::ENGLISH,
            Self::French => &words::FRENCH,
            Self::Arabic => &words::ARABIC,
        }
    }

    /// Which form a number of things takes.
    pub(super) const fn count(self, n: u64) -> Count {
        match (self, n) {
            (Self::English, 1) | (Self::French, 0 | 1) => Count::One,
            (Self::English | Self::French, _) => Count::Other,
            (Self::Arabic, 0) => Count::Zero,
            (Self::Arabic, 1) => Count::One,
            (Self::Arabic, 2) => Count::Two,
            (Self::Arabic, n) if matches!(n % 100, 3..=10) => Count::Few,
            (Self::Arabic, n) if n % 100 >= 11 => Count::Many,
            (Self::Arabic, _) => Count::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_their_forms() {
        use Count::{Few, Many, One, Other, Two, Zero};
        for (n, en, fr, ar) in [
            (0, Other, One, Zero),
            (1, One, One, One),
            (2, Other, Other, Two),
            (3, Other, Other, Few),
            (10, Other, Other, Few),
            (11, Other, Other, Many),
            (99, Other, Other, Many),
            (100, Other, Other, Other),
            (102, Other, Other, Other),
            (103, Other, Other, Few),
            (111, Other, Other, Many),
        ] {
            let found = Language::ALL.map(|language| language.count(n));
            assert_eq!(found, [en, fr, ar], "{n}");
        }
    }

    #[test]
    fn a_browser_is_answered_in_its_language() {
        for (asked, language) in [
            ("fr-TD, fr;q=0.9, en;q=0.8", Language::French),
            ("ha, ar;q=0.5", Language::Arabic),
            ("ha", Language::English),
            ("", Language::English),
        ] {
            let map = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, asked.parse().unwrap())]);
            assert_eq!(Language::accepted(&map), language, "{asked}");
        }
    }
}
