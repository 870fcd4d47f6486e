//! Addresses of thin links, as text:
//!
//! ```text
//! udp://HOST:PORT/DEVICE?bind=PORT&rate=2400        datagrams, to the one who is there
//! udp://*/DEVICE?bind=PORT&rate=2400                to where its last valid datagram came from
//! kiss://HOST:PORT/DEVICE?rate=1200                 a modem behind TCP, as Dire Wolf is
//! kiss:///dev/ttyUSB0/DEVICE?baud=9600&rate=1200    a modem on a serial line
//! ```
//!
//! `rate` is what the line carries, in bit/s; `duplex` is `full` or `half`, and half for a modem unless
//! it is said; `bind` is an address or a port of ours.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use tearline_crdt::id::DeviceId;

use crate::thin::{HalfDuplex, Line};

/// Where the other side of a thin link is, and how the line is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThinAddress {
    /// What carries it.
    pub medium: Medium,
    /// The device at the other end.
    pub device: DeviceId,
    /// How the line is.
    pub line: Line,
}

/// What carries the frames of a thin link.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Medium {
    /// UDP datagrams.
    Udp {
        /// Where from.
        bind: SocketAddr,
        /// Where to, `HOST:PORT`; none for where the last valid one came from.
        to: Option<String>,
    },
    /// A KISS modem that listens on TCP, `HOST:PORT`.
    KissTcp {
        /// Where.
        at: String,
    },
    /// A KISS modem on a serial line.
    KissSerial {
        /// The line's file.
        path: String,
        /// The speed between the host and the modem, in bit/s.
        baud: u32,
    },
}

/// What is wrong with the address of a thin link.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// It begins with neither `udp://` nor `kiss://`.
    #[error("it begins with neither udp:// nor kiss://")]
    Scheme,
    /// It does not say which device is at the other end.
    #[error("it does not end in /DEVICE, the device at the other end")]
    Device,
    /// It does not say where.
    #[error("{0:?} is no HOST:PORT")]
    Host(String),
    /// A setting that there is not.
    #[error("{0:?} is none of bind=, rate=, duplex= and baud=, or not one of this kind of line")]
    Setting(String),
    /// A setting's value.
    #[error("{0}: {1}")]
    Value(&'static str, &'static str),
}

/// What a line carries that says nothing else, in bit/s.
const RATE_BITS_PER_S: u32 = 2_400;
/// What lines carry, in bit/s.
const RATE_BITS_PER_S_MIN: u32 = 50;
const RATE_BITS_PER_S_MAX: u32 = 10_000_000;
/// The speed of a serial line that says nothing else, in bit/s.
const BAUD: u32 = 9_600;

/// Whether a text is meant for the address of a thin link.
#[must_use]
pub fn is_thin(text: &str) -> bool {
    text.starts_with(UDP) || text.starts_with(KISS)
}

const UDP: &str = "udp://";
const KISS: &str = "kiss://";

impl ThinAddress {
    /// Reads an address whose device `find` finds by what is written there.
    pub fn read(
        text: &str,
        find: impl FnOnce(&str) -> Option<DeviceId>,
    ) -> Result<Self, AddressError> {
        let (udp, rest) = match (text.strip_prefix(UDP), text.strip_prefix(KISS)) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(AddressError::Scheme),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, device) = place.rsplit_once('/').ok_or(AddressError::Device)?;
        let device = find(device).ok_or(AddressError::Device)?;
        let serial = !udp && place.starts_with('/');
        let mut bind = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut rate = RATE_BITS_PER_S;
        let mut half = !udp;
        let mut baud = BAUD;
        for setting in query.split('&').filter(|setting| !setting.is_empty()) {
            match setting.split_once('=') {
                Some(("bind", value)) if udp => bind = read_bind(value)?,
                Some(("rate", value)) => rate = read_rate(value)?,
                Some(("duplex", "full")) => half = false,
                Some(("duplex", "half")) => half = true,
                Some(("duplex", _)) => return Err(AddressError::Value("duplex", "full or half")),
                Some(("baud", value)) if serial => {
                    let error = AddressError::Value("baud", "a speed in bit/s, as 9600");
                    baud = value.parse().map_err(|_| error)?;
                }
                _ => return Err(AddressError::Setting(setting.into())),
            }
        }
        let medium = match (udp, place) {
            (true, "*") if bind.port() == 0 => {
                return Err(AddressError::Value(
                    "bind",
                    "a port, where the other side is not named",
                ));
            }
            (true, "*") => Medium::Udp { bind, to: None },
            (true, place) => Medium::Udp { bind, to: Some(host(place)?) },
            (false, place) if serial => Medium::KissSerial { path: place.into(), baud },
            (false, place) => Medium::KissTcp { at: host(place)? },
        };
        let half_duplex = half.then(HalfDuplex::default);
        Ok(Self { medium, device, line: Line { bits_per_s: rate, half_duplex } })
    }
}

impl FromStr for ThinAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::read(text, |device| device.parse().ok())
    }
}

/// As it is read, with every setting that is not as it would be without it.
impl fmt::Display for ThinAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { medium, device, line } = self;
        let mut settings = Vec::new();
        let modem = match medium {
            Medium::Udp { bind, to } => {
                write!(f, "{UDP}{}/{device}", to.as_deref().unwrap_or("*"))?;
                settings.extend((bind.port() != 0).then(|| format!("bind={bind}")));
                false
            }
            Medium::KissTcp { at } => {
                write!(f, "{KISS}{at}/{device}")?;
                true
            }
            Medium::KissSerial { path, baud } => {
                write!(f, "{KISS}{path}/{device}")?;
                settings.push(format!("baud={baud}"));
                true
            }
        };
        settings.push(format!("rate={}", line.bits_per_s));
        match (line.half_duplex.is_some(), modem) {
            (true, false) => settings.push("duplex=half".into()),
            (false, true) => settings.push("duplex=full".into()),
            _ => {}
        }
        write!(f, "?{}", settings.join("&"))
    }
}

fn read_bind(text: &str) -> Result<SocketAddr, AddressError> {
    let port = text.parse().map(|port: u16| (IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into());
    port.or_else(|_| text.parse())
        .map_err(|_| AddressError::Value("bind", "a port, or an address and a port of this host"))
}

fn read_rate(text: &str) -> Result<u32, AddressError> {
    let range = RATE_BITS_PER_S_MIN..=RATE_BITS_PER_S_MAX;
    text.parse()
        .ok()
        .filter(|rate| range.contains(rate))
        .ok_or(AddressError::Value("rate", "what the line carries in bit/s, 50 to 10000000"))
}

/// A host and a port; that the host is there is seen when it is asked.
fn host(text: &str) -> Result<String, AddressError> {
    let parts = text.rsplit_once(':');
    let valid = parts.is_some_and(|(host, port)| {
        let bare = !host.contains(':') || host.starts_with('[') && host.ends_with(']');
        !host.is_empty()
            && bare
            && !host.contains(|c: char| c.is_whitespace() || c.is_control() || "/?&".contains(c))
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid { Ok(text.into()) } else { Err(AddressError::Host(text.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ThinAddress, AddressError> {
        ThinAddress::read(text, |name| (name == "KILO").then_some(DeviceId([7; 32])))
    }

    #[test]
    fn addresses_are_read_and_written() {
        let id = DeviceId([7; 32]);
        for (text, written) in [
            ("udp://203.0.113.9:7300/KILO", format!("udp://203.0.113.9:7300/{id}?rate=2400")),
            (
                "udp://[2001:db8::1]:7300/KILO?bind=7301&rate=600&duplex=half",
                format!("udp://[2001:db8::1]:7300/{id}?bind=0.0.0.0:7301&rate=600&duplex=half"),
            ),
            ("udp://*/KILO?bind=[::]:7300", format!("udp://*/{id}?bind=[::]:7300&rate=2400")),
            ("kiss://tnc.example:8001/KILO", format!("kiss://tnc.example:8001/{id}?rate=2400")),
            (
                "kiss:///dev/ttyUSB0/KILO?rate=1200&duplex=full",
                format!("kiss:///dev/ttyUSB0/{id}?baud=9600&rate=1200&duplex=full"),
            ),
        ] {
            let address = read(text).unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, error) in [
            ("tcp://a:1/KILO", AddressError::Scheme),
            ("udp://a:1", AddressError::Device),
            ("udp://a:1/LIMA", AddressError::Device),
            ("udp://a/KILO", AddressError::Host("a".into())),
            ("udp://:7/KILO", AddressError::Host(":7".into())),
            ("udp://a:0/KILO", AddressError::Host("a:0".into())),
            ("udp://2001:db8::1:7/KILO", AddressError::Host("2001:db8::1:7".into())),
            ("kiss://a:99999/KILO", AddressError::Host("a:99999".into())),
            ("udp://a:1/KILO?baud=9600", AddressError::Setting("baud=9600".into())),
            ("kiss://a:1/KILO?bind=7", AddressError::Setting("bind=7".into())),
            ("kiss://a:1/KILO?speed=7", AddressError::Setting("speed=7".into())),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
        for text in [
            "udp://*/KILO",
            "udp://a:1/KILO?bind=x",
            "udp://a:1/KILO?rate=49",
            "udp://a:1/KILO?rate=10000001",
            "udp://a:1/KILO?duplex=both",
            "kiss:///dev/x/KILO?baud=fast",
        ] {
            assert!(matches!(read(text), Err(AddressError::Value(..))), "{text}");
        }
    }
}
