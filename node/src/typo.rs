//! What was probably meant by a word that is none of those that there are.

/// Most edits between what was written and what was probably meant.
const EDITS_MAX: usize = 2;
/// Longest word compared, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// Of words, each with what it stands for, that of the closest to what was written: by Levenshtein's
/// distance, two at most and less than the word is long.
pub(crate) fn nearest<W: AsRef<str>, T: Ord>(
    written: &str,
    known: impl IntoIterator<Item = (W, T)>,
) -> Option<T> {
    if written.len() > WORD_BYTES_MAX {
        return None;
    }
    let distances = known.into_iter().map(|(word, what)| {
        let distance = strsim::levenshtein(word.as_ref(), written);
        (distance, word.as_ref().chars().count(), what)
    });
    let near =
        distances.filter(|(distance, length, _)| *distance <= EDITS_MAX && distance < length);
    near.map(|(distance, _, what)| (distance, what)).min().map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_word_is_meant_and_none_that_is_far() {
        let meant = |written| nearest(written, ["plate", "place", "to"].map(|word| (word, word)));
        assert_eq!(meant("plte"), Some("plate"));
        assert_eq!(meant("placee"), Some("place"));
        assert_eq!(meant("colour"), None);
        assert_eq!(meant("ab"), None);
        assert_eq!(meant(&"plate".repeat(20)), None);
    }
}
