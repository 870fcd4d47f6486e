//! What a run looked like over its time: how far behind posts were, when the mesh lay in parts, and what
//! failed when. As SVG, without script.

use super::html::escape;
use super::put;
use crate::agenda::Nanos;
use crate::outcome::Outcome;
use crate::quantity::{HOUR, MINUTE, short};
use crate::staleness::{Parts, STEPS};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 120.0;
const ROW: f64 = 9.0;
const GAP: f64 = 20.0;
/// Most posts and faults that have a row; the report says so.
const POSTS_MAX: usize = 60;
const FAULTS_MAX: usize = 40;

/// From which staleness on which colour holds: of one hue, darker the older.
const SHADES: [(Nanos, &str, &str); 6] = [
    (MINUTE, "s1", "1 min"),
    (10 * MINUTE, "s2", "10 min"),
    (HOUR, "s3", "1 h"),
    (4 * HOUR, "s4", "4 h"),
    (12 * HOUR, "s5", "12 h"),
    (24 * HOUR, "s6", "24 h"),
];

pub(super) const STYLE: &str = ".s1{fill:#cfe3ff}.s2{fill:#9cc5fb}.s3{fill:#5b9df0}.s4{fill:#1f6fd1}\
.s5{fill:#0a4a9e}.s6{fill:#062a5e}.part{fill:#bf5b04}.fault{fill:#a40e26}.row{fill:#8c959f22}\
@media(prefers-color-scheme:dark){.s1{fill:#12304f}.s2{fill:#174a80}.s3{fill:#1f6fc4}.s4{fill:#4a97e8}\
.s5{fill:#8cc0f8}.s6{fill:#d3e6fd}.part{fill:#e3954a}.fault{fill:#ff7b72}}";

/// The part of the page.
pub(super) fn draw(out: &mut String, outcome: &Outcome) {
    parts(out, outcome);
    staleness(out, outcome);
}

fn parts(out: &mut String, outcome: &Outcome) {
    put(
        out,
        format_args!(
            "<h2>What was joined to what</h2>\n<p class=\"key\">Above: the share of the posts that are up and in the largest part of the \
             mesh. At a moment posts are in one part if a chain of contacts joins them. Below: what failed when{}.</p>",
            if outcome.faults.len() > FAULTS_MAX {
                format!(", the first {FAULTS_MAX} of {} faults", outcome.faults.len())
            } else {
                String::new()
            }
        ),
    );
    let faults: Vec<_> = outcome.faults.iter().take(FAULTS_MAX).collect();
    let (top, share_height) = (6.0, 60.0);
    let height = top + share_height + 6.0 + ROW * faults.len() as f64 + GAP;
    begin(out, height, "the largest part, and faults, over time");
    hours(out, outcome.horizon, height);
    for (number, part) in outcome.parts.iter().enumerate() {
        let Parts { up, largest, .. } = part;
        let tall = share_height * *largest as f64 / (*up).max(1) as f64;
        let (x, wide) = step(number);
        put(
            out,
            format_args!(
                "<rect class=\"part\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{wide:.2}\" height=\"{tall:.1}\"><title>{} of \
                 {up} in the largest of {} parts</title></rect>",
                top + share_height - tall,
                largest,
                part.parts
            ),
        );
    }
    label(out, top + 3.0, "100 %");
    label(out, top + share_height, "0 %");
    for (number, fault) in faults.into_iter().enumerate() {
        let y = top + share_height + 6.0 + ROW * number as f64;
        let (from, to) = (x(fault.from, outcome.horizon), x(fault.to, outcome.horizon));
        label(out, y + ROW - 1.5, &format!("{} {}", fault.kind, fault.posts));
        put(
            out,
            format_args!(
                "<rect class=\"fault\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} {}, for \
                 {}</title></rect>",
                (to - from).max(1.5),
                ROW - 1.5,
                escape(&fault.kind),
                escape(&fault.posts),
                short(fault.to - fault.from)
            ),
        );
    }
    put(out, format_args!("</svg>"));
}

fn staleness(out: &mut String, outcome: &Outcome) {
    let all = &outcome.staleness;
    let mut posts: Vec<&(String, Vec<Nanos>)> = all.posts.iter().collect();
    let sum = |ages: &[Nanos]| ages.iter().map(|age| u128::from(*age)).sum::<u128>();
    if posts.len() > POSTS_MAX {
        posts.sort_by_key(|(_, ages)| std::cmp::Reverse(sum(ages)));
        posts.truncate(POSTS_MAX);
    }
    put(
        out,
        format_args!(
            "<h2>How far behind each post was</h2>\n<p class=\"key\">How old the oldest record is that a post is to have and that has not \
             come, over the time of the run{}. Pale grey: less than a minute.</p>",
            if all.posts.len() > POSTS_MAX {
                format!("; the {POSTS_MAX} that were the furthest behind, of {}", all.posts.len())
            } else {
                String::new()
            }
        ),
    );
    let means = ("mean of all".to_owned(), all.means());
    let rows: Vec<&(String, Vec<Nanos>)> = std::iter::once(&means).chain(posts).collect();
    let height = ROW * rows.len() as f64 + 2.0 * GAP;
    begin(out, height, "staleness of posts over time");
    hours(out, outcome.horizon, height - GAP);
    for (row, (name, ages)) in rows.into_iter().enumerate() {
        let y = ROW * row as f64;
        label(out, y + ROW - 1.5, name);
        put(
            out,
            format_args!(
                "<rect class=\"row\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                WIDTH - LEFT,
                ROW - 1.0
            ),
        );
        for (from, to, shade) in stretches(ages) {
            let (x, _) = step(from);
            let (end, _) = step(to);
            put(
                out,
                format_args!(
                    "<rect class=\"{shade}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                    end - x,
                    ROW - 1.0
                ),
            );
        }
    }
    for (number, (_, shade, name)) in SHADES.into_iter().enumerate() {
        let x = LEFT + 82.0 * number as f64;
        let y = height - 12.0;
        put(
            out,
            format_args!(
                "<rect class=\"{shade}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"14\" height=\"10\"/><text x=\"{:.1}\" \
                 y=\"{:.1}\" style=\"font-size:9px\">from {name}</text>",
                x + 18.0,
                y + 9.0
            ),
        );
    }
    put(out, format_args!("</svg>"));
}

/// Steps that follow each other and have one shade, from, to and which.
fn stretches(ages: &[Nanos]) -> Vec<(usize, usize, &'static str)> {
    let shade =
        |age: Nanos| SHADES.iter().rev().find(|(from, ..)| age >= *from).map(|shade| shade.1);
    let mut stretches: Vec<(usize, usize, &'static str)> = Vec::new();
    for (number, age) in ages.iter().enumerate() {
        let Some(shade) = shade(*age) else { continue };
        match stretches.last_mut() {
            Some((_, to, last)) if *to == number && *last == shade => *to += 1,
            _ => stretches.push((number, number + 1, shade)),
        }
    }
    stretches
}

fn begin(out: &mut String, height: f64, what: &str) {
    put(
        out,
        format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{what}\">"
        ),
    );
}

fn label(out: &mut String, y: f64, text: &str) {
    let most = 20;
    let short: String = text.chars().take(most).collect();
    let more = if text.chars().count() > most { "..." } else { "" };
    put(
        out,
        format_args!(
            "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\" style=\"font-size:8px\">{}{more}</text>",
            LEFT - 5.0,
            escape(&short)
        ),
    );
}

/// The axis of time: a line for each of at most a dozen hours, with what it says below.
fn hours(out: &mut String, horizon: Nanos, height: f64) {
    let every =
        [1, 2, 4, 6, 12, 24, 48, 168].into_iter().find(|every| horizon / (every * HOUR) <= 12);
    let every = every.unwrap_or(720);
    for hour in (0..=horizon / HOUR).step_by(every as usize) {
        let x = x(hour * HOUR, horizon);
        put(
            out,
            format_args!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\" style=\"font-size:9px\">{hour} h</text>",
                height - GAP + 4.0,
                height - 5.0
            ),
        );
    }
}

fn x(at: Nanos, horizon: Nanos) -> f64 {
    LEFT + (WIDTH - LEFT) * at.min(horizon) as f64 / horizon.max(1) as f64
}

/// Where a step begins, and how wide it is.
fn step(number: usize) -> (f64, f64) {
    let wide = (WIDTH - LEFT) / STEPS as f64;
    (LEFT + wide * number as f64, wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_one_shade_are_drawn_as_one() {
        let ages = [0, MINUTE, 2 * MINUTE, HOUR, 30 * HOUR, 0, MINUTE];
        let drawn = stretches(&ages);
        assert_eq!(drawn, [(1, 3, "s1"), (3, 4, "s3"), (4, 5, "s6"), (6, 7, "s1")]);
    }
}
