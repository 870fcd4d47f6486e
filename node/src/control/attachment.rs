//! Attachments over the control socket: attached, listed, and fetched.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Arguments of [`Request::RecordAttach`](super::Request::RecordAttach).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordAttach {
    /// The record.
    pub record: String,
    /// Absolute path of the file, as it is to be attached: the client has taken out what is not to travel.
    pub file: PathBuf,
    /// What it is called.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// A small picture of it, JPEG in base64; empty if there is none.
    #[serde(default)]
    pub thumbnail: String,
    /// The class of the entry that tells of it; routine if absent.
    #[serde(default)]
    pub class: Option<String>,
}

/// Arguments of [`Request::RecordFetch`](super::Request::RecordFetch).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordFetch {
    /// The record.
    pub record: String,
    /// The attachment's name, its id, or the beginning of that.
    pub name: String,
    /// Absolute path of the file to fill when all is here, which the client has created.
    pub part: PathBuf,
}

/// A file of a record: an item of `record attachments`; the answer of `record attach` and `fetch`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attachment {
    /// Its id.
    pub attachment: String,
    /// What it is called.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// A small picture of it, JPEG in base64; empty if there is none.
    pub thumbnail: String,
    /// Bytes of its sealed form that are here.
    pub held_bytes: u64,
    /// How many there are.
    pub sealed_bytes: u64,
    /// Whether a peer was asked for more, and has not answered yet.
    pub coming: bool,
}

impl Attachment {
    /// Whether all of it is here.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.held_bytes == self.sealed_bytes
    }
}

/// `record attachments`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attachments {
    /// The record's id.
    pub record: String,
    /// Its files, by name.
    pub attachments: Vec<Attachment>,
}
