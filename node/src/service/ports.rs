//! Ports that the system chose once are taken again at the next start, if they are free, so that
//! peers find a restarted daemon where it was.

use std::net::{TcpListener, UdpSocket};

use tearline_crdt::store::{Batch, Space, Store, StoreError};

/// Where the addresses of the last start are kept.
const KEY: &[u8] = b"listen/last";

/// The configured addresses, with port 0 replaced by the port of the last start where it is free.
pub(super) fn as_before(
    store: &dyn Store,
    configured: &[String],
) -> Result<Vec<String>, StoreError> {
    let last: Vec<String> = store
        .get(Space::Meta, KEY)?
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let again = |address: &String| {
        let (head, tail) = open_port(address)?;
        last.iter().find(|known| {
            known
                .strip_prefix(head.as_str())
                .and_then(|rest| rest.strip_suffix(tail))
                .is_some_and(|port| port.parse().is_ok_and(|port| is_free(&head, port)))
        })
    };
    Ok(configured.iter().map(|address| again(address).unwrap_or(address).clone()).collect())
}

/// Keeps the addresses of this start.
pub(super) fn remember(batch: &mut Batch, addresses: &[String]) {
    if let Ok(value) = serde_json::to_vec(addresses) {
        batch.put(Space::Meta, KEY, value);
    }
}

/// What stands before and after a port of 0.
fn open_port(address: &str) -> Option<(String, &str)> {
    let at = address.find("/udp/0").or_else(|| address.find("/tcp/0"))?;
    let (head, tail) = address.split_at(at + "/udp/".len());
    let tail = tail.strip_prefix('0').filter(|tail| tail.is_empty() || tail.starts_with('/'))?;
    Some((head.to_owned(), tail))
}

fn is_free(head: &str, port: u16) -> bool {
    let ip = head.split('/').nth(2).unwrap_or_default();
    if head.ends_with("/udp/") {
        UdpSocket::bind((ip, port)).is_ok()
    } else {
        TcpListener::bind((ip, port)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tearline_crdt::store::memory::MemoryStore;

    #[test]
    fn a_free_port_is_taken_again_and_a_taken_one_is_not() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let busy = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
        let free = UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let quic = format!("/ip4/127.0.0.1/udp/{free}/quic-v1");
        let mut store = MemoryStore::default();
        let mut batch = Batch::default();
        remember(&mut batch, &[busy, quic.clone()]);
        store.apply(batch).unwrap();
        let configured = [
            "/ip4/127.0.0.1/udp/0/quic-v1".to_owned(),
            "/ip4/127.0.0.1/tcp/0".to_owned(),
            "/ip4/127.0.0.1/tcp/4001".to_owned(),
        ];
        let listen = as_before(&store, &configured).unwrap();
        assert_eq!(listen, [quic, configured[1].clone(), configured[2].clone()]);
    }
}
