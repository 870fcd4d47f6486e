//! Whatever a line does to frames, messages come once, whole, and in order in their stream.

use proptest::prelude::*;

use super::*;

/// Longest virtual time that the worst of these lines may need.
const UNTIL_MS: u64 = 6 * 3_600_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn each_message_comes_once_and_in_order(
        seed in any::<u64>(),
        (lost, repeated, late_ms_max) in (0u16..400, 0u16..300, 0u64..5_000),
        (bits_per_s, half) in (prop_oneof![Just(2_400u32), Just(64_000)], any::<bool>()),
        given in proptest::collection::vec(
            (0u64..60_000, 0usize..2, 0u8..5, 1usize..3_000), 1..20,
        ),
    ) {
        let line = Line { bits_per_s, half_duplex: half.then(HalfDuplex::default) };
        let weather = Weather { delay_ms: 200, lost, repeated, late_ms_max, cut: |_| false };
        let mut world = World::with(line, weather, seed >> 1, [Config::new(line, true); 2]);
        for (n, (at, side, urgency, bytes)) in given.iter().enumerate() {
            let urgency = Urgency::from_u8(*urgency).unwrap();
            world.give_at(*at, *side, urgency, message(n, *bytes + 4));
        }
        let all = given.len();
        let count = |w: &World| w.sides.iter().map(|side| side.delivered.len()).sum::<usize>();
        world.run_while(UNTIL_MS, |world| count(world) < all);
        // Nothing comes twice later on.
        let now = world.now_ms;
        world.run_until(now + 120_000);
        let mut given: Vec<_> = given.into_iter().enumerate().collect();
        given.sort_by_key(|(_, (at, ..))| *at);
        for side in 0..2 {
            for urgency in Urgency::ALL {
                let expected: Vec<Vec<u8>> = given
                    .iter()
                    .filter(|(_, (_, from, u, _))| *from == 1 - side && *u == urgency as u8)
                    .map(|(n, (.., bytes))| message(*n, *bytes + 4))
                    .collect();
                prop_assert_eq!(world.delivered(side, urgency), expected);
            }
            prop_assert!(world.sides[side].downs.is_empty());
            prop_assert_eq!(world.sides[side].ups.len(), 1);
            let faults = world.faults(side);
            let known = ["thin-repeated", "thin-sealed", "thin-handshake", "thin-busy"];
            prop_assert!(faults.keys().all(|name| known.contains(name)), "{:?}", faults);
        }
        prop_assert_ne!(world.sides[0].ups[0], world.sides[1].ups[0]);
        for [from, to] in [[0, 1], [1, 0]] {
            let delivered = &world.sides[to].delivered;
            let at = |message: &[u8]| delivered.iter().position(|(.., m)| m == message).unwrap();
            let mut control = 0;
            for (urgency, message) in &world.sides[from].given {
                if *urgency == Urgency::Control {
                    control = at(message) + 1;
                } else {
                    prop_assert!(at(message) >= control, "overtook control");
                }
            }
        }
    }
}
