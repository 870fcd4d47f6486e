//! The handshake and the keys of a thin link: Noise, revision 34, `KK` over X25519, ChaCha20-Poly1305
//! and SHA-256.
//!
//! Both sides know the other's static key beforehand (a device's agreement key, from its card), so two
//! messages of 48 bytes and their payloads suffice:
//!
//! ```text
//! open    1 || check (8) || Noise message 1, payload: conversation (8), run (4), attempt (4), flags (1)
//! answer  2 || check (8) || Noise message 2, payload: 0 a new conversation, 1 the one that you named
//! data    3 || number (4) || sealed body
//! ```
//! The prologue names both devices, the initiator first. The *check* is a short code under a key from
//! the two static keys: garbage and forgeries cost one hash and no curve operation. It adds nothing to
//! the secrecy or to the proof of identity, which are Noise's.
//!
//! Each frame under the keys has a number of its own, said in clear, that is the nonce: frames may be
//! lost, doubled and reordered. Keys seal at most [`FRAMES_PER_KEY_MAX`] frames; long before that a
//! new handshake makes new ones.

use snow::params::NoiseParams;
use snow::{Builder, HandshakeState, StatelessTransportState};
use tearline_crdt::entropy::Entropy;
use tearline_crdt::id::DeviceId;
use tearline_crdt::keys::{AgreementKey, DeviceKeys, SharedSecret};
use tearline_crdt::seal::derive;

use super::frame::{BODY_BYTES_MAX, LINK_FRAME_BYTES_MAX, SEALED_OVERHEAD_BYTES};
use super::received::Received;
use crate::noise::Resolver;

pub(super) const OPEN: u8 = 1;
pub(super) const ANSWER: u8 = 2;
pub(super) const DATA: u8 = 3;

/// The protocol's name; another version has another.
const SUITE: &str = "Noise_KK_25519_ChaChaPoly_SHA256";
const PROLOGUE: &[u8] = b"tearline/1/thin";
const CHECK_KEY: &[u8] = b"tearline/1/thin/check";

/// An ephemeral key and a tag: what Noise adds to a message's payload, in either direction.
const NOISE_BYTES: usize = 32 + 16;
const OPEN_PAYLOAD_BYTES: usize = 8 + 4 + 4 + 1;
const ANSWER_PAYLOAD_BYTES: usize = 1;
/// Sizes of the two messages.
pub(super) const OPEN_BYTES: usize = 1 + 8 + NOISE_BYTES + OPEN_PAYLOAD_BYTES;
pub(super) const ANSWER_BYTES: usize = 1 + 8 + NOISE_BYTES + ANSWER_PAYLOAD_BYTES;
/// Most bytes that the start of a session may take.
pub const HANDSHAKE_BYTES_MAX: usize = 200;
const _: () = assert!(OPEN_BYTES + ANSWER_BYTES <= HANDSHAKE_BYTES_MAX);

/// Frames after which keys are not used any more: a number has 4 bytes, and far fewer are ever
/// needed. The cipher's own limit (RFC 9001, appendix B.1.2: 2^36 forgeries tried) is far above.
pub(super) const FRAMES_PER_KEY_MAX: u32 = 1 << 20;

/// The short code in front of a handshake message.
pub(super) type Check = [u8; 8];
/// Stands where a first message answers none.
const NONE_ANSWERED: Check = [0; 8];
/// A conversation's name: the first bytes of the transcript's hash of its first handshake.
pub(super) type Conversation = [u8; 8];
/// No conversation.
pub(super) const NO_CONVERSATION: Conversation = [0; 8];

/// Why two devices can have no thin link.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PairError {
    /// The other device is this one.
    #[error("a thin link needs two devices")]
    Same,
    /// The other's agreement key is of small order: no secret can be agreed with it.
    #[error("the other device's agreement key is of small order")]
    WeakKey,
    /// The Noise library does not have the suite.
    #[error("the Noise library does not have {SUITE}")]
    Suite,
}

/// Two devices that know each other.
pub(super) struct Pair {
    own: DeviceId,
    peer: DeviceId,
    key: AgreementKey,
    peer_key: [u8; 32],
    check_key: SharedSecret,
    params: NoiseParams,
}

/// Our first message, while its answer is not here.
pub(super) struct Opening {
    state: HandshakeState,
    pub(super) check: Check,
    pub(super) bytes: Vec<u8>,
}

/// What the initiator wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Wish {
    /// The conversation that it holds.
    pub(super) conversation: Conversation,
    /// Random, drawn when the initiator started.
    pub(super) run: [u8; 4],
    /// Ascends within a run: of two first messages that cross each other the later one counts.
    pub(super) attempt: u32,
    /// New keys for it, even if the other side holds it, too.
    pub(super) renew: bool,
}

/// A finished handshake.
pub(super) struct Agreed {
    pub(super) keys: Keys,
    /// The conversation that goes on or begins.
    pub(super) conversation: Conversation,
    pub(super) goes_on: bool,
}

/// The other side's first message, read.
pub(super) struct Opened {
    state: HandshakeState,
    pub(super) check: Check,
    pub(super) wish: Wish,
}

/// A handshake message did not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Broken;

impl From<snow::Error> for Broken {
    fn from(_: snow::Error) -> Self {
        Self
    }
}

impl Wish {
    fn encode(self) -> Vec<u8> {
        let flags = [u8::from(self.renew)];
        [&self.conversation[..], &self.run, &self.attempt.to_be_bytes(), &flags].concat()
    }

    fn decode(payload: &[u8; OPEN_PAYLOAD_BYTES]) -> Option<Self> {
        let (conversation, rest) = payload.split_first_chunk()?;
        let (run, rest) = rest.split_first_chunk()?;
        let (attempt, flags) = rest.split_first_chunk()?;
        let renew = match flags {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let attempt = u32::from_be_bytes(*attempt);
        Some(Self { conversation: *conversation, run: *run, attempt, renew })
    }
}

impl Pair {
    pub(super) fn new(
        keys: &DeviceKeys,
        peer: DeviceId,
        peer_key: [u8; 32],
    ) -> Result<Self, PairError> {
        let own = keys.id();
        if own == peer {
            return Err(PairError::Same);
        }
        let key = keys.agreement_key().clone();
        let shared = key.agree(&peer_key).ok_or(PairError::WeakKey)?;
        let params = SUITE.parse().map_err(|_| PairError::Suite)?;
        let check_key = derive(shared.as_slice(), &[], &[CHECK_KEY]);
        Ok(Self { own, peer, key, peer_key, check_key, params })
    }

    pub(super) const fn peer(&self) -> DeviceId {
        self.peer
    }

    /// Of two handshakes that cross, that of the smaller device goes on.
    pub(super) fn wins(&self) -> bool {
        self.own < self.peer
    }

    /// Begins a handshake.
    pub(super) fn open(&self, entropy: &mut dyn Entropy, wish: Wish) -> Result<Opening, Broken> {
        let mut state = self.start(entropy, true)?;
        let message = write(&mut state, &wish.encode())?;
        let check = self.check(&self.own, &NONE_ANSWERED, &message);
        Ok(Opening { state, check, bytes: [&[OPEN][..], &check, &message].concat() })
    }

    /// Whether a first message comes from the other side, now or once; costs one hash.
    pub(super) fn check_open(&self, bytes: &[u8]) -> Option<Check> {
        let (check, message) = split(bytes, OPEN_BYTES)?;
        (self.check(&self.peer, &NONE_ANSWERED, message) == check).then_some(check)
    }

    /// Reads a first message whose check holds.
    pub(super) fn read_open(
        &self,
        entropy: &mut dyn Entropy,
        bytes: &[u8],
    ) -> Result<Opened, Broken> {
        let (check, message) = split(bytes, OPEN_BYTES).ok_or(Broken)?;
        let mut state = self.start(entropy, false)?;
        let mut payload = [0; OPEN_PAYLOAD_BYTES];
        let len = state.read_message(message, &mut payload)?;
        let wish = Wish::decode(&payload).filter(|_| len == OPEN_PAYLOAD_BYTES).ok_or(Broken)?;
        Ok(Opened { state, check, wish })
    }

    /// Answers it.
    pub(super) fn answer(
        &self,
        opened: Opened,
        goes_on: bool,
    ) -> Result<(Agreed, Vec<u8>), Broken> {
        let Opened { mut state, check, wish } = opened;
        let message = write(&mut state, &[u8::from(goes_on)])?;
        let own_check = self.check(&self.own, &check, &message);
        let bytes = [&[ANSWER][..], &own_check, &message].concat();
        Ok((agreed(state, goes_on.then_some(wish.conversation))?, bytes))
    }

    /// Whether this answers our first message; costs one hash.
    pub(super) fn check_answer(&self, opening: &Opening, bytes: &[u8]) -> bool {
        split(bytes, ANSWER_BYTES).is_some_and(|(check, message)| {
            self.check(&self.peer, &opening.check, message) == check
        })
    }

    /// Reads an answer whose check holds. `held` is the conversation that was named.
    pub(super) fn finish(
        &self,
        opening: Opening,
        held: Conversation,
        bytes: &[u8],
    ) -> Result<Agreed, Broken> {
        let (_, message) = split(bytes, ANSWER_BYTES).ok_or(Broken)?;
        let Opening { mut state, .. } = opening;
        let mut payload = [0; ANSWER_PAYLOAD_BYTES];
        let len = state.read_message(message, &mut payload)?;
        match (len, payload) {
            (ANSWER_PAYLOAD_BYTES, [0]) => agreed(state, None),
            (ANSWER_PAYLOAD_BYTES, [1]) if held != NO_CONVERSATION => agreed(state, Some(held)),
            _ => Err(Broken),
        }
    }

    /// The state before the first message.
    fn start(&self, entropy: &mut dyn Entropy, initiator: bool) -> Result<HandshakeState, Broken> {
        let mut seed = SharedSecret::default();
        entropy.fill(seed.as_mut_slice());
        let (first, second) =
            if initiator { (&self.own, &self.peer) } else { (&self.peer, &self.own) };
        let prologue = [PROLOGUE, &first.0, &second.0].concat();
        let scalar = self.key.scalar();
        let builder = Builder::with_resolver(self.params.clone(), Box::new(Resolver(seed)))
            .prologue(&prologue)?
            .local_private_key(scalar.as_slice())?
            .remote_public_key(&self.peer_key)?;
        Ok(if initiator { builder.build_initiator()? } else { builder.build_responder()? })
    }

    /// `answered` is the check of the message that is answered, zeros for a first one.
    fn check(&self, sender: &DeviceId, answered: &Check, message: &[u8]) -> Check {
        *derive(self.check_key.as_slice(), &[], &[&sender.0, answered, message])
    }
}

/// Check and Noise message of a handshake frame of this size.
fn split(bytes: &[u8], size: usize) -> Option<(Check, &[u8])> {
    if bytes.len() != size {
        return None;
    }
    let (check, message) = bytes.get(1..)?.split_first_chunk()?;
    Some((*check, message))
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, Broken> {
    let mut message = vec![0; NOISE_BYTES + payload.len()];
    let len = state.write_message(payload, &mut message)?;
    message.truncate(len);
    Ok(message)
}

fn agreed(state: HandshakeState, goes_on: Option<Conversation>) -> Result<Agreed, Broken> {
    let hash = state.get_handshake_hash().first_chunk().copied();
    let conversation = goes_on.or(hash).ok_or(Broken)?;
    let transport = state.into_stateless_transport_mode()?;
    let keys = Keys { transport, sent: 0, received: Received::default() };
    Ok(Agreed { keys, conversation, goes_on: goes_on.is_some() })
}

/// The keys of one handshake, and the numbers used under them.
pub(super) struct Keys {
    transport: StatelessTransportState,
    /// Number of the next frame.
    pub(super) sent: u32,
    pub(super) received: Received,
}

/// Why a data frame does not open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unopened {
    /// Its number was used, or is too far back to know.
    Repeated,
    /// It is not sealed under these keys.
    Sealed,
}

impl Keys {
    /// Seals a frame; says its number. `None` when the keys are used up.
    pub(super) fn seal(&mut self, body: &[u8]) -> Option<(u32, Vec<u8>)> {
        let number = self.sent;
        if number >= FRAMES_PER_KEY_MAX || body.len() > BODY_BYTES_MAX {
            return None;
        }
        let mut out = vec![0; body.len() + SEALED_OVERHEAD_BYTES];
        let (head, sealed) = out.split_first_chunk_mut::<5>()?;
        let [a, b, c, d] = number.to_be_bytes();
        *head = [DATA, a, b, c, d];
        self.transport.write_message(u64::from(number), body, sealed).ok()?;
        self.sent += 1;
        Some((number, out))
    }

    /// Opens a frame. Its number counts as used only when [`Received::note`] is told.
    pub(super) fn open(&self, frame: &[u8]) -> Result<(u32, Vec<u8>), Unopened> {
        let Some(([DATA, number @ ..], sealed)) = frame.split_first_chunk::<5>() else {
            return Err(Unopened::Sealed);
        };
        let number = u32::from_be_bytes(*number);
        if number >= FRAMES_PER_KEY_MAX {
            return Err(Unopened::Sealed);
        }
        if !self.received.is_new(number) {
            return Err(Unopened::Repeated);
        }
        let mut body = vec![0; LINK_FRAME_BYTES_MAX.max(sealed.len())];
        let opened = self.transport.read_message(u64::from(number), sealed, &mut body);
        let len = opened.map_err(|_| Unopened::Sealed)?;
        body.truncate(len);
        Ok((number, body))
    }
}

#[cfg(test)]
mod tests {
    use tearline_crdt::entropy::SeededEntropy;

    use super::*;

    const NEW: Wish = Wish { conversation: NO_CONVERSATION, run: [1; 4], attempt: 0, renew: false };

    fn keys(seed: u8) -> DeviceKeys {
        DeviceKeys::from_seeds(&[seed; 32], &[seed + 100; 32])
    }

    fn pair(own: u8, peer: u8) -> Pair {
        Pair::new(&keys(own), keys(peer).id(), keys(peer).agreement()).unwrap()
    }

    #[test]
    fn two_messages_of_132_bytes_agree_on_keys_for_each_direction() {
        let (a, b) = (pair(1, 2), pair(2, 1));
        let mut entropy = SeededEntropy::new(7);
        let wish = Wish { conversation: [5; 8], renew: true, attempt: u32::MAX, ..NEW };
        let opening = a.open(&mut entropy, wish).unwrap();
        assert_eq!(b.check_open(&opening.bytes), Some(opening.check));
        let opened = b.read_open(&mut entropy, &opening.bytes).unwrap();
        assert_eq!(opened.wish, wish);
        let (mut theirs, answer) = b.answer(opened, true).unwrap();
        assert_eq!(opening.bytes.len() + answer.len(), 132);
        assert!(a.check_answer(&opening, &answer));
        let mut ours = a.finish(opening, wish.conversation, &answer).unwrap();
        assert_eq!((ours.conversation, theirs.conversation), ([5; 8], [5; 8]));
        let (number, frame) = ours.keys.seal(b"there").unwrap();
        assert_eq!(frame.len(), 5 + SEALED_OVERHEAD_BYTES);
        assert_eq!(theirs.keys.open(&frame), Ok((number, b"there".to_vec())));
        assert_eq!(ours.keys.open(&frame), Err(Unopened::Sealed), "not what we said ourselves");
        theirs.keys.received.note(number);
        assert_eq!(theirs.keys.open(&frame), Err(Unopened::Repeated));
        let (_, back) = theirs.keys.seal(b"back").unwrap();
        assert_eq!(ours.keys.open(&back), Ok((0, b"back".to_vec())));
    }

    #[test]
    fn each_byte_of_a_message_and_each_name_is_bound() {
        let (a, b) = (pair(1, 2), pair(2, 1));
        let mut entropy = SeededEntropy::new(7);
        let opening = a.open(&mut entropy, NEW).unwrap();
        assert_eq!(a.check_open(&opening.bytes), None, "our own, sent back");
        assert_eq!(pair(2, 3).check_open(&opening.bytes), None, "another's");
        let opened = b.read_open(&mut entropy, &opening.bytes).unwrap();
        let (_, answer) = b.answer(opened, false).unwrap();
        for at in 1..OPEN_BYTES {
            let mut bytes = opening.bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(b.check_open(&bytes), None, "byte {at}");
            if at > 8 {
                // Behind the check, Noise itself refuses.
                assert!(b.read_open(&mut entropy, &bytes).is_err(), "byte {at}");
            }
        }
        for at in 1..ANSWER_BYTES {
            let mut bytes = answer.clone();
            bytes[at] ^= 1;
            assert!(!a.check_answer(&opening, &bytes), "byte {at}");
        }
        let another = a.open(&mut entropy, NEW).unwrap();
        assert!(!a.check_answer(&another, &answer), "the answer to another first message");
        let mut changed = answer.clone();
        changed[20] ^= 1;
        assert!(a.finish(another, NO_CONVERSATION, &changed).is_err());
        assert!(a.finish(opening, NO_CONVERSATION, &answer).is_ok());
    }

    #[test]
    fn an_answer_names_no_conversation_that_was_not_named() {
        let (a, b) = (pair(1, 2), pair(2, 1));
        let mut entropy = SeededEntropy::new(7);
        let opening = a.open(&mut entropy, NEW).unwrap();
        let opened = b.read_open(&mut entropy, &opening.bytes).unwrap();
        let (_, answer) = b.answer(opened, true).unwrap();
        assert!(a.finish(opening, NO_CONVERSATION, &answer).is_err());
    }

    #[test]
    fn weak_keys_and_oneself_are_refused() {
        let refused = |peer, key| Pair::new(&keys(1), peer, key).err();
        assert_eq!(refused(keys(2).id(), [0; 32]), Some(PairError::WeakKey));
        assert_eq!(refused(keys(1).id(), keys(1).agreement()), Some(PairError::Same));
    }

    #[test]
    fn keys_end() {
        let (a, b) = (pair(1, 2), pair(2, 1));
        let mut entropy = SeededEntropy::new(7);
        let opening = a.open(&mut entropy, NEW).unwrap();
        let opened = b.read_open(&mut entropy, &opening.bytes).unwrap();
        let (mut agreed, _) = b.answer(opened, false).unwrap();
        agreed.keys.sent = FRAMES_PER_KEY_MAX - 1;
        assert_eq!(agreed.keys.seal(&[0; BODY_BYTES_MAX]).unwrap().1.len(), LINK_FRAME_BYTES_MAX);
        assert!(agreed.keys.seal(b"").is_none());
        agreed.keys.sent = 0;
        assert!(agreed.keys.seal(&[0; BODY_BYTES_MAX + 1]).is_none());
    }
}
