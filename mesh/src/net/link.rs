//! One link: frames over a substream.
//!
//! A frame is its length as canonical LEB128 (one byte up to 127, three up to 2 MiB) and its bytes.
//! A length of 0 is a sign of life: a side that has said nothing for [`ALIVE_EVERY`] says it. A side
//! from which nothing has come for [`SILENCE_MAX`], between frames or within one, is
//! gone; so is one that takes nothing for [`STALL_MAX`]. A frame has a time in which it is whole
//! ([`whole_within`]), and signs of life come no faster than they are due ([`Signs`]): who keeps a link
//! busy by either misbehaves.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::swarm::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};

use super::{DownReason, Link, NetEvent};
use crate::fault::LinkFault;
use crate::urgency::Urgency;

/// How often a side shows that it lives.
const ALIVE_EVERY: Duration = Duration::from_secs(10);
/// How long silence is borne.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The slowest that a frame may come, a third of 2,400 bit/s, beside [`SILENCE_MAX`].
const PACE_BYTES_PER_S: u64 = 100;
/// How often it is said that a frame is coming.
const COMING_EVERY: Duration = Duration::from_secs(5);
/// Signs of life that may come at once: those of 20 minutes in which nothing was read here.
const SIGNS_MAX: u32 = 128;
/// How often another may come: twice as often as it is due.
const SIGN_EVERY: Duration = Duration::from_secs(5);
/// How long a side may take nothing of what is written to it. Credit comes back in steps of up to
/// half a stream's window, 128 KiB over TCP: a line of 3,500 bit/s carries that.
const STALL_MAX: Duration = Duration::from_secs(300);
/// Memory is taken as bytes arrive, in steps of this size, not as a length announces.
const READ_STEP_BYTES: usize = 64 * 1024;

/// Carries a link until it ends; says why.
pub(super) async fn carry(
    link: Link,
    stream: Stream,
    frames: mpsc::Receiver<(Urgency, Vec<u8>)>,
    events: mpsc::Sender<NetEvent>,
    frame_bytes_max: usize,
) -> DownReason {
    let (reader, writer) = stream.split();
    tokio::select! {
        reason = read_all(link, reader, &events, frame_bytes_max) => reason,
        reason = write_all(link, writer, frames, &events) => reason,
    }
}

async fn write_all(
    link: Link,
    mut writer: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<(Urgency, Vec<u8>)>,
    events: &mpsc::Sender<NetEvent>,
) -> DownReason {
    // One of each urgency at most: the core gives the next when it heard of the last.
    let mut waiting: BTreeMap<Urgency, Vec<u8>> = BTreeMap::new();
    loop {
        if waiting.is_empty() {
            match timeout(ALIVE_EVERY, frames.recv()).await {
                Ok(Some((urgency, frame))) => drop(waiting.insert(urgency, frame)),
                Ok(None) => {
                    let _ = writer.close().await;
                    return DownReason::Local;
                }
                Err(_) => {
                    if let Err(reason) = write(&mut writer, &length(0)).await {
                        return reason;
                    }
                }
            }
        }
        while let Ok((urgency, frame)) = frames.try_recv() {
            waiting.insert(urgency, frame);
        }
        let Some((urgency, frame)) = waiting.pop_first() else { continue };
        let mut bytes = length(frame.len());
        bytes.extend_from_slice(&frame);
        if let Err(reason) = write(&mut writer, &bytes).await {
            return reason;
        }
        if events.send(NetEvent::Sent { link, urgency }).await.is_err() {
            return DownReason::Local;
        }
    }
}

/// Writes all, and sees that it gets on.
async fn write(writer: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> Result<(), DownReason> {
    let stalled = |_| DownReason::Stalled(STALL_MAX.as_secs());
    while !bytes.is_empty() {
        let taken = timeout(STALL_MAX, writer.write(bytes)).await.map_err(stalled)?;
        match taken {
            Ok(taken) if taken > 0 => bytes = bytes.get(taken..).unwrap_or_default(),
            _ => return Err(DownReason::Remote),
        }
    }
    let flushed = timeout(STALL_MAX, writer.flush()).await.map_err(stalled)?;
    flushed.map_err(|_| DownReason::Remote)
}

async fn read_all(
    link: Link,
    mut reader: impl AsyncRead + Unpin,
    events: &mpsc::Sender<NetEvent>,
    frame_bytes_max: usize,
) -> DownReason {
    let mut signs = Signs::new();
    // Who is busy is told when there is something whole.
    let coming = || drop(events.try_send(NetEvent::Coming { link }));
    loop {
        let bytes = match read_frame(&mut reader, frame_bytes_max, coming).await {
            Ok(bytes) => bytes,
            Err(reason) => return reason,
        };
        if bytes.is_empty() {
            if signs.take() {
                continue;
            }
            return DownReason::Broke(LinkFault::Babble);
        }
        // Waits while the core is busy: then nothing more is read, and the sender waits, too.
        if events.send(NetEvent::Frame { link, bytes }).await.is_err() {
            return DownReason::Local;
        }
    }
}

/// How many signs of life may still come: those that were due while the line stood still may come at once.
struct Signs {
    left: u32,
    counted: Instant,
}

impl Signs {
    fn new() -> Self {
        Self { left: SIGNS_MAX, counted: Instant::now() }
    }

    /// One came; whether it may.
    fn take(&mut self) -> bool {
        let due = self.counted.elapsed().as_secs() / SIGN_EVERY.as_secs();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        if due > 0 {
            self.counted = Instant::now();
            self.left = self.left.saturating_add(due).min(SIGNS_MAX);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

/// Reads one frame; empty for a sign of life. Says now and then that one is coming.
async fn read_frame(
    reader: &mut (impl AsyncRead + Unpin),
    max: usize,
    coming: impl Fn(),
) -> Result<Vec<u8>, DownReason> {
    let mut first = [0];
    read(reader, &mut first).await?;
    let trickle = |time: Duration| DownReason::Broke(LinkFault::Trickle(time.as_secs()));
    let len = timeout(SILENCE_MAX, read_length(reader, first));
    let len = len.await.map_err(|_| trickle(SILENCE_MAX))??;
    if len > max as u64 {
        return Err(DownReason::Broke(LinkFault::Oversize(len)));
    }
    let time = whole_within(len);
    let body = timeout(time, read_body(reader, len as usize));
    let mut told = interval_at(Instant::now() + COMING_EVERY, COMING_EVERY);
    tokio::pin!(body);
    loop {
        tokio::select! {
            biased;
            whole = &mut body => return whole.map_err(|_| trickle(time))?,
            _ = told.tick() => coming(),
        }
    }
}

/// How long a frame may take, once its length came.
const fn whole_within(len: u64) -> Duration {
    SILENCE_MAX.saturating_add(Duration::from_secs(len / PACE_BYTES_PER_S))
}

async fn read_length(
    reader: &mut (impl AsyncRead + Unpin),
    mut byte: [u8; 1],
) -> Result<u64, DownReason> {
    let mut len = 0u64;
    for shift in [0, 7, 14, 21] {
        if shift > 0 {
            read(reader, &mut byte).await?;
        }
        let [byte] = byte;
        len |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let canonical = byte != 0 || shift == 0;
            return if canonical { Ok(len) } else { Err(DownReason::Broke(LinkFault::Length)) };
        }
    }
    Err(DownReason::Broke(LinkFault::Length))
}

async fn read_body(
    reader: &mut (impl AsyncRead + Unpin),
    len: usize,
) -> Result<Vec<u8>, DownReason> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let at = bytes.len();
        bytes.resize(len.min(at + READ_STEP_BYTES), 0);
        read(reader, bytes.get_mut(at..).unwrap_or_default()).await?;
    }
    Ok(bytes)
}

/// Reads all, as long as it gets on.
async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    mut into: &mut [u8],
) -> Result<(), DownReason> {
    while !into.is_empty() {
        match timeout(SILENCE_MAX, reader.read(into)).await {
            Ok(Ok(taken)) if taken > 0 => into = into.get_mut(taken..).unwrap_or_default(),
            Ok(_) => return Err(DownReason::Remote),
            Err(_) => return Err(DownReason::Silent(SILENCE_MAX.as_secs())),
        }
    }
    Ok(())
}

fn length(len: usize) -> Vec<u8> {
    use tearline_crdt::codec::Write as _;
    let mut out = Vec::with_capacity(len + 4);
    out.number(len as u64);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    async fn frame(bytes: &[u8]) -> Result<Vec<u8>, DownReason> {
        read_frame(&mut Cursor::new(bytes), 1_000, || ()).await
    }

    /// Takes a part of what is written and then nothing more.
    struct Full(usize);

    impl AsyncWrite for Full {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { std::task::Poll::Pending } else { std::task::Poll::Ready(Ok(taken)) }
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_more_is_gone() {
        assert_eq!(write(&mut Full(100), &[0; 100]).await, Ok(()));
        let stalled = Err(DownReason::Stalled(STALL_MAX.as_secs()));
        assert_eq!(write(&mut Full(100), &[0; 101]).await, stalled);
    }

    /// Gives 1 kB each time so much time has passed, until it has given all.
    struct Slow {
        left: usize,
        every: tokio::time::Interval,
    }

    impl Slow {
        async fn frame(left: usize, every: Duration) -> Result<Vec<u8>, DownReason> {
            let mut slow = Self { left, every: tokio::time::interval(every) };
            read_frame(&mut Cursor::new(length(left)).chain(&mut slow), 1024 * 1024, || ()).await
        }
    }

    impl AsyncRead for &mut Slow {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            into: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            std::task::ready!(self.every.poll_tick(cx));
            let given = into.len().min(self.left).min(1_000);
            self.left -= given;
            into.iter_mut().take(given).for_each(|byte| *byte = 7);
            std::task::Poll::Ready(Ok(given))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_may_take_its_time_and_neither_trickle_nor_stop() {
        const BYTES: usize = 256 * 1024;
        let at_pace = Duration::from_secs(1_000 / PACE_BYTES_PER_S);
        assert!(Slow::frame(BYTES, at_pace).await == Ok(vec![7; BYTES]), "as slow as is allowed");
        let trickles = DownReason::Broke(LinkFault::Trickle(whole_within(BYTES as u64).as_secs()));
        assert_eq!(Slow::frame(BYTES, 2 * at_pace).await, Err(trickles));
        let silent = SILENCE_MAX + Duration::from_secs(1);
        let gone = Err(DownReason::Silent(SILENCE_MAX.as_secs()));
        assert_eq!(Slow::frame(BYTES, silent).await, gone);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_is_coming_is_said_to_be() {
        let said = std::cell::Cell::new(0);
        let mut slow = Slow { left: 10_000, every: tokio::time::interval(2 * COMING_EVERY) };
        let reader = &mut Cursor::new(length(10_000)).chain(&mut slow);
        let frame = read_frame(reader, 10_000, || said.set(said.get() + 1)).await;
        assert!(frame == Ok(vec![7; 10_000]) && (15..=20).contains(&said.get()), "{}", said.get());
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_may_be_late_and_not_without_end() {
        let mut signs = Signs::new();
        assert!((0..SIGNS_MAX).all(|_| signs.take()), "those of a line that stood still");
        assert!(!signs.take());
        for _ in 0..1_000 {
            tokio::time::advance(ALIVE_EVERY).await;
            assert!(signs.take(), "an honest one for as long as it likes");
        }
        let (events, _queue) = mpsc::channel(1);
        let babble = vec![0; SIGNS_MAX as usize + 1];
        let reason = read_all(Link(1), Cursor::new(babble), &events, 1_000).await;
        assert_eq!(reason, DownReason::Broke(LinkFault::Babble));
    }

    #[tokio::test]
    async fn frames_are_read_up_to_the_bound_and_not_past_it() {
        for len in [0, 1, 127, 128, 1_000] {
            let mut bytes = length(len);
            bytes.extend(vec![7; len]);
            assert_eq!(frame(&bytes).await, Ok(vec![7; len]));
            if len > 0 {
                assert_eq!(frame(&bytes[..bytes.len() - 1]).await, Err(DownReason::Remote));
            }
        }
        assert_eq!(frame(&length(1_001)).await, Err(DownReason::Broke(LinkFault::Oversize(1_001))));
        assert_eq!(frame(&[0x80, 0x00]).await, Err(DownReason::Broke(LinkFault::Length)));
        assert_eq!(frame(&[0xff; 5]).await, Err(DownReason::Broke(LinkFault::Length)));
    }
}
