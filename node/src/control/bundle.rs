//! Bundles over the control socket: made, looked into, and taken.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::field::Enclosed;
use super::reply::AgencyRef;

/// From where on a bundle carries what its recipients lack.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Since {
    /// From what was last packed for them or heard of them.
    Last,
    /// From what was last heard of them: what was packed since may be lost.
    Heard,
    /// From the beginning.
    Start,
}

/// Arguments of [`Request::BundleExport`](super::Request::BundleExport).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BundleExport {
    /// For which devices.
    pub to: Vec<String>,
    /// From where on.
    pub since: Since,
    /// How large it may be.
    pub bytes_max: u64,
    /// Absolute path of the file to fill, which the client has created.
    pub part: PathBuf,
    /// Where it is put when it is whole.
    pub out: PathBuf,
}

/// Arguments of [`Request::BundleInspect`](super::Request::BundleInspect) and
/// [`Request::BundleImport`](super::Request::BundleImport).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BundleFile {
    /// Absolute path of the file.
    pub file: PathBuf,
    /// Absolute path of a file to fill with the map that it encloses; the client has created it.
    #[serde(default)]
    pub map: Option<PathBuf>,
}

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )*};
}

shapes! {
    /// A device that a bundle is of or for.
    Post {
        /// Its device id.
        device: String,
        /// What it is called here; null if nothing.
        name: Option<String>,
        /// Its agency.
        agency: AgencyRef,
    }

    /// `bundle export`.
    BundleMade {
        /// The bundle's name, in hex.
        bundle: String,
        /// When it was made.
        made: String,
        /// For whom.
        to: Vec<Post>,
        /// How many entries are in it, by class.
        entries: BTreeMap<String, u64>,
        /// Entries that had no room; the next bundle goes on with them.
        left: u64,
        /// The compartments left out because not all of the recipients are in them, by name.
        unshared: Vec<String>,
        /// The file's size.
        bytes: u64,
    }

    /// How many entries of a compartment are in a bundle.
    Content {
        /// The compartment, or the coalition; empty for all that are not known here.
        compartment: String,
        /// Its name.
        name: String,
        /// Entries.
        entries: u64,
    }

    /// `bundle inspect`.
    BundleInspected {
        /// The bundle's name, in hex.
        bundle: String,
        /// For how many devices it is, at least and at most.
        recipients: (usize, usize),
        /// When it was made, by its maker's clock; empty if it was not opened.
        made: String,
        /// Who made it; nobody if it was not opened.
        maker: Post,
        /// Why an import would not read it; null if it would.
        refused: Option<String>,
        /// How many entries are in it, by class.
        entries: BTreeMap<String, u64>,
        /// And by compartment.
        compartments: Vec<Content>,
        /// What it encloses, if it is a field pack.
        enclosed: Option<Enclosed>,
        /// Bytes of the file that hold.
        bytes: u64,
        /// What is wrong behind those; null if nothing is.
        problem: Option<String>,
    }

    /// `bundle import`. The numbers are of entries.
    BundleTaken {
        /// The bundle's name, in hex.
        bundle: String,
        /// When it was made, by its maker's clock.
        made: String,
        /// Who made it.
        maker: Post,
        /// Stored: they were not here.
        new: u64,
        /// Were here already.
        held: u64,
        /// Not taken: something before them is missing here.
        gap: u64,
        /// Not taken: they continue another branch of a forked log.
        other_branch: u64,
        /// Not taken now: of compartments or authors that are not known here, or for want of room.
        refused: u64,
        /// Whether a later bundle of this maker was read before, or this one.
        stale: bool,
        /// What it encloses, if it is a field pack.
        enclosed: Option<Enclosed>,
        /// Bytes of the file that were read.
        bytes: u64,
        /// Why it was not read to its end; null if it was.
        problem: Option<String>,
    }
}
