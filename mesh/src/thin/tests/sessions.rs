//! How sessions begin, go on and end.

use super::*;

fn flow(world: &mut World, until_ms: u64) {
    let sides = [0, 1].map(|side| world.delivered(side, Urgency::Priority).len());
    world.give(0, Urgency::Priority, message(1, 300));
    world.give(1, Urgency::Priority, message(2, 300));
    world.run_until(until_ms);
    for (side, before) in sides.into_iter().enumerate() {
        assert_eq!(world.delivered(side, Urgency::Priority).len(), before + 1, "{side}");
    }
}

#[test]
fn a_session_starts_within_200_bytes_and_two_who_dial_at_once_get_one() {
    for line in [FULL, HALF] {
        for dials in [[true, false], [false, true], [true, true]] {
            let configs = dials.map(|dials| Config::new(line, dials));
            let mut world = World::with(line, Weather::fair(600), 5, configs);
            world.run_while(100_000, |w| w.sides.iter().any(|side| side.ups.is_empty()));
            let handshake: usize = world
                .sent
                .iter()
                .filter(|(.., bytes)| matches!(bytes.first(), Some(&(OPEN | ANSWER))))
                .map(|(.., bytes)| bytes.len())
                .sum();
            if dials != [true, true] {
                assert_eq!(handshake, 132, "{line:?}");
                assert_eq!(world.sides.each_ref().map(|side| side.ups[0]), dials);
            }
            flow(&mut world, 200_000);
            assert!(world.sides.iter().all(|side| side.ups.len() == 1), "{line:?} {dials:?}");
            assert_ne!(world.sides[0].ups, world.sides[1].ups);
        }
    }
}

/// The side that answered begins again, because nothing confirmed it; the other has the session.
#[test]
fn an_answer_whose_confirmation_is_lost_is_no_other_session() {
    fn cut(ms: u64) -> bool {
        (1_600..40_000).contains(&ms)
    }
    let weather = Weather { cut, ..Weather::fair(600) };
    let mut world = World::with(FULL, weather, 5, [Config::new(FULL, true); 2]);
    world.run_until(1_650);
    let ups = world.sides.iter().map(|side| side.ups.len()).sum::<usize>();
    assert_eq!(ups, 1, "the answer came; what confirms it will not");
    world.run_until(100_000);
    flow(&mut world, 200_000);
    for side in &world.sides {
        assert_eq!((side.ups.len(), side.downs.len()), (1, 0));
    }
}

#[test]
fn silence_follows_when_there_is_nothing_to_say() {
    for line in [FULL, HALF] {
        let mut world = World::new(line, Weather::fair(600), 5);
        world.run_until(1_000);
        flow(&mut world, 60_000);
        let sent = world.sent.len();
        world.run_until(100 * 3_600_000);
        assert_eq!(world.sent.len(), sent, "{line:?}");
        flow(&mut world, 100 * 3_600_000 + 60_000);
    }
}

#[test]
fn a_restart_of_either_side_begins_anew_and_the_other_learns_of_it() {
    for (line, restarted) in [(FULL, 0), (FULL, 1), (HALF, 0), (HALF, 1)] {
        let mut world = World::new(line, Weather::fair(600), 5);
        world.run_until(20_000);
        flow(&mut world, 60_000);
        world.restart(restarted);
        // The side that dials does so at once; the other learns of the session by a frame.
        world.give(1 - restarted, Urgency::Routine, message(3, 10));
        world.run_until(200_000);
        flow(&mut world, 300_000);
        assert_eq!(world.sides[1 - restarted].downs, [None], "{line:?} {restarted}");
        assert_eq!(world.sides[1 - restarted].ups.len(), 2);
        assert_eq!(world.sides[restarted].ups.len(), 2, "before and after");
        assert_ne!(world.sides[0].ups[1], world.sides[1].ups[1]);
    }
}

#[test]
fn a_restart_in_a_silence_is_found_out() {
    fn cut(ms: u64) -> bool {
        (60_000..3_600_000).contains(&ms)
    }
    let mut world = World::new(FULL, Weather { cut, ..Weather::fair(600) }, 5);
    world.run_until(59_000);
    world.give(0, Urgency::Routine, message(3, 1_000));
    world.run_until(70_000);
    world.restart(1);
    world.run_until(3_700_000);
    assert_eq!(world.sides[0].downs, [None]);
    flow(&mut world, 3_800_000);
}

#[test]
fn keys_are_renewed_and_streams_go_on() {
    for line in [FULL, HALF] {
        let config = |dials| Config { renew_frames: 40, ..Config::new(line, dials) };
        let weather = Weather { lost: 50, ..Weather::fair(600) };
        let mut world = World::with(line, weather, 6, [config(true), config(false)]);
        for n in 0..30 {
            world.give(0, Urgency::Routine, message(n, 2_000));
            world.give(1, Urgency::Priority, message(n, 500));
        }
        world.run_until(2_000_000);
        for (side, urgency, bytes) in [(1, Urgency::Routine, 2_000), (0, Urgency::Priority, 500)] {
            let expected: Vec<Vec<u8>> = (0..30).map(|n| message(n, bytes)).collect();
            assert_eq!(world.delivered(side, urgency), expected, "{line:?}");
        }
        let handshakes: u64 =
            world.sides.iter().map(|side| side.machine.counters().handshakes_in).sum();
        assert!(handshakes > 5, "{handshakes} handshakes");
        assert!(world.sides.iter().all(|side| side.ups.len() == 1 && side.downs.is_empty()));
    }
}

#[test]
fn news_of_the_line_end_the_wait() {
    fn cut(ms: u64) -> bool {
        (30_000..1_000_000).contains(&ms)
    }
    let mut world = World::new(FULL, Weather { cut, ..Weather::fair(600) }, 5);
    world.run_until(29_000);
    world.give(0, Urgency::Routine, message(3, 1_000));
    world.run_until(1_000_000);
    assert!(world.delivered(1, Urgency::Routine).is_empty());
    world.event(0, Event::Contact);
    world.run_until(1_000_000 + 8_000);
    assert_eq!(world.delivered(1, Urgency::Routine).len(), 1);
}

#[test]
fn what_cannot_be_taken_is_refused() {
    let mut world = World::new(FULL, Weather::fair(600), 5);
    let send = |world: &mut World, bytes: usize| {
        let now = world.now();
        world.sides[0].machine.send(now, Urgency::Routine, &vec![1; bytes])
    };
    assert_eq!(send(&mut world, 1), Err(SendError::Down));
    world.run_until(20_000);
    assert_eq!(send(&mut world, 0), Err(SendError::Size { bytes: 0 }));
    let above = MESSAGE_BYTES_MAX + 1;
    assert_eq!(send(&mut world, above), Err(SendError::Size { bytes: above }));
    assert_eq!(send(&mut world, MESSAGE_BYTES_MAX), Ok(()));
    assert_eq!(send(&mut world, 1), Err(SendError::Full));
}
