//! `config`: the settings file.

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::output::{Outcome, data};
use crate::config::Config as Settings;
use crate::failure::Failure;

/// Show and change this device's settings
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Show all settings, with their defaults
    #[command(after_help = "\
Example:
  tearline config show")]
    Show,
    /// Show one setting
    #[command(after_help = "\
Example:
  tearline config get limits.peers_max")]
    Get {
        /// The setting's name
        key: String,
    },
    /// Change one setting; takes effect when the daemon starts
    #[command(after_help = "\
Example:
  tearline config set listen /ip4/0.0.0.0/udp/4001/quic-v1 /ip4/0.0.0.0/tcp/4001")]
    Set {
        /// The setting's name
        key: String,
        /// Its value; a list takes several, or [] for none
        #[arg(required = true, num_args = 1..)]
        value: Vec<String>,
    },
    /// Show where the settings file is
    #[command(after_help = "\
Example:
  tearline config path")]
    Path,
}

impl Config {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Show => "config.show",
            Self::Get { .. } => "config.get",
            Self::Set { .. } => "config.set",
            Self::Path => "config.path",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let home = &context.home;
        match self {
            Self::Show => {
                let settings = Settings::read(home)?;
                Ok(Outcome::new(data(&settings)?, settings.to_toml()?))
            }
            Self::Get { key } => one(&Settings::read(home)?, &key),
            Self::Set { key, value } => {
                home.check_root()?;
                Ok(one(&Settings::set(home, &key, &value)?, &key)?
                    .hint("takes effect when the daemon starts"))
            }
            Self::Path => {
                let path = home.config();
                Ok(Outcome::new(json!({ "path": path }), format!("{}\n", path.display())))
            }
        }
    }
}

fn one(settings: &Settings, key: &str) -> Result<Outcome, Failure> {
    let value = settings.setting(key)?;
    let text = match &value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = format!("{}\n", text.trim_end());
    Ok(Outcome::new(json!({ "key": key, "value": data(&value)? }), text))
}
