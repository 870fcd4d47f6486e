//! KISS framing: how a host and a radio modem (TNC) mark frames on a serial line or a TCP connection
//! (Chepponis and Karn, "The KISS TNC: A simple Host-to-TNC communications protocol", 1987).
//!
//! A frame stands between two FEND bytes; its first byte is the port and the command, 0 for data on
//! port 0. FEND and FESC within it are escaped. Frames of other ports and commands are not for us.

use super::frame::LINK_FRAME_BYTES_MAX;

const FEND: u8 = 0xc0;
const FESC: u8 = 0xdb;
const TFEND: u8 = 0xdc;
const TFESC: u8 = 0xdd;

/// Data, on a port from 0 to 15.
const DATA: u8 = 0;
/// Most that a frame takes on the line: all of it escaped.
pub const ENCODED_BYTES_MAX: usize = 3 + 2 * LINK_FRAME_BYTES_MAX + 1;

/// A frame as it goes to the modem, on port 0.
#[must_use]
pub fn encode(frame: &[u8]) -> Vec<u8> {
    // The first FEND ends whatever noise came before.
    let mut out = vec![FEND, DATA];
    for byte in frame {
        match *byte {
            FEND => out.extend([FESC, TFEND]),
            FESC => out.extend([FESC, TFESC]),
            byte => out.push(byte),
        }
    }
    out.push(FEND);
    out
}

/// Takes frames off the bytes that come from a modem, however they are cut. Holds at most
/// [`LINK_FRAME_BYTES_MAX`] + 1 bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    frame: Vec<u8>,
    escaped: bool,
    /// The frame is too long, or badly escaped: it is passed over to its end.
    spoilt: bool,
    /// Frames that were passed over.
    spoilt_frames: u64,
}

impl Decoder {
    /// Takes one byte; gives the data frame that it ends.
    pub fn push(&mut self, byte: u8) -> Option<Vec<u8>> {
        if byte == FEND {
            return self.end();
        }
        let byte = match (std::mem::take(&mut self.escaped), byte) {
            (false, FESC) => {
                self.escaped = true;
                return None;
            }
            (false, byte) => byte,
            (true, TFEND) => FEND,
            (true, TFESC) => FESC,
            (true, _) => {
                self.spoilt = true;
                return None;
            }
        };
        // One byte more than the largest frame: the command.
        if self.frame.len() > LINK_FRAME_BYTES_MAX {
            self.spoilt = true;
        }
        if !self.spoilt {
            self.frame.push(byte);
        }
        None
    }

    /// Frames that were too long or badly escaped.
    #[must_use]
    pub const fn spoilt_frames(&self) -> u64 {
        self.spoilt_frames
    }

    fn end(&mut self) -> Option<Vec<u8>> {
        let frame = std::mem::take(&mut self.frame);
        let spoilt = std::mem::take(&mut self.spoilt) | std::mem::take(&mut self.escaped);
        if spoilt {
            self.spoilt_frames += 1;
            return None;
        }
        match frame.split_first() {
            Some((&DATA, rest)) if !rest.is_empty() => Some(rest.to_vec()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> (Vec<Vec<u8>>, u64) {
        let mut decoder = Decoder::default();
        let frames = bytes.iter().filter_map(|byte| decoder.push(*byte)).collect();
        (frames, decoder.spoilt_frames())
    }

    #[test]
    fn special_bytes_are_escaped_as_the_paper_has_it() {
        assert_eq!(encode(&[1, FEND, FESC, 2]), [0xc0, 0x00, 1, 0xdb, 0xdc, 0xdb, 0xdd, 2, 0xc0]);
        let all_escaped = encode(&[FEND; LINK_FRAME_BYTES_MAX]);
        assert!(all_escaped.len() <= ENCODED_BYTES_MAX);
        assert_eq!(decode(&all_escaped), (vec![vec![FEND; LINK_FRAME_BYTES_MAX]], 0));
    }

    #[test]
    fn a_frame_above_the_bound_and_bad_escapes_are_passed_over() {
        let good = encode(&[7; 3]);
        let long = encode(&[7; LINK_FRAME_BYTES_MAX + 1]);
        assert_eq!(decode(&[&long[..], &good].concat()), (vec![vec![7; 3]], 1));
        let endless = [&[FEND, DATA][..], &[9; 100_000]].concat();
        let mut decoder = Decoder::default();
        assert!(endless.iter().all(|byte| decoder.push(*byte).is_none()));
        assert!(decoder.frame.capacity() <= 2 * (LINK_FRAME_BYTES_MAX + 1));
        for bad in [&[FEND, DATA, 1, FESC, 2, FEND][..], &[FEND, DATA, 1, FESC, FEND]] {
            assert_eq!(decode(&[bad, &good].concat()), (vec![vec![7; 3]], 1));
        }
    }

    #[test]
    fn noise_empty_frames_and_other_commands_are_not_ours() {
        let good = encode(&[7; 3]);
        assert_eq!(decode(&[&[1, 2, 3][..], &good].concat()), (vec![vec![7; 3]], 0));
        assert_eq!(decode(&[FEND, FEND, FEND, DATA, FEND]), (vec![], 0));
        assert_eq!(decode(&[FEND, 0x06, 1, FEND, 0x10, 1, FEND]), (vec![], 0));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            frames in proptest::collection::vec(
                proptest::collection::vec(
                    prop_oneof![any::<u8>(), Just(FEND), Just(FESC), Just(TFEND)],
                    1..=LINK_FRAME_BYTES_MAX,
                ),
                0..5,
            )
        ) {
            let line: Vec<u8> = frames.iter().flat_map(|frame| encode(frame)).collect();
            prop_assert_eq!(decode(&line), (frames, 0));
        }
    }
}
