//! SHA-256 with domain tags. One list of all tags, so that no two uses can collide: what is
//! hashed is `tag || 0x00 || bytes`, and no tag is a prefix of another's `tag || 0x00`. Every tag has
//! one use: bytes of one shape, encoded in one place. Where the same bytes are hashed for a name and
//! signed, one tag serves both.

use sha2::{Digest as _, Sha256};

/// A SHA-256 output.
pub type Digest = [u8; 32];

/// What a hash or signature is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Domain {
    /// An entry's outer header: hashed for its id, signed for its author.
    Entry,
    /// A coalition's charter: its hash is the coalition's id.
    Charter,
    /// A compartment's opening: its hash is the compartment's id.
    Compartment,
    /// The opener's signature under an opening.
    Opening,
    /// A log's identity (compartment, device, incarnation, class).
    Log,
    /// An agency root's signature under a desk's certificate.
    DeskCertificate,
    /// A device's own signature under its card.
    DeviceCard,
    /// A device's ML-KEM-768 key, as its card names it.
    KemKey,
    /// The name of an act of the whole.
    Act,
    /// An agency root's signature under an act of its own.
    RootAct,
    /// A record's id: its genesis log and key box.
    Record,
    /// An Automerge actor id: log, record and run.
    Actor,
    /// A leaf of a Merkle tree of hashes: a segment's entry ids or an epoch's boxes. Both are hashes
    /// under tags of their own.
    SegmentLeaf,
    /// An inner node of such a tree.
    SegmentNode,
    /// A box that an epoch's secret is sealed in for one device.
    EpochBox,
    /// A commitment to an epoch's secret.
    EpochCommit,
    /// An epoch's id.
    Epoch,
    /// A leaf of the frontier trie.
    FrontierLeaf,
    /// An inner node of the frontier trie.
    FrontierNode,
    /// A device with too many incarnations, as frontiers name it.
    Excess,
    /// The authority entries of an area that travel alone.
    Strays,
    /// The branch of a forked log that a mark chooses, as frontiers name it.
    ChosenBranch,
    /// What two peers compare when they meet.
    PairDigest,
    /// The authority logs that decide what is erased in a compartment.
    KnownAuthority,
    /// A compartment's name blinded for one session.
    SessionTag,
    /// A compartment's frontier, or the pair digest, blinded for one session.
    SessionRoot,
    /// An area's name in one bundle.
    BundleArea,
    /// A bundle's maker's signature under a chunk.
    BundleChunk,
    /// A device's signature under where it can be reached.
    Whereabouts,
    /// A device's signature under where it is.
    Presence,
    /// What a peer holds of where devices can be reached.
    KnownWhereabouts,
    /// An attachment's id: its length, and the list of its blocks' hashes.
    Attachment,
    /// A sealed block of an attachment.
    AttachmentBlock,
    /// A local index key.
    Index,
}

impl Domain {
    /// Those under which something is signed.
    pub const SIGNED: [Self; 8] = [
        Self::Entry,
        Self::Opening,
        Self::DeviceCard,
        Self::DeskCertificate,
        Self::RootAct,
        Self::BundleChunk,
        Self::Whereabouts,
        Self::Presence,
    ];

    /// The tag's bytes.
    #[must_use]
    pub const fn tag(self) -> &'static [u8] {
        match self {
            Self::Entry => b"tearline/1/entry",
            Self::Charter => b"tearline/1/charter",
            Self::Compartment => b"tearline/1/compartment",
            Self::Log => b"tearline/1/log",
            Self::DeskCertificate => b"tearline/1/desk-certificate",
            Self::DeviceCard => b"tearline/1/device-card",
            Self::KemKey => b"tearline/1/kem-key",
            Self::Opening => b"tearline/1/opening",
            Self::Act => b"tearline/1/act",
            Self::RootAct => b"tearline/1/root-act",
            Self::Record => b"tearline/1/record",
            Self::Actor => b"tearline/1/actor",
            Self::SegmentLeaf => b"tearline/1/segment-leaf",
            Self::SegmentNode => b"tearline/1/segment-node",
            Self::EpochBox => b"tearline/1/epoch-box",
            Self::EpochCommit => b"tearline/1/epoch-commit",
            Self::Epoch => b"tearline/1/epoch",
            Self::FrontierLeaf => b"tearline/1/frontier-leaf",
            Self::FrontierNode => b"tearline/1/frontier-node",
            Self::Excess => b"tearline/1/excess",
            Self::Strays => b"tearline/1/strays",
            Self::ChosenBranch => b"tearline/1/chosen-branch",
            Self::PairDigest => b"tearline/1/pair-digest",
            Self::KnownAuthority => b"tearline/1/known-authority",
            Self::SessionTag => b"tearline/1/session-tag",
            Self::SessionRoot => b"tearline/1/session-root",
            Self::BundleArea => b"tearline/1/bundle-area",
            Self::BundleChunk => b"tearline/1/bundle-chunk",
            Self::Whereabouts => b"tearline/1/whereabouts",
            Self::Presence => b"tearline/1/presence",
            Self::KnownWhereabouts => b"tearline/1/known-whereabouts",
            Self::Attachment => b"tearline/1/attachment",
            Self::AttachmentBlock => b"tearline/1/attachment-block",
            Self::Index => b"tearline/1/index",
        }
    }

    /// `SHA-256(tag || 0x00 || parts...)`. The parts must be of fixed or self-delimiting length.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(self.tag());
        hasher.update([0]);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    /// The bytes that are hashed or signed: `tag || 0x00 || bytes`.
    #[must_use]
    pub fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.tag(), &[0], bytes].concat()
    }
}

/// Plain SHA-256, for hashes of ciphertext named by an already tagged header.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}
