//! Drawings as SVG, made here: a map with a grid of degrees, a timeline, and what a record is linked with.
//! Every mark is a link with a title, so that they work with the keyboard and for who hears them.

use std::fmt::Write as _;

use tearline_crdt::time::WallTime;

use super::basemap::{self, View};
use crate::index::Area;

/// Most neighbours that are drawn round a record.
pub(super) const NEIGHBOURS_MAX: usize = 24;

/// Something at a place.
pub(super) struct Spot {
    /// Latitude and longitude in degrees.
    pub(super) place: (f64, f64),
    pub(super) href: String,
    pub(super) title: String,
    pub(super) class: String,
}

/// What a map shows beside its spots.
#[derive(Default)]
pub(super) struct Ground<'a> {
    /// An area that is in view and outlined, whatever is in it.
    pub(super) area: Option<Area>,
    /// Where what lies together is looked at closer: an address that ends where an area is to stand.
    pub(super) closer: &'a str,
    /// What so many are called that lie together.
    pub(super) count: Option<&'a dyn Fn(usize) -> String>,
}

/// Something at a time.
pub(super) struct Event {
    pub(super) at_ms: u64,
    pub(super) href: String,
    pub(super) title: String,
    pub(super) class: String,
}

/// A record in a graph.
pub(super) struct Node {
    pub(super) href: String,
    pub(super) title: String,
    pub(super) kind: String,
}

const WIDTH: f64 = 960.0;
const MAP_HEIGHT: f64 = 520.0;
const MARGIN: f64 = 44.0;

/// A map: equirectangular about the middle latitude of what it shows.
pub(super) fn map(spots: &[Spot], ground: &Ground<'_>) -> String {
    let bounds = ground.area.map(|area| area.bounds());
    if spots.is_empty() && bounds.is_none() {
        return String::new();
    }
    let corners = bounds.iter().flat_map(|(south_west, north_east)| [*south_west, *north_east]);
    let seen: Vec<(f64, f64)> = spots.iter().map(|spot| spot.place).chain(corners).collect();
    let latitudes = range(seen.iter().map(|place| place.0), 0.02);
    let longitudes = range(seen.iter().map(|place| place.1), 0.02);
    let middle = f64::midpoint(latitudes.0, latitudes.1);
    let squeeze = middle.to_radians().cos().max(0.05);
    let (inner_width, inner_height) = (WIDTH - 2.0 * MARGIN, MAP_HEIGHT - 2.0 * MARGIN);
    let scale = (inner_width / ((longitudes.1 - longitudes.0) * squeeze))
        .min(inner_height / (latitudes.1 - latitudes.0));
    let centre = f64::midpoint(longitudes.0, longitudes.1);
    let x = |longitude: f64| WIDTH / 2.0 + (longitude - centre) * squeeze * scale;
    let y = |latitude: f64| MAP_HEIGHT / 2.0 - (latitude - middle) * scale;
    let mut svg = open(WIDTH, MAP_HEIGHT);
    let half_width = WIDTH / 2.0 / (squeeze * scale);
    let half_height = MAP_HEIGHT / 2.0 / scale;
    let step = step_of((2.0 * half_width / 1.5).max(2.0 * half_height));
    let view = View {
        west: centre - half_width,
        east: centre + half_width,
        south: middle - half_height,
        north: middle + half_height,
    };
    basemap::draw(&mut svg, view, &x, &y);
    for degree in steps(centre - half_width, centre + half_width, step) {
        let at = x(degree);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" y1=\"0\" x2=\"{at:.1}\" y2=\"{MAP_HEIGHT}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            at + 3.0,
            MAP_HEIGHT - 6.0,
            degrees(degree, step, 'E', 'W')
        );
    }
    for degree in steps(middle - half_height, middle + half_height, step) {
        let at = y(degree);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"0\" y1=\"{at:.1}\" x2=\"{WIDTH}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"4\" y=\"{:.1}\">{}</text>",
            at - 4.0,
            degrees(degree, step, 'N', 'S')
        );
    }
    basemap::name(&mut svg, view, &x, &y);
    if let Some(((south, west), (north, east))) = bounds {
        let (left, top) = (x(west), y(north));
        let _ = write!(
            svg,
            "<rect class=\"area\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            x(east) - left,
            y(south) - top
        );
    }
    let mut clusters = clusters(spots, &x, &y);
    name(&mut clusters);
    // The most urgent on top.
    for cluster in clusters.iter().rev() {
        cluster.draw(&mut svg, ground);
    }
    svg += "</svg>";
    svg
}

/// Spots that would cover one another, as one mark: that of the most urgent.
struct Cluster<'a> {
    x: f64,
    y: f64,
    spots: Vec<&'a Spot>,
    /// Where its name stands, if there is room for it: its beginning, and whether it is at the left.
    name: Option<bool>,
}

/// How near marks may be, in pixels of the drawing.
const NEAR: f64 = 20.0;
/// Most characters of a name beside a mark, the width of one and the height of a line.
const NAME_CHARS_MAX: usize = 26;
const CHAR_WIDTH: f64 = 6.6;
const LINE_HEIGHT: f64 = 15.0;

fn clusters<'a>(
    spots: &'a [Spot],
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) -> Vec<Cluster<'a>> {
    let mut sorted: Vec<&Spot> = spots.iter().collect();
    sorted.sort_by_key(|spot| urgency(&spot.class));
    let mut clusters: Vec<Cluster<'a>> = Vec::new();
    for spot in sorted {
        let (cx, cy) = (x(spot.place.1), y(spot.place.0));
        let near = |one: &&mut Cluster<'_>| (one.x - cx).hypot(one.y - cy) < NEAR;
        match clusters.iter_mut().find(near) {
            Some(cluster) => cluster.spots.push(spot),
            None => clusters.push(Cluster { x: cx, y: cy, spots: vec![spot], name: None }),
        }
    }
    clusters
}

/// Gives marks their names, the most urgent first, where they cover neither a mark nor another name.
fn name(clusters: &mut [Cluster<'_>]) {
    let mut taken: Vec<(f64, f64, f64, f64)> = clusters
        .iter()
        .map(|one| (one.x - 11.0, one.y - 11.0, one.x + 11.0, one.y + 11.0))
        .collect();
    for cluster in clusters.iter_mut().filter(|cluster| cluster.spots.len() == 1) {
        let width = cluster.title().chars().count() as f64 * CHAR_WIDTH;
        cluster.name = [false, true].into_iter().find(|left| {
            let from = if *left { cluster.x - 13.0 - width } else { cluster.x + 13.0 };
            let (top, low) = (cluster.y - LINE_HEIGHT / 2.0, cluster.y + LINE_HEIGHT / 2.0);
            let covers = |(a, b, c, d): &(f64, f64, f64, f64)| {
                from < *c && from + width > *a && top < *d && low > *b
            };
            let free = from > 0.0 && from + width < WIDTH && !taken.iter().any(covers);
            if free {
                taken.push((from, top, from + width, low));
            }
            free
        });
    }
}

impl Cluster<'_> {
    fn title(&self) -> String {
        let Some(first) = self.spots.first() else { return String::new() };
        let mut title: String = first.title.chars().take(NAME_CHARS_MAX).collect();
        if first.title.chars().nth(NAME_CHARS_MAX).is_some() {
            title.pop();
            title.push('…');
        }
        title
    }

    fn draw(&self, svg: &mut String, ground: &Ground<'_>) {
        let Some(first) = self.spots.first() else { return };
        let (x, y) = (self.x, self.y);
        if self.spots.len() == 1 {
            mark(svg, x, y, &first.href, &first.title, &first.class);
            if let Some(left) = self.name {
                let (at, end) = if left { (x - 13.0, " end") } else { (x + 13.0, "") };
                let _ = write!(
                    svg,
                    "<text class=\"name{end}\" x=\"{at:.1}\" y=\"{:.1}\" aria-hidden=\"true\">{}</text>",
                    y + 4.0,
                    escape(&self.title())
                );
            }
            return;
        }
        let count = self.spots.len();
        let said = ground.count.map_or_else(|| count.to_string(), |count_of| count_of(count));
        let href = format!("{}{}", ground.closer, self.around());
        mark(svg, x, y, &href, &format!("{said}: {}", first.title), &first.class);
        let _ = write!(
            svg,
            "<text class=\"many\" x=\"{:.1}\" y=\"{:.1}\" aria-hidden=\"true\">{count}</text>",
            x + 9.0,
            y - 7.0
        );
    }

    /// The area of what lies together, a little larger.
    fn around(&self) -> String {
        let places = || self.spots.iter().map(|spot| spot.place);
        let ((south, north), (west, east)) = (
            range(places().map(|place| place.0), 0.002),
            range(places().map(|place| place.1), 0.002),
        );
        let (west, east) = (west.max(-180.0), east.min(180.0));
        let (south, north) = (south.max(-90.0), north.min(90.0));
        format!("within%3A{west:.4}%2C{south:.4}%2C{east:.4}%2C{north:.4}")
    }
}

/// The most urgent first.
fn urgency(class: &str) -> u8 {
    match class {
        "flash" => 0,
        "immediate" => 1,
        "priority" => 2,
        _ => 3,
    }
}

/// A timeline: time from left to right, in lanes so that marks do not cover one another.
pub(super) fn timeline(events: &[Event]) -> String {
    const LANES: usize = 8;
    const HEIGHT: f64 = 240.0;
    if events.is_empty() {
        return String::new();
    }
    let times = range(events.iter().map(|event| event.at_ms as f64), 1_800_000.0);
    let x = |ms: f64| MARGIN + (ms - times.0) / (times.1 - times.0) * (WIDTH - 2.0 * MARGIN);
    let mut svg = open(WIDTH, HEIGHT);
    let step = time_step(times.1 - times.0);
    for at in steps(times.0, times.1, step) {
        let text = WallTime(at as u64).to_string();
        let text = if step >= 86_400_000.0 { text.get(..10) } else { text.get(5..16) };
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{0:.1}\" y1=\"0\" x2=\"{0:.1}\" y2=\"{1}\"/>\
             <text class=\"tick\" x=\"{2:.1}\" y=\"{3}\">{4}</text>",
            x(at),
            HEIGHT - 20.0,
            x(at) + 3.0,
            HEIGHT - 6.0,
            text.unwrap_or_default().replace('T', " ")
        );
    }
    let mut ends = [f64::MIN; LANES];
    let mut sorted: Vec<&Event> = events.iter().collect();
    sorted.sort_by_key(|event| event.at_ms);
    for event in sorted {
        let cx = x(event.at_ms as f64);
        let free = ends.iter().position(|end| *end + 16.0 <= cx);
        let lane = free.unwrap_or_else(|| {
            // All are taken: the one that is free first.
            let least = ends.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
            least.map_or(0, |(lane, _)| lane)
        });
        if let Some(end) = ends.get_mut(lane) {
            *end = cx;
        }
        let cy = 20.0 + lane as f64 * 24.0;
        mark(&mut svg, cx, cy, &event.href, &event.title, &event.class);
    }
    svg += "</svg>";
    svg
}

/// A record in the middle, and those that it is linked with around it.
pub(super) fn graph(centre: &Node, around: &[Node]) -> String {
    let count = around.len().clamp(1, NEIGHBOURS_MAX);
    // Few need little room, and are read the better for it.
    let (width, height) = if count > 8 { (960.0, 440.0) } else { (620.0, 250.0) };
    let (cx, cy) = (width / 2.0, height / 2.0);
    let mut svg = open(width, height);
    let places: Vec<(f64, f64)> = (0..count)
        .map(|n| {
            // From the side on, where boxes have most room; of many every other one further in.
            let angle = std::f64::consts::TAU * n as f64 / count as f64;
            let reach = if count > 8 && n % 2 == 1 { 0.6 } else { 1.0 };
            (
                cx + angle.cos() * reach * (width / 2.0 - 90.0),
                cy + angle.sin() * reach * (height / 2.0 - 26.0),
            )
        })
        .collect();
    for (x, y) in &places {
        let _ = write!(
            svg,
            "<line class=\"edge\" x1=\"{cx}\" y1=\"{cy}\" x2=\"{x:.1}\" y2=\"{y:.1}\"/>"
        );
    }
    for (node, (x, y)) in around.iter().zip(&places) {
        box_of(&mut svg, node, *x, *y, "node");
    }
    box_of(&mut svg, centre, cx, cy, "node centre");
    svg += "</svg>";
    svg
}

fn box_of(svg: &mut String, node: &Node, x: f64, y: f64, class: &str) {
    let title: String = node.title.chars().take(22).collect();
    let _ = write!(
        svg,
        "<a href=\"{}\" class=\"{class}\"><title>{}</title>\
         <rect x=\"{:.1}\" y=\"{:.1}\" width=\"164\" height=\"40\" rx=\"4\"/>\
         <text class=\"kind\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>\
         <text x=\"{x:.1}\" y=\"{:.1}\">{}</text></a>",
        escape(&node.href),
        escape(&node.title),
        x - 82.0,
        y - 20.0,
        y - 5.0,
        escape(&node.kind),
        y + 12.0,
        escape(&title)
    );
}

fn open(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" direction=\"ltr\" \
         class=\"drawing\">"
    )
}

/// A mark whose form, not only its colour, tells how urgent it is.
fn mark(svg: &mut String, x: f64, y: f64, href: &str, title: &str, class: &str) {
    let (href, title) = (escape(href), escape(title));
    let class = match class {
        "flash" | "immediate" | "priority" => class,
        _ => "routine",
    };
    let _ = write!(svg, "<a href=\"{href}\" class=\"spot {class}\"><title>{title}</title>");
    let _ = match class {
        "flash" => write!(svg, "<path d=\"M{x:.1} {:.1}l9 16h-18z\"/>", y - 10.0),
        "immediate" => write!(svg, "<path d=\"M{x:.1} {:.1}l8 8l-8 8l-8 -8z\"/>", y - 8.0),
        "priority" => write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\"/>",
            x - 6.0,
            y - 6.0
        ),
        _ => write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>"),
    };
    *svg += "</a>";
}

/// The least and the greatest, at least so far apart, with a margin.
fn range(values: impl Iterator<Item = f64>, least: f64) -> (f64, f64) {
    let (mut low, mut high) = (f64::MAX, f64::MIN);
    for value in values.filter(|value| value.is_finite()) {
        (low, high) = (low.min(value), high.max(value));
    }
    if low > high {
        return (0.0, least);
    }
    let missing = (least - (high - low)).max(0.0) / 2.0;
    let margin = (high - low) * 0.05;
    (low - missing - margin, high + missing + margin)
}

/// The grid's step in degrees: about six lines.
fn step_of(span: f64) -> f64 {
    const STEPS: [f64; 13] =
        [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];
    STEPS.into_iter().find(|step| span / step <= 8.0).unwrap_or(30.0)
}

fn time_step(span_ms: f64) -> f64 {
    const MINUTE: f64 = 60_000.0;
    const DAY: f64 = 24.0 * 60.0 * MINUTE;
    const STEPS: [f64; 14] = [
        10.0 * MINUTE,
        30.0 * MINUTE,
        60.0 * MINUTE,
        180.0 * MINUTE,
        360.0 * MINUTE,
        DAY / 2.0,
        DAY,
        2.0 * DAY,
        7.0 * DAY,
        14.0 * DAY,
        30.0 * DAY,
        91.0 * DAY,
        365.0 * DAY,
        3_650.0 * DAY,
    ];
    STEPS.into_iter().find(|step| span_ms / step <= 8.0).unwrap_or(36_500.0 * DAY)
}

/// The whole steps between two values: a hundred at most.
fn steps(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil();
    (0..100).map(move |n| (first + f64::from(n)) * step).take_while(move |at| *at <= high)
}

fn degrees(value: f64, step: f64, positive: char, negative: char) -> String {
    let letter = if value < 0.0 { negative } else { positive };
    let places = if step >= 1.0 {
        0
    } else if step >= 0.1 {
        2
    } else {
        3
    };
    format!("{:.places$}°{letter}", value.abs())
}

/// Text between tags and in attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&#38;",
            '<' => out += "&#60;",
            '>' => out += "&#62;",
            '"' => out += "&#34;",
            '\'' => out += "&#39;",
            // What no document of XML may hold.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(latitude: f64, longitude: f64, title: &str) -> Spot {
        Spot {
            place: (latitude, longitude),
            href: "/record/00".into(),
            title: title.into(),
            class: "flash".into(),
        }
    }

    #[test]
    fn a_drawing_holds_every_mark_and_no_markup_of_others() {
        let hostile = "</title><script>alert(1)</script>\" onload=\"x";
        let drawn = map(&[spot(13.0, 14.0, hostile), spot(-89.9, 179.9, "b")], &Ground::default());
        assert_eq!(drawn.matches("<a ").count(), 2);
        assert!(!drawn.contains("<script") && !drawn.contains("onload=\"x"));
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
        let one = map(&[spot(13.0, 14.0, "alone")], &Ground::default());
        assert!(!one.contains("NaN") && one.contains("480.0"), "{one}");
        assert!(map(&[], &Ground::default()).is_empty());
    }

    #[test]
    fn spots_that_lie_together_are_one_mark_and_names_cover_nothing() {
        let heap: Vec<Spot> =
            (0..40).map(|n| spot(13.0 + f64::from(n) * 1e-5, 14.0, "heap")).collect();
        let far = [spot(11.0, 12.0, "far"), spot(11.0, 16.0, "wide")];
        let spots: Vec<Spot> = heap.into_iter().chain(far).collect();
        let drawn = map(&spots, &Ground { closer: "/map?q=", ..Ground::default() });
        assert_eq!(drawn.matches("<a ").count(), 3);
        assert_eq!(drawn.matches("class=\"name").count(), 2);
        assert!(drawn.contains(">40</text>") && drawn.contains("/map?q=within%3A13.9"), "{drawn}");
    }

    #[test]
    fn a_map_frames_an_area_in_which_nothing_is() {
        let area: Area = "13.5,12.5,15.5,14.0".parse().unwrap();
        let drawn = map(&[], &Ground { area: Some(area), ..Ground::default() });
        assert!(drawn.contains("class=\"area\"") && !drawn.contains("<a "));
        for state in [">NE<", ">TD<", ">NG<"] {
            assert!(drawn.contains(state), "{state}");
        }
        let round: Area = "13.1,14.5,20km".parse().unwrap();
        assert!(
            map(&[], &Ground { area: Some(round), ..Ground::default() }).contains("class=\"area\"")
        );
    }

    #[test]
    fn a_timeline_holds_any_times() {
        let event = |at_ms| Event {
            at_ms,
            href: "/record/00".into(),
            title: "a".into(),
            class: "routine".into(),
        };
        let events: Vec<Event> = [0, 1, 1_800_000_000_000, u64::MAX].map(event).into();
        let drawn = timeline(&events);
        assert_eq!(drawn.matches("<a ").count(), 4);
        assert!(!drawn.contains("NaN"));
        let many: Vec<Event> = (0..100).map(|_| event(5)).collect();
        assert_eq!(timeline(&many).matches("<a ").count(), 100);
    }

    #[test]
    fn a_graph_is_capped() {
        let node = |n: usize| Node { href: "/".into(), title: n.to_string(), kind: "k".into() };
        let around: Vec<Node> = (0..100).map(node).collect();
        let drawn = graph(&node(0), &around);
        assert_eq!(drawn.matches("<a ").count(), NEIGHBOURS_MAX + 1);
    }
}
