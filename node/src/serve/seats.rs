//! Who has a connection, and who loses it to whom.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// The seats for connections.
#[derive(Debug)]
pub(super) struct Seats {
    max: usize,
    table: Mutex<Table>,
    /// There may be one to have.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    taken: BTreeMap<u64, Taken>,
    next: u64,
}

#[derive(Debug)]
struct Taken {
    network: IpAddr,
    /// Since when it waits for its client, while nothing is done for it.
    waits_since: Instant,
    /// What is done for it.
    works: usize,
    lost: Arc<Notify>,
}

impl Seats {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, table: Mutex::default(), changed: Notify::new() })
    }

    /// A seat for a connection from an address, once there is one that is free or whose connection waits for its client.
    pub(super) async fn take(self: &Arc<Self>, from: IpAddr) -> Seat {
        loop {
            if let Some(seat) = self.try_take(network(from), Instant::now()) {
                return seat;
            }
            self.changed.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>, network: IpAddr, now: Instant) -> Option<Seat> {
        let mut table = self.table();
        if table.taken.len() >= self.max {
            let loser = table.loser()?;
            if let Some(taken) = table.taken.remove(&loser) {
                taken.lost.notify_one();
            }
        }
        table.next += 1;
        let (no, lost) = (table.next, Arc::new(Notify::new()));
        let taken = Taken { network, waits_since: now, works: 0, lost: Arc::clone(&lost) };
        table.taken.insert(no, taken);
        Some(Seat { seats: Arc::clone(self), no, lost })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, no: u64, change: impl FnOnce(&mut Taken)) {
        if let Some(taken) = self.table().taken.get_mut(&no) {
            change(taken);
        }
        self.changed.notify_one();
    }
}

impl Table {
    /// Whose seat is given away.
    fn loser(&self) -> Option<u64> {
        let mut seats = BTreeMap::<IpAddr, usize>::new();
        for taken in self.taken.values() {
            *seats.entry(taken.network).or_default() += 1;
        }
        let waiting = self.taken.iter().filter(|(_, taken)| taken.works == 0);
        let loser = waiting.max_by_key(|(no, taken)| {
            (seats.get(&taken.network), Reverse(taken.waits_since), Reverse(**no))
        });
        loser.map(|(no, _)| *no)
    }
}

/// Whose addresses are one client's to choose: of IPv6 a network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let bits = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(bits).into()
        }
        other => other,
    }
}

/// A connection's seat; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    no: u64,
    lost: Arc<Notify>,
}

impl Seat {
    /// Says that something is done for the connection, as long as what is given back lives: it does not wait for its client.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.seats.change(self.no, |taken| taken.works += 1);
        Work(Arc::clone(self))
    }

    /// Frees it, also where something is still done for the connection that had it.
    pub(super) fn leave(&self) {
        self.seats.table().taken.remove(&self.no);
        self.seats.changed.notify_one();
    }

    /// Waits until it is another's.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Something that is done for a connection.
#[derive(Debug)]
pub(crate) struct Work(Arc<Seat>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.seats.change(self.0.no, |taken| {
            taken.works = taken.works.saturating_sub(1);
            taken.waits_since = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        network(text.parse().unwrap())
    }

    #[test]
    fn who_waits_longest_of_those_with_most_seats_loses_his() {
        let (seats, now) = (Seats::new(4), Instant::now());
        let later = |s| now + Duration::from_secs(s);
        let many: Vec<_> =
            (1..4).map(|n| Arc::new(seats.try_take(ip("192.0.2.1"), later(n)).unwrap())).collect();
        let one = Arc::new(seats.try_take(ip("192.0.2.2"), now).unwrap());
        // The first of them is worked for.
        let work = many[0].work();
        let fifth = seats.try_take(ip("192.0.2.3"), later(9)).unwrap();
        let taken = |seat: &Arc<Seat>| seats.table().taken.contains_key(&seat.no);
        assert!(taken(&many[0]) && !taken(&many[1]) && taken(&many[2]) && taken(&one));
        // What has lost its seat frees nobody else's.
        drop(many[1].work());
        assert_eq!(seats.table().taken.len(), 4);
        let works = [many[2].work(), one.work()];
        drop(fifth);
        let fifth = Arc::new(seats.try_take(ip("192.0.2.3"), later(9)).unwrap());
        let last = fifth.work();
        assert!(seats.try_take(ip("192.0.2.4"), later(9)).is_none(), "for all something is done");
        drop((work, works, last));
        assert!(seats.try_take(ip("192.0.2.4"), later(9)).is_some());
    }

    #[test]
    fn a_network_is_one_client() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::2:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("::1", "::", false),
        ] {
            assert_eq!(ip(one) == ip(other), same, "{one} {other}");
        }
    }
}
