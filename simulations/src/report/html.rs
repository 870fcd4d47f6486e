//! The run as one HTML file: no script, nothing fetched, every number beside its bound.

use super::{Took, capacity, curve, put, time, timeline};
use crate::outcome::{LineOutcome, Outcome, at_percent};
use crate::quantity::short;

/// Most links that are listed; the report says so.
const LINKS_MAX: usize = 60;

pub(super) const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1b1f24;background:#fff}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.25rem .6rem;\
border-bottom:1px solid #d8dee4}th:first-child,td:first-child{text-align:left}code{font-size:.85em;\
word-break:break-all}.pass{color:#116329}.fail{color:#a40e26;font-weight:600}svg{width:100%;height:auto}\
svg text{font:11px system-ui,sans-serif;fill:#57606a}.grid{stroke:#d8dee4}polyline{fill:none;stroke-width:2}\
.measured{stroke:#0550ae}.bound{stroke:#8c959f;stroke-dasharray:5 4}.key{color:#57606a}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}\
.grid{stroke:#30363d}.measured{stroke:#79c0ff}.pass{color:#56d364}.fail{color:#ff7b72}svg text{fill:#9198a1}}";

/// The page.
#[must_use]
pub fn page(outcome: &Outcome, about: &str, took: Took) -> String {
    let mut out = String::new();
    let name = escape(&outcome.scenario);
    put(
        &mut out,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}, seed {}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}{}</style></head><body>",
            outcome.seed,
            timeline::STYLE
        ),
    );
    put(&mut out, format_args!("<h1>{name}, seed {}</h1>\n<p>{}</p>", outcome.seed, escape(about)));
    summary(&mut out, outcome, took);
    goals(&mut out, outcome);
    latency(&mut out, outcome);
    timeline::draw(&mut out, outcome);
    links(&mut out, outcome);
    put(&mut out, format_args!("</body></html>"));
    out
}

fn summary(out: &mut String, outcome: &Outcome, took: Took) {
    match (&outcome.violation, outcome.agreed_after) {
        (Some(violation), _) => {
            put(
                out,
                format_args!("<p class=\"fail\">VIOLATION: {}</p>", escape(&violation.to_string())),
            );
        }
        (None, Some(after)) => put(
            out,
            format_args!(
                "<p class=\"pass\">No check found anything wrong. All held the same {} after the contacts ended.</p>",
                short(after)
            ),
        ),
        (None, None) => {}
    }
    let written = outcome.written;
    put(
        out,
        format_args!(
            "<p>{} peers, {} of virtual time; {} records and {} changes written, {} could not be. A peer stores {}, \
         at most {}. {} events in {:.1} s.</p>\n<p>Trace <code>{}</code></p>",
            outcome.peers,
            short(outcome.lasted),
            written.records,
            written.edits,
            written.missed,
            bytes(outcome.store_bytes.mean),
            bytes(outcome.store_bytes.most),
            outcome.events,
            took.seconds,
            outcome.trace_hash
        ),
    );
}

fn goals(out: &mut String, outcome: &Outcome) {
    if outcome.goals.is_empty() {
        return;
    }
    put(
        out,
        format_args!("<h2>Goals</h2>\n<table><tr><th>goal</th><th>measured</th><th></th></tr>"),
    );
    for verdict in &outcome.goals {
        let (class, word) = if verdict.reached { ("pass", "PASS") } else { ("fail", "FAIL") };
        put(
            out,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
                escape(&verdict.goal.to_string()),
                escape(&verdict.measured)
            ),
        );
    }
    put(out, format_args!("</table>"));
}

fn latency(out: &mut String, outcome: &Outcome) {
    put(
        out,
        format_args!(
            "<h2>Deliveries</h2>\n<p class=\"key\">A delivery is a record at a reader other than its author. p50: half of \
         them took no longer; p95: of a hundred all but five. Under each time stands the least that the contacts allow, with every link to itself and no fault.</p>\n\
         <table><tr><th>class</th><th>count</th><th>arrived</th><th>p50</th><th>p90</th><th>p95</th><th>max</th></tr>"
        ),
    );
    for class in outcome.latencies.classes() {
        let of = outcome.latencies.of(Some(class));
        let bounds = of.bounds();
        let share =
            |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.1} %"));
        put(
            out,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}<br><span class=\"key\">{}</span></td>",
                class.name(),
                of.count(),
                share(of.delivered_percent()),
                share(of.possible_percent())
            ),
        );
        for percent in [50, 90, 95, 100] {
            let (took, bound) = (time(of.percentile(percent)), time(at_percent(&bounds, percent)));
            put(out, format_args!("<td>{took}<br><span class=\"key\">{bound}</span></td>"));
        }
        put(out, format_args!("</tr>"));
    }
    put(out, format_args!("</table>"));
    put(
        out,
        format_args!(
            "<p class=\"key\">Solid: what had arrived so long after it was written. Dashed: what the contacts allow.</p>"
        ),
    );
    for class in outcome.latencies.classes() {
        let of = outcome.latencies.of(Some(class));
        put(out, format_args!("<h3>{}</h3>", class.name()));
        out.push_str(&curve::draw(&of.times(), &of.bounds(), outcome.horizon));
    }
}

fn links(out: &mut String, outcome: &Outcome) {
    let mut lines: Vec<_> = outcome.lines.iter().collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.counts.sent));
    put(
        out,
        format_args!(
            "<h2>Links</h2>\n<p class=\"key\">{} links, those with the most bytes first{}. Contact is how long there was one, \
         capacity what that carries one way. Bytes are those of both ways until the end of the run; used is what part of \
         both ways' capacity they are.</p>\n<table><tr><th>link</th>\
         <th>contact</th><th>capacity</th><th>used</th><th>sent</th><th>arrived</th><th>lost</th><th>frames</th></tr>",
            lines.len(),
            if lines.len() > LINKS_MAX { format!(", {LINKS_MAX} of them") } else { String::new() }
        ),
    );
    for line in lines.into_iter().take(LINKS_MAX) {
        let [a, b] = &line.between;
        put(
            out,
            format_args!(
                "<tr><td>{} - {}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(a),
                escape(b),
                short(line.contact),
                bytes(capacity(line)),
                used(line),
                bytes(line.counts.sent),
                bytes(line.counts.delivered),
                bytes(line.counts.lost),
                line.counts.frames
            ),
        );
    }
    put(out, format_args!("</table>"));
}

/// What part of its capacity a link used, both ways together.
fn used(line: &LineOutcome) -> String {
    let both = 2.0 * capacity(line) as f64;
    match line.counts.sent as f64 * 100.0 / both {
        percent if !percent.is_finite() => "-".to_owned(),
        percent if percent > 0.0 && percent < 0.1 => "&lt; 0.1 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// Bytes for people: three figures.
fn bytes(count: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| count >= *unit) else {
        return format!("{count} B");
    };
    let value = count as f64 / unit as f64;
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$} {name}")
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_figures() {
        let shown = [999, 1_000, 54_321, 999_499, 162_000_000_000].map(bytes);
        assert_eq!(shown, ["999 B", "1.00 kB", "54.3 kB", "999 kB", "162 GB"]);
    }
}
