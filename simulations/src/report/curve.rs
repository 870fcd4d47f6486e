//! Delivery curves as SVG: what share has arrived after what time, beside what the contacts allow.

use super::put;
use crate::agenda::Nanos;
use crate::quantity::{HOUR, MINUTE, SECOND};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 26.0;
/// Points of one curve.
const POINTS: usize = 200;
/// Where the axis of time begins; what is faster is drawn there.
const FROM: Nanos = SECOND / 10;

const TICKS: [(Nanos, &str); 9] = [
    (SECOND / 10, "0.1 s"),
    (SECOND, "1 s"),
    (10 * SECOND, "10 s"),
    (MINUTE, "1 min"),
    (10 * MINUTE, "10 min"),
    (HOUR, "1 h"),
    (4 * HOUR, "4 h"),
    (12 * HOUR, "12 h"),
    (48 * HOUR, "48 h"),
];

/// One picture: the times of deliveries and their bounds, each sorted, up to a moment.
pub(super) fn draw(times: &[Nanos], bounds: &[Nanos], until: Nanos) -> String {
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"share delivered by time\">"
        ),
    );
    let until = until.max(2 * FROM);
    for percent in [0, 25, 50, 75, 100] {
        let y = y(f64::from(percent) / 100.0);
        put(
            &mut out,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            ),
        );
        put(
            &mut out,
            format_args!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
                LEFT - 6.0,
                y + 4.0
            ),
        );
    }
    for (at, name) in TICKS.into_iter().filter(|(at, _)| *at <= until) {
        let x = x(at, until);
        put(
            &mut out,
            format_args!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"4\" y2=\"{:.1}\"/>",
                HEIGHT - BOTTOM
            ),
        );
        put(
            &mut out,
            format_args!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
                HEIGHT - 8.0
            ),
        );
    }
    for (class, sorted) in [("bound", bounds), ("measured", times)] {
        put(
            &mut out,
            format_args!("<polyline class=\"{class}\" points=\"{}\"/>", points(sorted, until)),
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Steps of the share that has arrived.
fn points(sorted: &[Nanos], until: Nanos) -> String {
    let count = sorted.len().max(1);
    let arrived = sorted.partition_point(|time| *time <= until);
    let mut points = vec![format!("{LEFT:.1},{:.1}", y(0.0))];
    let steps = POINTS.min(arrived);
    for step in 1..=steps {
        let rank = arrived * step / steps;
        let Some(time) = sorted.get(rank.saturating_sub(1)) else { continue };
        points.push(format!("{:.1},{:.1}", x(*time, until), y(rank as f64 / count as f64)));
    }
    points.push(format!("{WIDTH:.1},{:.1}", y(arrived as f64 / count as f64)));
    points.join(" ")
}

fn x(time: Nanos, until: Nanos) -> f64 {
    let log = |nanos: Nanos| (nanos.max(FROM) as f64 / FROM as f64).ln();
    LEFT + (WIDTH - LEFT) * (log(time) / log(until)).min(1.0)
}

fn y(share: f64) -> f64 {
    (HEIGHT - BOTTOM) - (HEIGHT - BOTTOM - 6.0) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_at_the_share_that_arrived() {
        let half = points(&[SECOND, 2 * SECOND, crate::agenda::NEVER, crate::agenda::NEVER], HOUR);
        let last = half.rsplit(' ').next().unwrap();
        assert_eq!(last, format!("{WIDTH:.1},{:.1}", y(0.5)));
        assert!(points(&[], HOUR).ends_with(&format!("{:.1}", y(0.0))));
        assert!(x(0, HOUR) == LEFT && (x(HOUR, HOUR) - WIDTH).abs() < 1e-6);
    }
}
