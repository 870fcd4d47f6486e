//! What is promised of a line of 2,400 bit/s with 600 ms and 5 % loss.

use super::*;

/// A run of routine entries as the replica cuts it for a slow link, and what of it is not entries.
const RUN_BYTES: usize = 2_048 + RUN_HEAD_BYTES;
const RUN_HEAD_BYTES: usize = 34;
/// 200 records of 300 bytes.
const RUNS: usize = 200 * 300 / (RUN_BYTES - RUN_HEAD_BYTES) + 1;
const DELAY_MS: u64 = 600;

fn frame_ms() -> u64 {
    FULL.air_ms(LINK_FRAME_BYTES_MAX)
}

fn crowded(line: Line, weather: Weather, seed: u64) -> World {
    let mut world = World::new(line, weather, seed);
    for n in 0..RUNS {
        world.give(0, Urgency::Routine, message(n, RUN_BYTES));
    }
    world
}

/// The flash's own frames, one that is on the wire, the delay; and for each frame that was lost, in
/// either direction, a round trip (a frame each way) and that frame again.
#[test]
fn a_flash_overtakes_what_is_queued() {
    let (mut one_frame, mut losses) = (0, 0);
    for seed in 0..60 {
        for bytes in [150, 500] {
            let mut world = crowded(FULL, Weather { lost: 50, ..Weather::fair(DELAY_MS) }, seed);
            let is_up = |world: &World| world.sides.iter().all(|side| !side.ups.is_empty());
            world.run_while(300_000, |world| !is_up(world));
            let at_ms = world.now_ms + 10_000 + seed * 137;
            world.give_at(at_ms, 0, Urgency::Flash, message(7, bytes));
            let flash = |world: &World| !world.delivered(1, Urgency::Flash).is_empty();
            world.run_while(300_000, |world| !flash(world));
            assert!(flash(&world), "seed {seed}: no flash");
            let lost = world.lost_at_ms.iter().filter(|at| **at + frame_ms() >= at_ms).count();
            let own = (bytes + 2 + 2).div_ceil(frame::BODY_BYTES_MAX - 4);
            let round_trip_ms = 2 * (frame_ms() + DELAY_MS);
            let frames = (own + 1 + lost) as u64;
            let bound = frames * frame_ms() + DELAY_MS + lost as u64 * round_trip_ms;
            let took = world.now_ms - at_ms;
            assert!(took <= bound, "seed {seed}: {took} ms, allowed {bound}, {lost} lost");
            one_frame += u32::from(lost == 0);
            losses += lost;
        }
    }
    assert!(one_frame > 20 && losses > 20, "{one_frame} without loss, {losses} lost");
}

/// What it just said over, and the turn of the other side that follows; then the flash's own frame.
#[test]
fn a_flash_of_the_listening_side_waits_for_a_turn_at_most() {
    let turn = HALF.half_duplex.unwrap();
    for n in 0..40 {
        let mut world = crowded(HALF, Weather::fair(DELAY_MS), 1);
        let at_ms = 20_000 + n * 500;
        world.give_at(at_ms, 1, Urgency::Flash, message(7, 150));
        world.run_while(300_000, |world| world.delivered(0, Urgency::Flash).is_empty());
        let frames = u64::from(turn.turn_frames_max) + 2;
        let bound = frames * frame_ms() + 3 * DELAY_MS + 2 * turn.guard_ms;
        let took = world.now_ms - at_ms;
        assert!(took <= bound, "at {at_ms}: {took} ms, allowed {bound}");
        assert!(!world.delivered(0, Urgency::Flash).is_empty());
    }
}

fn entry_bytes_share(line: Line) -> u64 {
    let mut world = crowded(line, Weather::fair(DELAY_MS), 1);
    world.run_while(600_000, |world| world.delivered(1, Urgency::Routine).len() < RUNS);
    assert_eq!(world.delivered(1, Urgency::Routine).len(), RUNS);
    assert_eq!(world.sides[1].machine.repeated_bytes(), 0);
    let carried = u64::from(line.bits_per_s) * world.now_ms / 8 / 1_000;
    (RUNS * (RUN_BYTES - RUN_HEAD_BYTES)) as u64 * 100 / carried
}

#[test]
fn three_quarters_of_the_line_are_entry_bytes() {
    assert!(entry_bytes_share(FULL) >= 83, "{} %", entry_bytes_share(FULL));
    assert!(entry_bytes_share(HALF) >= 75, "{} %", entry_bytes_share(HALF));
}

/// Up for 30 s, down for 10.
fn cut_often(ms: u64) -> bool {
    ms % 40_000 >= 30_000
}

#[test]
fn a_cut_loses_at_most_one_frame_of_progress() {
    for line in [FULL, HALF] {
        let mut world = crowded(line, Weather { cut: cut_often, ..Weather::fair(DELAY_MS) }, 3);
        world.run_while(2_000_000, |world| world.delivered(1, Urgency::Routine).len() < RUNS);
        assert_eq!(world.delivered(1, Urgency::Routine).len(), RUNS, "{line:?}");
        let cuts = world.now_ms / 40_000;
        let repeated = world.sides[1].machine.repeated_bytes();
        assert!(cuts >= 5 && repeated <= cuts * LINK_FRAME_BYTES_MAX as u64, "{repeated} bytes");
        assert_eq!(world.sides[0].ups.len() + world.sides[1].ups.len(), 2, "one handshake");
    }
}

/// Up for a minute, then down for six hours.
fn cut_for_hours(ms: u64) -> bool {
    (60_000..60_000 + 6 * 3_600_000).contains(&ms)
}

#[test]
fn a_session_goes_on_after_hours_where_it_stopped() {
    for line in [FULL, HALF] {
        let weather = Weather { cut: cut_for_hours, ..Weather::fair(DELAY_MS) };
        let mut world = crowded(line, weather, 4);
        let back_ms = 60_000 + 6 * 3_600_000;
        world.run_until(back_ms);
        let so_far = world.delivered(1, Urgency::Routine).len();
        let asked = world.sent.iter().filter(|(at, ..)| *at > 120_000).count();
        assert!(so_far > 3 && so_far < RUNS);
        assert!(asked as u64 <= 6 * 3_600_000 / 15_000, "{asked} questions into the void");
        world.run_while(back_ms + 600_000, |w| w.delivered(1, Urgency::Routine).len() < RUNS);
        assert_eq!(world.delivered(1, Urgency::Routine).len(), RUNS, "{line:?}");
        let repeated = world.sides[1].machine.repeated_bytes();
        assert!(repeated <= LINK_FRAME_BYTES_MAX as u64, "{repeated} bytes again");
        assert_eq!((world.sides[0].ups.len(), world.sides[1].ups.len()), (1, 1));
        assert_eq!(world.sides[0].machine.counters().handshakes_in, 0);
    }
}
