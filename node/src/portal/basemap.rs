//! The base map: coasts and boundaries of Natural Earth, finer round Lake Chad, whose shores are sketched. Where
//! its data come from and how it is made stands in `basemap.txt` itself. Boundaries are indicative.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// The data. It is embedded, so that a map needs nothing from elsewhere.
const DATA: &str = include_str!("basemap.txt");

/// Part of the map.
struct Shape {
    /// Class in the style sheet.
    class: &'static str,
    /// Longitude and latitude of its points, in degrees.
    points: Vec<(f64, f64)>,
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

/// A state's code, and where it is written.
struct Label {
    code: &'static str,
    latitude: f64,
    longitude: f64,
}

/// Points at which it is looked how much of a state is in view, across and down.
const ACROSS: u32 = 24;
const DOWN: u32 = 14;
/// Least of them for a state to be named.
const POINTS_MIN: usize = 6;

impl Label {
    /// Where a state is named: at its place, or in the middle of what of it is in view. A longitude and a latitude.
    fn place_in(&self, view: View, shapes: &[Shape]) -> Option<(f64, f64)> {
        let own = (self.longitude, self.latitude);
        let inside =
            (view.west..=view.east).contains(&own.0) && (view.south..=view.north).contains(&own.1);
        if inside {
            return Some(own);
        }
        let state = shapes.iter().find(|shape| shape.class == "land" && shape.holds(own))?;
        if !view.meets(state) {
            return None;
        }
        let step = |n: u32, of: u32| (f64::from(n) + 0.5) / f64::from(of);
        let points: Vec<(f64, f64)> = (0..ACROSS * DOWN)
            .map(|n| (step(n % ACROSS, ACROSS), step(n / ACROSS, DOWN)))
            .map(|(right, up)| {
                let longitude = view.west + right * (view.east - view.west);
                (longitude, view.south + up * (view.north - view.south))
            })
            .filter(|point| state.holds(*point))
            .collect();
        if points.len() < POINTS_MIN {
            return None;
        }
        let count = points.len() as f64;
        let sum = points.iter().fold((0.0, 0.0), |sum, at| (sum.0 + at.0, sum.1 + at.1));
        let middle = (sum.0 / count, sum.1 / count);
        let far = |at: &(f64, f64)| (at.0 - middle.0).hypot(at.1 - middle.1);
        points.into_iter().min_by(|a, b| far(a).total_cmp(&far(b)))
    }
}

static MAP: LazyLock<(Vec<Shape>, Vec<Label>)> = LazyLock::new(|| read(DATA));

impl Shape {
    /// Whether a longitude and a latitude are in it: a line to the east crosses its edge an odd number of times.
    fn holds(&self, (longitude, latitude): (f64, f64)) -> bool {
        if !(self.west..=self.east).contains(&longitude)
            || !(self.south..=self.north).contains(&latitude)
        {
            return false;
        }
        let last = self.points.last().into_iter().chain(&self.points);
        let crosses = |((ax, ay), (bx, by)): (&(f64, f64), &(f64, f64))| {
            (*ay > latitude) != (*by > latitude)
                && longitude < (bx - ax) * (latitude - ay) / (by - ay) + ax
        };
        last.zip(&self.points).filter(|edge| crosses(*edge)).count() % 2 == 1
    }
}

/// What is seen of the earth: degrees in the west, east, south and north.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

impl View {
    fn meets(&self, shape: &Shape) -> bool {
        shape.west <= self.east
            && shape.east >= self.west
            && shape.south <= self.north
            && shape.north >= self.south
    }
}

/// Draws what is in view, with functions that say where a degree is on the drawing.
pub(super) fn draw(svg: &mut String, view: View, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
    for shape in MAP.0.iter().filter(|shape| view.meets(shape)) {
        let mut path = String::new();
        let mut last: Option<(f64, f64)> = None;
        for (longitude, latitude) in &shape.points {
            let at = (x(*longitude).clamp(-FAR, FAR), y(*latitude).clamp(-FAR, FAR));
            // What is closer than a pixel is not seen.
            let near = |(px, py): (f64, f64)| (px - at.0).abs() < 0.8 && (py - at.1).abs() < 0.8;
            if last.is_some_and(near) {
                continue;
            }
            let letter = if last.is_none() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", at.0, at.1);
            last = Some(at);
        }
        let _ = write!(svg, "<path class=\"{}\" d=\"{path}Z\"/>", shape.class);
    }
}

/// Names the states in view.
pub(super) fn name(svg: &mut String, view: View, x: &dyn Fn(f64) -> f64, y: &dyn Fn(f64) -> f64) {
    let (shapes, labels) = &*MAP;
    for label in labels {
        if let Some((longitude, latitude)) = label.place_in(view, shapes) {
            let (at_x, at_y) = (x(longitude), y(latitude));
            let _ = write!(
                svg,
                "<text class=\"state\" x=\"{at_x:.1}\" y=\"{at_y:.1}\">{}</text>",
                label.code
            );
        }
    }
}

/// Farthest that a point is drawn outside of the drawing.
const FAR: f64 = 100_000.0;

fn read(data: &'static str) -> (Vec<Shape>, Vec<Label>) {
    let (mut shapes, mut labels) = (Vec::new(), Vec::new());
    for line in data.lines() {
        let mut words = line.split(' ');
        let class = match words.next() {
            Some("l" | "n") => "land",
            Some("w") => "water",
            Some("s") => "shore",
            Some("t") => {
                let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
                let code = words.next().unwrap_or_default();
                let place = (number(words.next()), number(words.next()));
                if let (Some(latitude), Some(longitude)) = place {
                    labels.push(Label { code, latitude, longitude });
                }
                continue;
            }
            _ => continue,
        };
        let mut numbers = words.filter_map(|word| word.parse::<f64>().ok());
        let Some(steps) = numbers.next() else { continue };
        let (mut px, mut py) = (0.0, 0.0);
        let mut points = Vec::new();
        while let (Some(dx), Some(dy)) = (numbers.next(), numbers.next()) {
            (px, py) = (px + dx, py + dy);
            points.push((px / steps, py / steps));
        }
        let least = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(f64::MAX, f64::min);
        let most = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(f64::MIN, f64::max);
        let (west, east) = (least(|point| point.0), most(|point| point.0));
        let (south, north) = (least(|point| point.1), most(|point| point.1));
        shapes.push(Shape { class, points, west, east, south, north });
    }
    (shapes, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_whole_and_shows_what_is_in_view() {
        let (shapes, labels) = &*MAP;
        assert!(shapes.len() > 250 && labels.len() == 11);
        for shape in shapes {
            let on_earth = shape.west >= -180.01 && shape.east <= 180.01 && shape.south >= -90.01;
            assert!(on_earth && shape.north <= 90.01 && shape.points.len() >= 3);
        }
        let view = View { west: 12.0, east: 16.0, south: 11.0, north: 15.0 };
        let mut svg = String::new();
        draw(&mut svg, view, &|x| (x - 12.0) * 100.0, &|y| (15.0 - y) * 100.0);
        for part in ["class=\"land\"", "class=\"water\"", "class=\"shore\""] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(!svg.contains("NaN") && svg.len() < 200_000, "{}", svg.len());
        let mut sea = String::new();
        let view = View { west: -150.0, east: -149.0, south: -41.0, north: -40.0 };
        draw(&mut sea, view, &|x| x, &|y| y);
        assert!(sea.is_empty(), "{sea}");
    }
}
