//! The settings: `config.toml` in the home folder, every one of them with a default, none of them
//! unknown. A mistake is named with its line and with what was probably meant.

use std::io;

use serde::{Deserialize, Serialize};
use tearline_mesh::net;
use tearline_mesh::net::thin::ThinAddress;
use toml_edit::{DocumentMut, Item, Value};

use crate::failure::Failure;
use crate::files::{read_text, write_atomically};
use crate::home::Home;
use crate::length;
use crate::logging;
use crate::typo;

/// What a device is told to do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What this device calls itself towards its peers.
    pub name: String,
    /// Where to listen for peers: multiaddresses. Port 0 lets the system choose a free one.
    pub listen: Vec<String>,
    /// Where peers reach this device, when that differs from `listen`: behind a router that
    /// forwards a port. What invitations name.
    pub announce: Vec<String>,
    /// Peers to keep a connection to: multiaddresses that end in `/p2p/PEER`, and thin links, which
    /// name the device by its whole id.
    pub peers: Vec<String>,
    /// What to log, as `TEARLINE_LOG`: "info", "tearline_mesh=debug,info".
    pub log: String,
    /// The keys of compartments.
    pub epochs: Epochs,
    /// What this device does with its own records.
    pub records: Records,
    /// Limits of the daemon.
    pub limits: Limits,
}

/// The keys of compartments.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Epochs {
    /// How long a compartment is written under one epoch before a desk begins the next: "30d"; "none"
    /// leaves that to removals and to `compartment rotate`.
    pub rotate_after: String,
}

/// What this device does with its own records.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// How long a change of this device that builds on something quarantined waits for an adoption,
    /// before the device writes it anew without that: "10m".
    pub reauthor_after: String,
}

/// Limits of the daemon.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most commands that the daemon works on at once.
    pub commands_max: u32,
    /// Most connections at once that peers dialed, and most that this peer dialed.
    pub peers_max: u32,
    /// What stays free of the store's disk, in MiB: below it no records are written or taken, and
    /// below a quarter of it nothing.
    pub disk_reserve_mib: u32,
    /// How long a peer may say that it has entries and give none, in seconds, before its link is ended.
    pub withheld_after_s: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: String::new(),
            listen: vec!["/ip4/127.0.0.1/udp/0/quic-v1".into(), "/ip4/127.0.0.1/tcp/0".into()],
            announce: Vec::new(),
            peers: Vec::new(),
            log: "info".into(),
            epochs: Epochs::default(),
            records: Records::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Epochs {
    fn default() -> Self {
        Self { rotate_after: "90d".into() }
    }
}

impl Epochs {
    /// The setting in ms; `None` if epochs are not rotated by their age.
    pub fn rotate_after_ms(&self) -> Result<Option<u64>, Failure> {
        let text = self.rotate_after.trim();
        if matches!(text, "none" | "0") {
            return Ok(None);
        }
        let seconds = length::read(text, ROTATE_AFTER_S_MAX);
        match seconds {
            Ok(seconds) if seconds >= ROTATE_AFTER_S_MIN => Ok(Some(seconds * 1_000)),
            Ok(_) => Err(Failure::usage(format!("epochs.rotate_after = {text:?} is too short"))
                .hint("1h at least; every new epoch is sealed to every reader")),
            Err(why) => {
                Err(Failure::usage(format!("epochs.rotate_after = {text:?} is no length of time"))
                    .hint(format!("{why}; or \"none\"")))
            }
        }
    }
}

impl Default for Records {
    fn default() -> Self {
        Self { reauthor_after: "10m".into() }
    }
}

impl Records {
    /// The setting in ms.
    pub fn reauthor_after_ms(&self) -> Result<u64, Failure> {
        let text = self.reauthor_after.trim();
        length::read(text, REAUTHOR_AFTER_S_MAX).map(|seconds| seconds * 1_000).map_err(|why| {
            Failure::usage(format!("records.reauthor_after = {text:?} is no length of time"))
                .hint(why)
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { commands_max: 32, peers_max: 128, disk_reserve_mib: 256, withheld_after_s: 600 }
    }
}

impl Limits {
    /// [`Limits::disk_reserve_mib`] in bytes.
    #[must_use]
    pub const fn disk_reserve_bytes(&self) -> u64 {
        self.disk_reserve_mib as u64 * 1024 * 1024
    }
}

impl Config {
    /// The settings of a home; the defaults where it has no file.
    pub fn read(home: &Home) -> Result<Self, Failure> {
        let path = home.config();
        Self::parse(&read_settings(home)?).map_err(|failure| Failure {
            what: format!("{}: {}", path.display(), failure.what),
            ..failure
        })
    }

    /// Reads settings from the text of a file.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let config: Self = toml::from_str(text).map_err(|error| explain(text, &error))?;
        config.check()?;
        Ok(config)
    }

    /// One setting, as TOML; `key` as in "limits.peers_max".
    pub fn setting(&self, key: &str) -> Result<toml::Value, Failure> {
        let whole = toml::Value::try_from(self)
            .map_err(|error| Failure::bug(format!("settings do not encode: {error}")))?;
        key.split('.')
            .try_fold(&whole, |value, part| value.get(part))
            .cloned()
            .ok_or_else(|| unknown_key(key))
    }

    /// The settings as TOML.
    pub fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(self)
            .map_err(|error| Failure::bug(format!("settings do not encode: {error}")))
    }

    /// Changes one setting in the home's file and leaves the rest of it, comments too, as it is.
    /// `values` are TOML, or plain text where a text is wanted; a list takes any number of them.
    /// Nothing is written if the result would not be valid.
    pub fn set(home: &Home, key: &str, values: &[String]) -> Result<Self, Failure> {
        let text = changed(&read_settings(home)?, key, values)?;
        let config = Self::parse(&text)?;
        if key == "name" && config.name.trim().is_empty() {
            return Err(Failure::usage("a device without a name cannot be told from others")
                .hint("as in: tearline config set name 'Post Kilo'"));
        }
        write_atomically(&home.config(), text.as_bytes())?;
        Ok(config)
    }

    /// The file that a new home begins with.
    #[must_use]
    pub fn template(name: &str) -> String {
        let name = Value::from(name);
        format!("# What this device calls itself towards its peers.\nname = {name}\n{TEMPLATE}")
    }

    fn check(&self) -> Result<(), Failure> {
        for (key, addresses) in [("listen", &self.listen), ("announce", &self.announce)] {
            for address in addresses {
                check_address(address).map_err(|failure| Failure {
                    what: format!("{key}: {}", failure.what),
                    ..failure
                })?;
            }
        }
        let thin_links = self.peers.iter().filter(|address| net::thin::is_thin(address)).count();
        if thin_links > THIN_LINKS_MAX {
            return Err(Failure::usage(format!("peers: {thin_links} thin links"))
                .hint(format!("a daemon keeps up to {THIN_LINKS_MAX}")));
        }
        for address in &self.peers {
            if net::thin::is_thin(address) {
                address.parse::<ThinAddress>().map_err(|error| {
                    Failure::usage(format!("peers: {address:?} is no thin link: {error}"))
                        .hint("the device is named by its whole id here: udp://192.0.2.7:7300/ID?rate=2400")
                })?;
            } else if net::split_address(address).is_none() {
                return Err(Failure::usage(format!("peers: {address:?} does not say which peer"))
                    .hint(
                        "write a multiaddress that ends in /p2p/PEER, as `tearline status` shows it \
                         there: /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW...",
                    ));
            }
        }
        logging::check(&self.log)
            .map_err(|failure| Failure { what: format!("log: {}", failure.what), ..failure })?;
        self.epochs.rotate_after_ms()?;
        self.records.reauthor_after_ms()?;
        for (key, value, least) in [
            ("limits.commands_max", self.limits.commands_max, 1),
            ("limits.peers_max", self.limits.peers_max, 1),
            ("limits.disk_reserve_mib", self.limits.disk_reserve_mib, DISK_RESERVE_MIB_MIN),
            ("limits.withheld_after_s", self.limits.withheld_after_s, WITHHELD_AFTER_S_MIN),
        ] {
            if !(least..=LIMIT_MAX).contains(&value) {
                return Err(Failure::usage(format!("{key} = {value} makes no sense"))
                    .hint(format!("{least} to {LIMIT_MAX}")));
            }
        }
        Ok(())
    }
}

/// Fails if a text is no address at which peers can be reached.
pub fn check_address(text: &str) -> Result<(), Failure> {
    if text.starts_with('/') && text.parse::<net::Multiaddr>().is_ok() {
        return Ok(());
    }
    Err(Failure::usage(format!("{text:?} is not a multiaddress"))
        .hint("as in /ip4/192.0.2.7/tcp/4001 or /dns/peer.example/udp/4001/quic-v1"))
}

fn read_settings(home: &Home) -> Result<String, Failure> {
    let path = home.config();
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(String::new());
    }
    read_text(&path, CONFIG_BYTES_MAX)
}

/// The text with one setting changed.
fn changed(text: &str, key: &str, values: &[String]) -> Result<String, Failure> {
    let default = Config::default().setting(key)?;
    let value = match (&default, values) {
        (toml::Value::Table(_), _) => {
            return Err(Failure::usage(format!("{key:?} is a section, not a setting"))
                .hint(format!("settings: {}", keys().join(", "))));
        }
        (toml::Value::Array(_), [one]) => match one.parse::<Value>() {
            Ok(list @ Value::Array(_)) => list,
            _ => Value::Array([one].into_iter().collect()),
        },
        (toml::Value::Array(_), many) => Value::Array(many.iter().collect()),
        (toml::Value::String(_), [one]) => match one.parse::<Value>() {
            Ok(text @ Value::String(_)) => text,
            _ => Value::from(one.as_str()),
        },
        (_, [one]) => one.parse::<Value>().unwrap_or_else(|_| Value::from(one.as_str())),
        (_, many) => {
            return Err(Failure::usage(format!("{key:?} takes one value, not {}", many.len())));
        }
    };
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        Failure::failed(format!("line {line}: {}", error.message()))
    })?;
    let mut table = document.as_table_mut();
    let (sections, name) = key.rsplit_once('.').map_or(("", key), |(s, n)| (s, n));
    for section in sections.split('.').filter(|section| !section.is_empty()) {
        let found = table.entry(section).or_insert_with(toml_edit::table);
        table = found.as_table_mut().ok_or_else(|| {
            Failure::failed(format!("{section:?} is not a section in the file"))
                .hint("write it as a section of its own: [limits]")
        })?;
    }
    match table.get_mut(name) {
        // The comment behind the old value stays behind the new one.
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        _ => {
            table.insert(name, Item::Value(value));
        }
    }
    Ok(document.to_string())
}

/// What is wrong with a file, with the line and with what was probably meant.
fn explain(text: &str, error: &toml::de::Error) -> Failure {
    let span = error.span().unwrap_or(0..0);
    let line = line_of(text, span.start);
    let message = error.message().trim_end_matches('.').replace('\n', " ");
    let failure = Failure::failed(format!("line {line}: {message}"));
    let written = text.get(span).unwrap_or_default().trim();
    match nearest(written) {
        Some(key) if message.contains("unknown field") => {
            failure.hint(format!("did you mean `{key}`?"))
        }
        _ => failure.hint(format!("settings: {}", keys().join(", "))),
    }
}

fn unknown_key(key: &str) -> Failure {
    let failure = Failure::usage(format!("there is no setting {key:?}"));
    match nearest(key) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("settings: {}", keys().join(", "))),
    }
}

/// All settings, by their full names.
fn keys() -> Vec<String> {
    let mut keys = Vec::new();
    if let Ok(toml::Value::Table(whole)) = toml::Value::try_from(Config::default()) {
        for (key, value) in whole {
            match value {
                toml::Value::Table(section) => {
                    keys.extend(section.keys().map(|inner| format!("{key}.{inner}")));
                }
                _ => keys.push(key),
            }
        }
    }
    keys
}

/// The setting whose name, or last part of it, is closest to what was written.
fn nearest(written: &str) -> Option<String> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    typo::nearest(&last(written), keys().into_iter().map(|key| (last(&key), key)))
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Longest settings file.
pub(crate) const CONFIG_BYTES_MAX: usize = 256 * 1024;
/// Shortest time between two epochs, and the longest that is taken: ten years.
const ROTATE_AFTER_S_MIN: u64 = 3_600;
const ROTATE_AFTER_S_MAX: u64 = 3_650 * 86_400;
/// Longest that a change waits before it is written anew.
const REAUTHOR_AFTER_S_MAX: u64 = 30 * length::DAY_S;
/// Least of [`Limits::withheld_after_s`]: a peer is asked four times in it.
const WITHHELD_AFTER_S_MIN: u32 = 4;
/// Least reserve, in MiB: a few flushes and what they leave behind.
const DISK_RESERVE_MIB_MIN: u32 = 16;
/// Most thin links of a daemon. Each keeps a socket or a line open, a task, and a machine of some KiB, and
/// calls once a minute while nobody answers.
pub(crate) const THIN_LINKS_MAX: usize = 32;
/// Largest value of a limit.
const LIMIT_MAX: u32 = 4_096;

const TEMPLATE: &str = r#"
# Where to listen for peers. The default is this machine alone, on free ports. To be reached by
# others, name an address of a network and a fixed port, and open it in the firewall:
# listen = ["/ip4/0.0.0.0/udp/4001/quic-v1", "/ip4/0.0.0.0/tcp/4001"]

# Where peers reach this device, if that differs: behind a router that forwards the port.
# announce = ["/ip4/203.0.113.5/udp/4001/quic-v1"]

# Peers to keep a connection to; `tearline peer add` keeps its own list in the store.
# peers = ["/ip4/203.0.113.9/tcp/4001/p2p/PEER", "udp://203.0.113.9:7300/DEVICE?rate=2400"]

# What to log to stderr; TEARLINE_LOG overrides it.
# log = "info"

# [epochs]
# How long a compartment is written under one epoch; "none" for no limit.
# rotate_after = "90d"

# [records]
# How long a change that builds on something quarantined waits before this device writes it anew.
# reauthor_after = "10m"

# [limits]
# commands_max = 32
# peers_max = 128
# What stays free of the disk, in MiB: below it no records are written or taken.
# disk_reserve_mib = 256
# How long a peer may say that it has entries and give none, in seconds, before it is blocked.
# withheld_after_s = 600
"#;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_empty_file_and_the_template_are_the_defaults() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        let named = Config { name: "KILO \"1\"".into(), ..Config::default() };
        assert_eq!(Config::parse(&Config::template("KILO \"1\"")).unwrap(), named);
        assert_eq!(Config::parse(&named.to_toml().unwrap()).unwrap(), named);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_was_meant() {
        let unknown = Config::parse("name = \"A\"\n\nlisten_ = []\n").unwrap_err();
        assert!(unknown.what.starts_with("line 3: unknown field"), "{}", unknown.what);
        assert_eq!(unknown.hint.as_deref(), Some("did you mean `listen`?"));
        let nested = Config::parse("[limits]\npers_max = 3\n").unwrap_err();
        assert!(nested.what.starts_with("line 2"), "{}", nested.what);
        assert_eq!(nested.hint.as_deref(), Some("did you mean `limits.peers_max`?"));
        let syntax = Config::parse("name = \"A\"\nlisten = [\n").unwrap_err();
        assert!(syntax.what.starts_with("line "), "{}", syntax.what);
        let kind = Config::parse("name = 3").unwrap_err();
        assert!(kind.what.contains("line 1"), "{}", kind.what);
        assert!(Config::parse("listen = [\"localhost:80\"]").is_err());
    }

    const PEER: &str =
        "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    #[test]
    fn what_would_be_ignored_is_a_mistake() {
        for (text, named) in [
            ("listen = [\"/ip4/1.2.3.4.5/tcp/1\"]", "\"/ip4/1.2.3.4.5/tcp/1\""),
            ("announce = [\"/a\"]", "announce: \"/a\""),
            ("peers = [\"/ip4/1.2.3.4/tcp/1\"]", "which peer"),
            ("peers = [\"udp://192.0.2.7:7300/KILO\"]", "/DEVICE"),
            ("peers = [\"kiss://192.0.2.7/KILO\"]", "kiss://192.0.2.7/KILO"),
            ("log = \"inof\"", "\"inof\""),
            ("log = \"info,tearline_mesh=loud\"", "\"tearline_mesh=loud\""),
        ] {
            let failure = Config::parse(text).unwrap_err();
            assert_eq!(failure.kind, crate::failure::Kind::Usage, "{text}");
            assert!(failure.what.contains(named), "{text}: {}", failure.what);
            assert!(failure.hint.is_some(), "{text}");
        }
        for text in ["log = \"tearline_mesh=debug,info\"", "log = \"off\"", "log = \"warn\""] {
            assert!(Config::parse(text).is_ok(), "{text}");
        }
        let thin = format!("udp://192.0.2.7:7300/{}?rate=600", "07".repeat(32));
        for peer in [PEER, &thin] {
            assert!(Config::parse(&format!("peers = [{peer:?}]")).is_ok(), "{peer}");
        }
        let still = format!("peers = [\"{}\"]", thin.replace("600", "0"));
        assert!(Config::parse(&still).unwrap_err().what.contains("rate"), "{still}");
    }

    #[test]
    fn thin_links_have_a_bound() {
        let peer = |n: usize| format!("\"udp://192.0.2.7:{}/{:064x}?rate=600\"", 7_300 + n, n);
        for (links, valid) in [(THIN_LINKS_MAX, true), (THIN_LINKS_MAX + 1, false)] {
            let peers: Vec<String> = (1..=links).map(peer).collect();
            let text = format!("peers = [{}]", peers.join(", "));
            assert_eq!(Config::parse(&text).is_ok(), valid, "{links}");
        }
    }

    #[test]
    fn limits_have_bounds() {
        for (value, valid) in [(0, false), (1, true), (LIMIT_MAX, true), (LIMIT_MAX + 1, false)] {
            let text = format!("[limits]\npeers_max = {value}");
            assert_eq!(Config::parse(&text).is_ok(), valid, "{value}");
        }
    }

    #[test]
    fn epochs_are_rotated_after_a_length_of_time_or_never() {
        let read = |text: &str| {
            let config = Config::parse(&format!("[epochs]\nrotate_after = {text:?}"))?;
            config.epochs.rotate_after_ms()
        };
        assert_eq!(Config::default().epochs.rotate_after_ms().unwrap(), Some(90 * 86_400_000));
        for (text, ms) in [
            ("none", None),
            ("0", None),
            ("1h", Some(3_600_000)),
            ("30d", Some(30 * 86_400_000)),
            ("3650d", Some(3_650 * 86_400_000)),
        ] {
            assert_eq!(read(text).unwrap(), ms, "{text}");
        }
        for text in ["", "59m", "3651d", "0d", "often", "-1d"] {
            let failure = read(text).unwrap_err();
            assert!(failure.what.contains("epochs.rotate_after"), "{text}: {}", failure.what);
        }
        assert!(read("59m").unwrap_err().hint.is_some_and(|hint| hint.contains("1h")));
    }

    #[test]
    fn what_waits_is_written_anew_after_a_length_of_time() {
        let read = |text: &str| {
            let config = Config::parse(&format!("[records]\nreauthor_after = {text:?}"))?;
            config.records.reauthor_after_ms()
        };
        let standard = Config::default().records.reauthor_after_ms().unwrap();
        assert_eq!(standard, tearline_mesh::replica::REAUTHOR_AFTER_MS);
        for (text, ms) in [("1s", 1_000), ("30d", 30 * 86_400_000)] {
            assert_eq!(read(text).unwrap(), ms, "{text}");
        }
        for text in ["", "0s", "31d", "never"] {
            let failure = read(text).unwrap_err();
            assert!(failure.what.contains("records.reauthor_after"), "{text}: {}", failure.what);
        }
    }

    #[test]
    fn setting_one_leaves_the_rest_of_the_file() {
        let text = "# mine\nlog = \"info\" # quiet\n";
        let text = changed(text, "log", &["debug".into()]).unwrap();
        assert_eq!(text, "# mine\nlog = \"debug\" # quiet\n");
        let text = changed(&text, "limits.peers_max", &["7".into()]).unwrap();
        assert_eq!(text, "# mine\nlog = \"debug\" # quiet\n\n[limits]\npeers_max = 7\n");
        let text = changed(&text, "peers", &[PEER.into()]).unwrap();
        let config = Config::parse(&text).unwrap();
        assert_eq!((config.limits.peers_max, config.log.as_str()), (7, "debug"));
        assert_eq!(config.peers, [PEER]);
        let two = ["/ip4/1.2.3.4/tcp/1", "/dns/a.example/tcp/2"];
        let list = changed("", "listen", &[format!("{two:?}")]).unwrap();
        assert_eq!(Config::parse(&list).unwrap().listen, two);
        let many = changed("", "listen", &two.map(str::to_owned)).unwrap();
        assert_eq!(Config::parse(&many).unwrap().listen, two);
        let none = changed("", "listen", &["[]".into()]).unwrap();
        assert!(Config::parse(&none).unwrap().listen.is_empty());
    }

    #[test]
    fn what_is_no_setting_is_not_set() {
        assert!(changed("", "limits", &["1".into()]).is_err());
        assert!(changed("", "log", &["a".into(), "b".into()]).is_err());
        let failure = changed("", "lisen", &["/a".into()]).unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some("did you mean `listen`?"));
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        home.create().unwrap();
        assert!(Config::set(&home, "limits.peers_max", &["many".into()]).is_err());
        assert!(!home.config().exists());
        Config::set(&home, "name", &["7".into()]).unwrap();
        assert_eq!(Config::read(&home).unwrap().name, "7");
        for empty in ["", "  ", "\"\"", "''", "\" \""] {
            assert!(Config::set(&home, "name", &[empty.into()]).is_err(), "{empty:?}");
            assert_eq!(Config::read(&home).unwrap().name, "7");
        }
        Config::set(&home, "name", &["\"KILO 7\"".into()]).unwrap();
        assert_eq!(Config::read(&home).unwrap().name, "KILO 7");
        fs::write(home.config(), "x y").unwrap();
        let failure = Config::read(&home).unwrap_err();
        assert!(failure.what.contains("config.toml: line 1"), "{}", failure.what);
    }
}
