//! Two runs side by side as one HTML file.

use super::html::{STYLE, escape};
use super::put;
use crate::compare::{Comparison, GoalPair, Judged, Pair};

/// The page.
#[must_use]
pub fn page(compared: &Comparison) -> String {
    let mut out = String::new();
    let [a, b] = compared.names.each_ref().map(|name| escape(name));
    put(
        &mut out,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{a} | {b}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>Two runs side by side</h1>\n<p>A: {a}<br>B: {b}</p>"
        ),
    );
    if compared.equal {
        put(&mut out, format_args!("<p>The two went the same way, event by event.</p>"));
    }
    for (name, found) in ["A", "B"].iter().zip(&compared.violations) {
        if let Some(found) = found {
            put(
                &mut out,
                format_args!("<p class=\"fail\">VIOLATION in {name}: {}</p>", escape(found)),
            );
        }
    }
    goals(&mut out, &compared.goals);
    for (class, pairs) in &compared.latency {
        table(&mut out, &format!("Deliveries: {class}"), pairs);
    }
    table(&mut out, "Bytes", &compared.totals);
    table(&mut out, "Bytes sent over links", &compared.links);
    put(&mut out, format_args!("</body></html>"));
    out
}

fn goals(out: &mut String, goals: &[GoalPair]) {
    if goals.is_empty() {
        return;
    }
    put(out, format_args!("<h2>Goals</h2>\n<table><tr><th>goal</th><th>A</th><th>B</th></tr>"));
    for GoalPair { goal, a, b } in goals {
        put(
            out,
            format_args!(
                "<tr><td>{}</td>{}{}</tr>",
                escape(goal),
                cell(a.as_ref()),
                cell(b.as_ref())
            ),
        );
    }
    put(out, format_args!("</table>"));
}

fn cell(judged: Option<&Judged>) -> String {
    let Some(judged) = judged else { return "<td>-</td>".to_owned() };
    let class = if judged.reached { "pass" } else { "fail" };
    format!("<td class=\"{class}\">{}</td>", escape(&judged.text()))
}

fn table(out: &mut String, title: &str, pairs: &[Pair]) {
    put(
        out,
        format_args!(
            "<h2>{}</h2>\n<table><tr><th></th><th>A</th><th>B</th><th>B by A</th></tr>",
            escape(title)
        ),
    );
    for pair in pairs {
        let [a, b, times] = pair.texts();
        put(
            out,
            format_args!(
                "<tr><td>{}</td><td>{a}</td><td>{b}</td><td>{times}</td></tr>",
                escape(&pair.what)
            ),
        );
    }
    put(out, format_args!("</table>"));
}
