//! Slots: the file key for one recipient, under Noise, revision 34, pattern `X` over X25519,
//! ChaCha20-Poly1305 and SHA-256.
//!
//! `X` is one message from a sender whom the recipient comes to know by it to a recipient whose key
//! the sender knows: the devices' agreement keys. A slot that is for nobody is sealed to a key that
//! was drawn for it, so that none tells from another. Whoever has the recipient's secret key can make
//! a slot that seems to be of any sender; the chunks' signatures are the proof of who made a bundle.

use snow::Builder;
use snow::params::NoiseParams;
use tearline_crdt::entropy::Entropy;
use tearline_crdt::keys::{DeviceKeys, SharedSecret};
use tearline_crdt::seal::{Secret, TAG_BYTES};

use crate::noise::Resolver;

const SUITE: &str = "Noise_X_25519_ChaChaPoly_SHA256";
/// File key, maker, made at.
pub(super) const PAYLOAD_BYTES: usize = 32 + 32 + 8;
/// A slot: ephemeral key, the maker's key and the payload, both sealed.
pub const SLOT_BYTES: usize = 32 + 32 + TAG_BYTES + PAYLOAD_BYTES + TAG_BYTES;

pub(super) type Payload = Secret<PAYLOAD_BYTES>;

/// Seals a slot to an agreement key; `None` if that is of small order.
pub(super) fn seal(
    keys: &DeviceKeys,
    to: &[u8; 32],
    payload: &Payload,
    entropy: &mut dyn Entropy,
) -> Option<[u8; SLOT_BYTES]> {
    let mut seed = SharedSecret::default();
    entropy.fill(seed.as_mut_slice());
    let scalar = keys.agreement_key().scalar();
    let builder = builder(seed, scalar.as_slice()).and_then(|b| b.remote_public_key(to)).ok()?;
    let mut slot = [0; SLOT_BYTES];
    let len = builder.build_initiator().ok()?.write_message(payload.as_slice(), &mut slot).ok()?;
    (len == SLOT_BYTES).then_some(slot)
}

/// Opens a slot, if it is for these keys: the sender's agreement key, and the payload.
pub(super) fn open(keys: &DeviceKeys, slot: &[u8]) -> Option<([u8; 32], Payload)> {
    let scalar = keys.agreement_key().scalar();
    let mut state =
        builder(SharedSecret::default(), scalar.as_slice()).ok()?.build_responder().ok()?;
    let mut payload = Payload::new([0; PAYLOAD_BYTES]);
    let len = state.read_message(slot, payload.as_mut_slice()).ok()?;
    let sender = *state.get_remote_static()?.first_chunk()?;
    (len == PAYLOAD_BYTES).then_some((sender, payload))
}

fn builder(seed: SharedSecret, scalar: &[u8]) -> Result<Builder<'_>, snow::Error> {
    let params: NoiseParams = SUITE.parse()?;
    Builder::with_resolver(params, Box::new(Resolver(seed)))
        .prologue(PROLOGUE)?
        .local_private_key(scalar)
}

/// The prologue: magic and version.
const PROLOGUE: &[u8] = b"tearline bundle\n\x01";
