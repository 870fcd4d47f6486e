//! Sentences: the lines of a receiver (IEC 61162-1, NMEA 0183), each with a checksum and a piece of a
//! message, and the tag block (NMEA 4.0) or the fields after the checksum that say when it was heard.

use super::message::Bits;

/// Most pieces of one message (IEC 61162-1).
pub(super) const PIECES_MAX: usize = 9;

/// A sentence with a piece of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sentence<'a> {
    /// Which piece, from 1.
    pub(super) piece: usize,
    /// Of how many.
    pub(super) pieces: usize,
    /// What its pieces have in common and no other message of the same moment has: sequence number, channel
    /// and the station that heard it.
    pub(super) group: [&'a str; 3],
    /// The piece, six bits for each character.
    pub(super) payload: &'a str,
    /// How many bits at its end say nothing.
    pub(super) fill: usize,
    /// When it was heard, in ms since 1970.
    pub(super) heard_ms: Option<u64>,
}

/// Reads a line. `None` for one that has no piece of a message: blank, a remark, or another sentence.
pub(super) fn read(line: &str) -> Result<Option<Sentence<'_>>, String> {
    let line = line.trim();
    let (tags, line) = match line.strip_prefix('\\') {
        Some(rest) => {
            let (tags, line) = rest.split_once('\\').ok_or("its tag block has no end")?;
            (summed(tags, "tag block")?.0, line)
        }
        None => ("", line),
    };
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let body = line
        .strip_prefix(['!', '$'])
        .ok_or("it is no sentence: that begins with ! or $ and the letters of its sender")?;
    let (body, after) = summed(body, "sentence")?;
    let mut fields = body.split(',');
    let address = fields.next().unwrap_or_default();
    if !address.ends_with("VDM") && !address.ends_with("VDO") {
        return Ok(None);
    }
    let mut next = || fields.next().ok_or("it has too few fields: a sentence of AIS has seven");
    let (pieces, piece) = (next()?, next()?);
    let (sequence, channel, payload, fill) = (next()?, next()?, next()?, next()?);
    if fields.next().is_some() {
        return Err("it has too many fields: a sentence of AIS has seven".into());
    }
    let digit = |text: &str, most: usize| -> Option<usize> {
        let one = text.len() == 1 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|number| one && *number <= most)
    };
    let count = digit(pieces, PIECES_MAX).filter(|count| *count > 0);
    let at = count.and_then(|count| digit(piece, count)).filter(|at| *at > 0);
    let (Some(pieces), Some(piece)) = (count, at) else {
        return Err(format!("it is piece {} of {}, which cannot be", shown(piece), shown(pieces)));
    };
    let fill = digit(fill, 5).ok_or("its fill bits are no number from 0 to 5")?;
    if !payload.bytes().all(|byte| Bits::of_character(byte).is_some()) {
        return Err("its payload has a character that stands for no six bits".into());
    }
    Ok(Some(Sentence {
        piece,
        pieces,
        group: [sequence, channel, tag(tags, "s:").unwrap_or_default()],
        payload,
        fill,
        heard_ms: tag(tags, "c:").and_then(unix_ms).or_else(|| unix_ms(after.rsplit(',').next()?)),
    }))
}

/// What stands before a checksum that it fits, and after it.
fn summed<'a>(text: &'a str, what: &str) -> Result<(&'a str, &'a str), String> {
    let (body, rest) = text.split_once('*').ok_or_else(|| format!("its {what} has no checksum"))?;
    let (digits, after) = rest.split_at_checked(2).unwrap_or((rest, ""));
    let said = (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten();
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    let next = after.chars().next();
    if said.is_none() || next.is_some_and(|c| c != ',' && !c.is_whitespace()) {
        return Err(format!("the checksum of its {what} is no two hexadecimal digits"));
    }
    if said != Some(sum) {
        let digits = shown(digits);
        return Err(format!(
            "the checksum of its {what} is {sum:02X} and not {digits}: it is damaged"
        ));
    }
    Ok((body, after))
}

/// The value of a tag of a block.
fn tag<'a>(tags: &'a str, name: &str) -> Option<&'a str> {
    tags.split(',').find_map(|tag| tag.strip_prefix(name))
}

/// A time in whole seconds or milliseconds since 1970, between 2001 and 2286.
fn unix_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let number: u64 = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())??;
    match text.len() {
        10 => Some(number * 1_000),
        13 => Some(number),
        _ => None,
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summed_line(mark: char, body: &str) -> String {
        format!("{mark}{body}*{:02X}", body.bytes().fold(0, |sum, byte| sum ^ byte))
    }

    #[test]
    fn a_sentence_is_read_with_what_says_when() {
        let line = summed_line('!', "AIVDM,2,1,3,B,55Kilo0w,0");
        let plain = read(&line).unwrap().unwrap();
        assert_eq!((plain.piece, plain.pieces, plain.fill, plain.heard_ms), (1, 2, 0, None));
        assert_eq!(plain.group, ["3", "B", ""]);
        let tagged = format!("{}\\{line}", summed_line('\\', "s:r3669961,c:1120959341"));
        let tagged = read(&tagged).unwrap().unwrap();
        assert_eq!(tagged.heard_ms, Some(1_120_959_341_000));
        assert_eq!(tagged.group, ["3", "B", "r3669961"]);
        let trailed = format!("{line},s29746,d-112,T46.68304389,r01FRIV1,1268873462\r\n");
        assert_eq!(read(&trailed).unwrap().unwrap().heard_ms, Some(1_268_873_462_000));
        let others = [summed_line('$', "GPGGA,1"), summed_line('!', "ABVSI,r")];
        for nothing in
            ["", "  \r\n", "# a remark"].into_iter().chain(others.iter().map(String::as_str))
        {
            assert_eq!(read(nothing), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        let sentence = |body: &str| summed_line('!', body);
        for (line, said) in [
            ("hello".to_owned(), "no sentence"),
            ("!AIVDM,1,1,,A,15,0".into(), "no checksum"),
            ("!AIVDM,1,1,,A,15,0*0".into(), "no two hexadecimal digits"),
            ("!AIVDM,1,1,,A,15,0*zz".into(), "no two hexadecimal digits"),
            ("!AIVDM,1,1,,A,15,0*000".into(), "no two hexadecimal digits"),
            ("!AIVDM,1,1,,A,15,0*00".into(), "it is damaged"),
            ("\\c:1120959341*00\\!AIVDM".into(), "tag block is"),
            ("\\c:1120959341".into(), "no end"),
            (sentence("AIVDM,1,1,,A,15"), "too few fields"),
            (sentence("AIVDM,1,1,,A,15,0,0"), "too many fields"),
            (sentence("AIVDM,1,2,,A,15,0"), "piece 2 of 1"),
            (sentence("AIVDM,0,0,,A,15,0"), "piece 0 of 0"),
            (sentence("AIVDM,1,01,,A,15,0"), "piece 01 of 1"),
            (sentence("AIVDM,1,1,,A,15,6"), "fill bits"),
            (sentence("AIVDM,1,1,,A,1x~5,0"), "no six bits"),
        ] {
            let reason = read(&line).unwrap_err();
            assert!(reason.contains(said), "{line}: {reason}");
        }
    }
}
