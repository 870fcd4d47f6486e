//! From text to a pass. Parsing believes nothing and needs no key: size, then the shape of the
//! outer message, then the vocabulary of every block. Only [`UnverifiedPass::verify`] makes a
//! [`Pass`]. Biscuit's own parser and its signatures come last, and see only what has the shape.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use biscuit_auth::Biscuit;
use biscuit_auth::datalog::SymbolTable;
use biscuit_auth::format::schema;
use prost::Message as _;
use schema::proof::Content as Proof;
use schema::public_key::Algorithm;

use super::key::PassKey;
use super::scope::{Narrowing, Scope, ScopeError};
use super::terms::{Terms, TermsError};
use super::vocabulary::{read_narrowing, read_terms};
use super::{BLOCKS_MAX, FACTS_MAX, TOKEN_BYTES_MAX};

/// What the text of a pass begins with, so that a leaked one is recognised. The rest is the token
/// in base64url without padding.
pub const TEXT_PREFIX: &str = "tearline-pass_";

/// The name of a block and of all that was narrowed from it: its signature (RFC 8032), which
/// Biscuit calls its revocation identifier.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct BlockId(pub [u8; 64]);

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: String = self.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        write!(f, "BlockId({head})")
    }
}

/// Why a text is no pass of this device.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PassFault {
    /// Not the prefix and base64url.
    #[error("this is no pass: not {TEXT_PREFIX} and base64url")]
    Text,
    /// Longer than any pass.
    #[error("the pass has more than {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
    /// The bytes are no Biscuit.
    #[error("this is no pass: the token does not decode")]
    Malformed,
    /// It decodes, but another encoding of the same is the right one.
    #[error("the pass is not in its one encoding")]
    Encoding,
    /// More blocks than a pass may have.
    #[error("the pass has {found} blocks, at most {BLOCKS_MAX} can be")]
    TooManyBlocks {
        /// How many.
        found: usize,
    },
    /// More facts than a pass may have.
    #[error("the pass has {found} facts, at most {FACTS_MAX} can be")]
    TooManyFacts {
        /// How many.
        found: usize,
    },
    /// A block that somebody else signed too.
    #[error("{} of the pass is a third party's", part(*.block))]
    ThirdParty {
        /// Which.
        block: usize,
    },
    /// A block names a key that is not Ed25519.
    #[error("{} of the pass names a key of another algorithm", part(*.block))]
    Algorithm {
        /// Which.
        block: usize,
    },
    /// Sealed: a form of Biscuit that we do not use.
    #[error("the pass is sealed")]
    Sealed,
    /// A block says something that is not in the vocabulary.
    #[error("{} of the pass holds {what}", part(*.block))]
    Vocabulary {
        /// Which.
        block: usize,
        /// What it is, briefly.
        what: &'static str,
    },
    /// The first block grants what no pass can.
    #[error("the terms of the pass make no sense: {0}")]
    Terms(#[from] TermsError),
    /// A later block limits nothing or too much.
    #[error("{} of the pass makes no sense: {why}", part(*.block))]
    Narrowing {
        /// Which.
        block: usize,
        /// Why.
        why: ScopeError,
    },
    /// The chain of signatures does not begin at this device's pass key, or is broken.
    #[error("the pass was not minted here, or was changed")]
    Signature,
}

/// A pass as its holder shows it: it has the shape, and nobody checked a signature yet.
#[derive(Clone)]
pub struct UnverifiedPass {
    bytes: Vec<u8>,
    terms: Terms,
    narrowings: Vec<Narrowing>,
    blocks: Vec<BlockId>,
}

impl UnverifiedPass {
    /// Reads the text of a pass.
    pub fn parse(text: &str) -> Result<Self, PassFault> {
        let digits = text.strip_prefix(TEXT_PREFIX).ok_or(PassFault::Text)?;
        if digits.len() > TOKEN_BYTES_MAX.div_ceil(3) * 4 {
            return Err(PassFault::TooLarge);
        }
        let bytes = URL_SAFE_NO_PAD.decode(digits).map_err(|_| PassFault::Text)?;
        Self::decode(bytes)
    }

    pub(super) fn decode(bytes: Vec<u8>) -> Result<Self, PassFault> {
        if bytes.len() > TOKEN_BYTES_MAX {
            return Err(PassFault::TooLarge);
        }
        let token = schema::Biscuit::decode(bytes.as_slice()).map_err(|_| PassFault::Malformed)?;
        // No unknown field, no field twice, no key hint, no longer number than needed.
        if token.root_key_id.is_some() || token.encode_to_vec() != bytes {
            return Err(PassFault::Encoding);
        }
        let found = 1 + token.blocks.len();
        if found > BLOCKS_MAX {
            return Err(PassFault::TooManyBlocks { found });
        }
        match token.proof.content {
            Some(Proof::NextSecret(_)) => {}
            Some(Proof::FinalSignature(_)) => return Err(PassFault::Sealed),
            None => return Err(PassFault::Malformed),
        }
        let mut symbols = SymbolTable::new();
        let (first, id) = open_block(0, &token.authority, &mut symbols)?;
        if first.facts.len() > FACTS_MAX {
            return Err(PassFault::TooManyFacts { found: first.facts.len() });
        }
        let terms = read_terms(&first, &symbols)
            .map_err(|what| PassFault::Vocabulary { block: 0, what })?;
        terms.check()?;
        let (mut narrowings, mut blocks) = (Vec::new(), vec![id]);
        for (block, signed) in (1..).zip(&token.blocks) {
            let (open, id) = open_block(block, signed, &mut symbols)?;
            let narrowing = read_narrowing(&open, &symbols)
                .map_err(|what| PassFault::Vocabulary { block, what })?;
            narrowing.check().map_err(|why| PassFault::Narrowing { block, why })?;
            narrowings.push(narrowing);
            blocks.push(id);
        }
        Ok(Self { bytes, terms, narrowings, blocks })
    }

    /// Checks the chain of signatures from the device's pass key on.
    pub fn verify(self, key: &PassKey) -> Result<Pass, PassFault> {
        let root = key.verifier().map_err(|_| PassFault::Signature)?;
        let token = Biscuit::from(&self.bytes, root).map_err(|_| PassFault::Signature)?;
        Ok(Pass { token, said: self })
    }

    /// Its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{TEXT_PREFIX}{}", URL_SAFE_NO_PAD.encode(&self.bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What its first block says.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What its further blocks say.
    #[must_use]
    pub fn narrowings(&self) -> &[Narrowing] {
        &self.narrowings
    }

    /// What is left of its scope after all narrowings.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.narrowings.iter().fold(self.terms.scope.clone(), Scope::narrowed)
    }

    /// The names of its blocks, the first block's first.
    #[must_use]
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }
}

impl fmt::Debug for UnverifiedPass {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedPass({}, {} blocks)", self.terms.id, self.blocks.len())
    }
}

/// A pass that this device minted, perhaps narrowed since. Whether it allows something is for
/// [`check`](super::check) to say.
#[derive(Clone)]
pub struct Pass {
    token: Biscuit,
    said: UnverifiedPass,
}

impl Pass {
    /// What it says.
    #[must_use]
    pub const fn said(&self) -> &UnverifiedPass {
        &self.said
    }

    pub(super) const fn token(&self) -> &Biscuit {
        &self.token
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass({:?})", self.said)
    }
}

/// A block, for people: what the pass began with, or one of its narrowings, from 1.
pub(super) fn part(block: usize) -> String {
    match block {
        0 => "the first part".into(),
        block => format!("narrowing {block}"),
    }
}

/// Opens a signed block: its Datalog, and its name. Its symbols join those of the blocks before.
fn open_block(
    block: usize,
    signed: &schema::SignedBlock,
    symbols: &mut SymbolTable,
) -> Result<(schema::Block, BlockId), PassFault> {
    if signed.external_signature.is_some() {
        return Err(PassFault::ThirdParty { block });
    }
    if signed.next_key.algorithm != Algorithm::Ed25519 as i32 {
        return Err(PassFault::Algorithm { block });
    }
    let id = signed.signature.as_slice().try_into().map_err(|_| PassFault::Malformed)?;
    let data = signed.block.as_slice();
    let open = schema::Block::decode(data).map_err(|_| PassFault::Malformed)?;
    if open.encode_to_vec() != data {
        return Err(PassFault::Encoding);
    }
    SymbolTable::from(open.symbols.clone())
        .and_then(|table| symbols.extend(&table))
        .map_err(|_| PassFault::Vocabulary { block, what: "a symbol twice" })?;
    Ok((open, BlockId(id)))
}
