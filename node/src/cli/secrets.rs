//! The flags that name where secrets come from: what opens a home or a backup, and what a new file
//! is sealed under. No flag takes a secret itself.

use std::env;
use std::path::PathBuf;

use clap::Args;

use super::GLOBAL;
use crate::protection::{KEY_FILE_VARIABLE, NewSources, PASSPHRASE_FILE_VARIABLE, Sources};

/// What opens. Every verb takes these.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Opens {
    /// A file that holds the passphrase, on one line [default: $TEARLINE_PASSPHRASE_FILE, or ask]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "PATH")]
    passphrase_file: Option<PathBuf>,
    /// A key file [default: $TEARLINE_KEY_FILE]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "PATH")]
    key_file: Option<PathBuf>,
}

impl Opens {
    /// The sources, those of the environment too.
    pub(super) fn sources(self, may_ask: bool) -> Sources {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let or = |named: Option<PathBuf>, name| named.or_else(|| variable(name).map(Into::into));
        Sources {
            passphrase_file: or(self.passphrase_file, PASSPHRASE_FILE_VARIABLE),
            key_file: or(self.key_file, KEY_FILE_VARIABLE),
            may_ask,
        }
    }
}

/// What a new file is sealed under.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Seals {
    /// Seal under the passphrase in this file [default: what --passphrase-file or --key-file names]
    #[arg(long, value_name = "PATH", conflicts_with = "new_key_file")]
    new_passphrase_file: Option<PathBuf>,
    /// Seal under this key file, which is made if it is not there; keep it on a medium apart
    #[arg(long, value_name = "PATH")]
    new_key_file: Option<PathBuf>,
}

impl Seals {
    /// The sources.
    pub(super) fn sources(self) -> NewSources {
        NewSources { passphrase_file: self.new_passphrase_file, key_file: self.new_key_file }
    }
}
