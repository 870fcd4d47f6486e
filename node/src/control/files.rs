//! What is asked about files of other programs: `import` and `export`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Request;

/// A format of files that are read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A STIX 2.1 bundle.
    Stix,
    /// Comma-separated values with a header row.
    Csv,
    /// A GeoJSON feature collection.
    Geojson,
    /// Sentences of AIS receivers (NMEA 0183).
    Ais,
    /// Events of MISP.
    Misp,
    /// Events of Cursor on Target.
    Cot,
}

/// A format of files that are written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A STIX 2.1 bundle.
    Stix,
    /// Comma-separated values with a header row.
    Csv,
    /// A GeoJSON feature collection.
    Geojson,
    /// A feed of MISP: a folder.
    #[serde(rename = "misp-feed")]
    MispFeed,
}

/// Arguments of [`Request::Import`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Absolute paths of the files.
    pub files: Vec<PathBuf>,
    /// Which of them holds what came by standard input, so that problems are said to be there.
    #[serde(default)]
    pub stdin: Option<PathBuf>,
    /// Where to.
    pub compartment: String,
    /// Their format; by the file's name and beginning if absent.
    #[serde(default)]
    pub format: Option<Source>,
    /// Absolute path of the TOML file that maps columns to fields, for CSV.
    #[serde(default)]
    pub map: Option<PathBuf>,
    /// The least restrictive label of what is written; the file's markings are joined to it.
    #[serde(default)]
    pub label: Option<String>,
    /// The entries' class; routine if absent.
    #[serde(default)]
    pub class: Option<String>,
}

/// Arguments of [`Request::Export`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The format to write.
    pub format: Format,
    /// Only of this compartment.
    #[serde(default)]
    pub compartment: Option<String>,
    /// Only what this query finds; everything if absent.
    #[serde(default)]
    pub query: Option<String>,
    /// Absolute path of the file to fill; of a feed that of an empty folder.
    pub out: PathBuf,
}

/// Arguments of [`Request::Outgoing`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Outgoing {
    /// Of which compartment.
    pub compartment: String,
    /// Records whose present state came later than this, in µs since 1970.
    pub after_us: u64,
    /// Most of them.
    pub limit: u32,
    /// The most restrictive TLP colour that a record may have.
    pub label_max: String,
    /// What they go out for: a label that does not allow it keeps its record back.
    pub purpose: String,
    /// Whether other agencies' records are among them.
    pub others: bool,
}
