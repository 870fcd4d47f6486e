//! `cot`: records on the maps of TAK.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tearline_crdt::record::vocabulary::{Purpose, Tlp, Vocabulary as _};
use tearline_crdt::time::WallTime;

use super::context::Context;
use super::output::{self, Outcome};
use super::pass;
use super::render::facts;
use super::taxii::every;
use crate::control::{Outgoing, Request, reply};
use crate::cot::{Picture, event};
use crate::failure::{Failure, Kind};
use crate::index::now_us;

/// Show records on the maps of TAK (Cursor on Target)
#[derive(Debug, Subcommand)]
pub(super) enum Cot {
    /// Send where records of a compartment are
    #[command(after_help = "\
Example:
  tearline cot send tcp://127.0.0.1:8087 --compartment 'Northern shore' --purpose BorderMonitoring --every 10s

Sends what came in the last --stale, and with --every what comes. Places are the middle of a cell of the grid. What
goes out leaves the mesh: nobody there is held to its labels, its recalls or its erasures.")]
    Send(Box<Send>),
}

/// What is sent, and where to.
#[derive(Args, Debug)]
pub(super) struct Send {
    /// tcp://HOST:PORT or udp://HOST:PORT
    to: String,
    /// Where from: name, id, or the beginning of its id
    #[arg(long, value_name = "C")]
    compartment: String,
    /// What for: a purpose of the label vocabulary; a label that does not allow it keeps its record here
    #[arg(long, value_parser = pass::purpose)]
    purpose: Purpose,
    /// The most restrictive TLP colour that goes out
    #[arg(long, value_name = "TLP", default_value = "GREEN", value_parser = pass::label)]
    label_max: Tlp,
    /// Other agencies' records, too, which they gave to the compartment and not to a map
    #[arg(long)]
    others: bool,
    /// The side of a cell of the grid, in metres
    #[arg(long, value_name = "METRES", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    grid: u32,
    /// For how long something is shown: a number and s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = every)]
    stale: u64,
    /// Go on with what comes, looking so often: a number and s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = every)]
    every: Option<u64>,
    /// Send it over a network without TLS: it can be read on the way
    #[arg(long)]
    plain: bool,
}

impl Cot {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Send(_) => "cot.send",
        }
    }

    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let Self::Send(send) = &self;
        let target = Target::of(&send.to, send.plain)?;
        let mut after_us = now_us().saturating_sub(send.stale.saturating_mul(1_000_000));
        let Some(every_s) = send.every else { return send.once(context, &target, &mut after_us) };
        loop {
            match send.once(context, &target, &mut after_us) {
                Ok(outcome) => _ = output::print_outcome(self.name(), outcome, &context.flags),
                Err(failure) if failure.kind == Kind::Unreachable => {
                    _ = output::print_failure(&failure, context.flags.json);
                }
                Err(failure) => return Err(failure),
            }
            std::thread::sleep(Duration::from_secs(every_s));
        }
    }
}

impl Send {
    /// Sends what came after a time, and says until when that is.
    fn once(
        &self,
        context: &Context,
        target: &Target,
        after_us: &mut u64,
    ) -> Result<Outcome, Failure> {
        let (mut sent, mut placeless) = (0_u64, 0_u64);
        loop {
            let request = Outgoing {
                compartment: self.compartment.clone(),
                after_us: *after_us,
                limit: PAGE_OBJECTS,
                label_max: self.label_max.word().to_owned(),
                purpose: self.purpose.word().to_owned(),
                others: self.others,
            };
            let page = context.ask::<reply::Outgoing>(Request::Outgoing(request))?.typed;
            let now = WallTime(now_us() / 1_000);
            let picture =
                Picture { grid_m: self.grid, stale_ms: self.stale.saturating_mul(1_000), now };
            let events: Vec<String> =
                page.objects.iter().filter_map(|object| event(object, picture)).collect();
            placeless += (page.objects.len() - events.len()) as u64;
            if !events.is_empty() {
                target.send(&events)?;
            }
            sent += events.len() as u64;
            *after_us = page.last_us;
            if !page.more {
                break;
            }
        }
        let document = json!({ "sent": sent, "without_a_place": placeless });
        let text = facts([("sent", sent.to_string()), ("without a place", placeless.to_string())]);
        Ok(Outcome::new(document, text))
    }
}

/// Where events are sent.
#[derive(Debug)]
struct Target {
    stream: bool,
    address: SocketAddr,
}

impl Target {
    fn of(text: &str, plain: bool) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("{text:?} is nowhere to send events to: {why}"))
                .hint("write for example tcp://127.0.0.1:8087 or udp://239.2.3.1:6969")
        };
        let (scheme, place) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let stream = match scheme {
            "tcp" => true,
            "udp" => false,
            _ => return Err(wrong("it is neither tcp nor udp")),
        };
        let mut found = place.to_socket_addrs().map_err(|_| wrong("there is no such host"))?;
        let address = found.next().ok_or_else(|| wrong("there is no such host"))?;
        if !address.ip().is_loopback() && !plain {
            return Err(wrong("without TLS it can be read on the way").hint(
                "send it to a program on this machine that does TLS, as stunnel does, or accept it: --plain",
            ));
        }
        Ok(Self { stream, address })
    }

    fn send(&self, events: &[String]) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(
                Kind::Unreachable,
                format!("cannot send events to {}: {error}", self.address),
            )
        };
        if self.stream {
            let mut stream = TcpStream::connect_timeout(&self.address, WAIT_MAX).map_err(failed)?;
            stream.set_write_timeout(Some(WAIT_MAX)).map_err(failed)?;
            return stream.write_all(events.concat().as_bytes()).map_err(failed);
        }
        let any: IpAddr = if self.address.is_ipv4() {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0)).map_err(failed)?;
        for one in events {
            socket.send_to(one.as_bytes(), self.address).map_err(failed)?;
        }
        Ok(())
    }
}

/// Objects that are looked at at once.
const PAGE_OBJECTS: u32 = 500;
/// How long a connection may take to be made, or to take what is sent.
const WAIT_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_beyond_this_machine_unless_that_is_said() {
        for (to, plain, good) in [
            ("tcp://127.0.0.1:8087", false, true),
            ("udp://[::1]:6969", false, true),
            ("udp://239.2.3.1:6969", false, false),
            ("udp://239.2.3.1:6969", true, true),
            ("tcp://192.0.2.1:8087", false, false),
            ("http://127.0.0.1:8087", true, false),
            ("127.0.0.1:8087", true, false),
            ("tcp://127.0.0.1", true, false),
        ] {
            assert_eq!(Target::of(to, plain).is_ok(), good, "{to} {plain}");
        }
    }
}
