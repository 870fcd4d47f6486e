//! What Noise (the `snow` library) computes with: ring's hash and cipher, our X25519, and for
//! randomness the one ephemeral scalar that its caller drew.

use snow::resolvers::{CryptoResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use tearline_crdt::keys::{AgreementKey, SharedSecret};

/// The primitives of one handshake or message. The secret is its ephemeral scalar.
pub(crate) struct Resolver(pub(crate) SharedSecret);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0.clone()))))
    }

    fn resolve_dh(&self, choice: &snow::params::DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            snow::params::DHChoice::Curve25519 => Some(Box::new(X25519(None))),
            snow::params::DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &snow::params::HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &snow::params::CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

/// Gives 32 bytes, once: a handshake draws one ephemeral key.
struct Once(Option<SharedSecret>);

impl Random for Once {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let seed = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != seed.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(seed.as_slice());
        Ok(())
    }
}

/// A key pair as Noise sees it; empty until it is set.
struct X25519(Option<AgreementKey>);

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        self.0 = privkey.try_into().ok().map(AgreementKey::from_scalar);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut scalar = SharedSecret::default();
        rng.try_fill_bytes(scalar.as_mut_slice())?;
        self.0 = Some(AgreementKey::from_scalar(&scalar));
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        match &self.0 {
            Some(pair) => pair.public(),
            None => &[0; 32],
        }
    }

    /// Asked for by `Builder::generate_keypair` alone, which is not used.
    fn privkey(&self) -> &[u8] {
        &[]
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let public = pubkey.first_chunk().ok_or(snow::Error::Dh)?;
        let pair = self.0.as_ref().ok_or(snow::Error::Dh)?;
        let shared = pair.agree(public).ok_or(snow::Error::Dh)?;
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.as_slice());
        Ok(())
    }
}
