//! A first scenario from a table of posts: what a planner has before anything is built.
//!
//! The table is CSV with a line of names first: `name,agency,lat,lon,kind,link`. Each post is joined to the
//! nearest one above it in its agency, headquarters to each other by the shortest lines that join all of
//! them, relays to the two nearest headquarters. What a kind of link carries, and when, is a guess to
//! begin with (`TECHNOLOGIES`); the scenario says it in figures that are there to be changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::put;
use crate::scenario::ScenarioError;

/// Most posts: the nearest is looked for among all.
const POSTS_MAX: usize = 2_000;
/// How far light gets in a millisecond in glass.
const KM_PER_MS: f64 = 200.0;
const EARTH_RADIUS_KM: f64 = 6_371.0;

/// Records of a class in a day: its name, how many, and bytes of text in each.
type Work = (&'static str, u32, u32);

/// Kinds of posts, from the top; with how much of each class one writes a day.
const KINDS: [(&str, &[Work]); 5] = [
    ("headquarters", &[("priority", 20, 800), ("flash", 1, 120)]),
    ("sector", &[("immediate", 10, 300), ("routine", 20, 300)]),
    ("post", &[("routine", 20, 300), ("flash", 1, 120)]),
    ("patrol", &[("priority", 10, 300), ("flash", 2, 120)]),
    ("relay", &[]),
];
const HEADQUARTERS: usize = 0;
const RELAY: usize = 4;

/// What links a post to the one above: the name, and the fields of the link but for its latency.
struct Technology {
    name: &'static str,
    latency_ms: f64,
    fields: &'static [&'static str],
}

const TECHNOLOGIES: [Technology; 6] = [
    Technology { name: "line", latency_ms: 5.0, fields: &["rate = \"10 Mbit/s\""] },
    Technology {
        name: "mobile",
        latency_ms: 60.0,
        fields: &[
            "rate = \"1 Mbit/s\"",
            "loss = 0.01",
            "mean_gap = \"30 min\"",
            "mean_contact = \"6 h\"",
        ],
    },
    Technology {
        name: "satellite",
        latency_ms: 600.0,
        fields: &["rate = \"64 kbit/s\"", "loss = 0.02", "every = \"4 h\"", "lasts = \"20 min\""],
    },
    Technology {
        name: "radio",
        latency_ms: 100.0,
        fields: &[
            "rate = \"9.6 kbit/s\"",
            "loss = 0.05",
            "half_duplex = true",
            "mean_gap = \"90 min\"",
            "mean_contact = \"10 min\"",
        ],
    },
    Technology {
        name: "thin",
        latency_ms: 300.0,
        fields: &[
            "rate = \"2.4 kbit/s\"",
            "loss = 0.05",
            "half_duplex = true",
            "mean_gap = \"30 min\"",
            "mean_contact = \"30 min\"",
        ],
    },
    Technology {
        name: "courier",
        latency_ms: 2.0,
        fields: &["rate = \"2 Mbit/s\"", "every = \"12 h\"", "lasts = \"5 min\""],
    },
];

struct Row {
    line: usize,
    name: String,
    agency: String,
    at: (f64, f64),
    kind: usize,
    link: &'static Technology,
}

/// Makes a scenario of a table.
pub fn scenario(text: &str, source_name: &str, name: &str) -> Result<String, ScenarioError> {
    let fail = |line: usize, what: String| ScenarioError {
        source_name: source_name.to_owned(),
        line,
        what,
    };
    let rows = read(text).map_err(|(line, what)| fail(line, what))?;
    let agencies: BTreeSet<&str> = rows.iter().map(|row| row.agency.as_str()).collect();
    for agency in &agencies {
        let mut own = rows.iter().filter(|row| row.agency == *agency);
        if !own.clone().any(|row| row.kind == HEADQUARTERS) {
            let line = own.next().map_or(1, |row| row.line);
            return Err(fail(line, format!("{agency} has no headquarters: one post of that kind")));
        }
    }
    Ok(written(&rows, &agencies, source_name, name))
}

fn written(rows: &[Row], agencies: &BTreeSet<&str>, source_name: &str, name: &str) -> String {
    let text = |text: &str| toml::Value::from(text).to_string();
    let mut out = String::new();
    put(
        &mut out,
        format_args!(
            "# A first scenario, from {}. Rates, contacts and work are guesses: change them.\n\
             name = {}\nabout = {}\nlength = \"24 h\"\ntail = \"12 h\"\nsettle = \"4 h\"\n\
             goals = [\"flash p95 < 12 h\", \"all delivered >= 95 %\"]",
            source_name.escape_debug(),
            text(name),
            text(&format!("The posts of {source_name}."))
        ),
    );
    for agency in agencies {
        put(&mut out, format_args!("\n[[agency]]\ncountry = \"{agency}\"\nname = \"{agency}\""));
    }
    // Headquarters first: the first post of an agency is its desk.
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by_key(|row| row.kind);
    for row in &order {
        let (name, agency, (lat, lon)) = (text(&row.name), &row.agency, row.at);
        let kind = KINDS.get(row.kind).map_or("", |(kind, _)| *kind);
        put(
            &mut out,
            format_args!("\n[[post]] # {kind}, {lat}, {lon}\nname = {name}\nagency = \"{agency}\""),
        );
        if row.kind == RELAY {
            put(&mut out, format_args!("relay = true"));
        }
    }
    let audience: Vec<String> = agencies.iter().map(|agency| format!("\"{agency}\"")).collect();
    let audience = audience.join(", ");
    put(&mut out, format_args!("\n[[compartment]]\nname = \"all\"\naudience = [{audience}]"));
    for (from, to) in links(&order) {
        let km = distance(from.at, to.at);
        let latency = from.link.latency_ms + km / KM_PER_MS;
        put(
            &mut out,
            format_args!(
                "\n[[link]] # {}, {km:.0} km\nfrom = {}\nto = {}\nlatency = \"{latency:.0} ms\"\n{}",
                from.link.name,
                text(&from.name),
                text(&to.name),
                from.link.fields.join("\n")
            ),
        );
    }
    for row in &order {
        for (class, per_day, bytes) in KINDS.get(row.kind).map_or(&[][..], |(_, work)| work) {
            put(
                &mut out,
                format_args!(
                    "\n[[work]]\nby = {}\ncompartment = \"all\"\nclass = \"{class}\"\nper_day = {per_day}\n\
                     size = \"{bytes} B\"",
                    text(&row.name)
                ),
            );
        }
    }
    out
}

/// Who is joined to whom; the first of each has the link.
fn links<'a>(rows: &[&'a Row]) -> Vec<(&'a Row, &'a Row)> {
    let headquarters: Vec<&Row> = rows.iter().copied().filter(|r| r.kind == HEADQUARTERS).collect();
    let mut links = Vec::new();
    // The shortest tree: whoever is nearest to those that are in comes in (Prim).
    let (mut inside, mut outside) = (Vec::new(), headquarters.clone());
    inside.extend(outside.pop());
    while let Some((index, from, to)) = outside
        .iter()
        .enumerate()
        .flat_map(|(index, from)| inside.iter().map(move |to: &&Row| (index, *from, *to)))
        .min_by(|a, b| distance(a.1.at, a.2.at).total_cmp(&distance(b.1.at, b.2.at)))
    {
        links.push((from, to));
        inside.push(outside.swap_remove(index));
    }
    for row in rows.iter().copied().filter(|row| row.kind != HEADQUARTERS) {
        let above = |other: &&&Row| match row.kind {
            RELAY => other.kind == HEADQUARTERS,
            kind => other.kind < kind && other.agency == row.agency,
        };
        let mut near: Vec<&Row> = rows.iter().filter(above).copied().collect();
        near.sort_by(|a, b| distance(row.at, a.at).total_cmp(&distance(row.at, b.at)));
        // A relay carries what it may for its agency: that has to reach it.
        let own = near.iter().position(|other| other.agency == row.agency);
        if let Some(own) = own.filter(|own| *own > 1) {
            near.swap(1, own);
        }
        let count = if row.kind == RELAY { 2 } else { 1 };
        links.extend(near.into_iter().take(count).map(|other| (row, other)));
    }
    links
}

/// Over the surface of a sphere, in km (the haversine formula).
fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    let [(lat_a, lon_a), (lat_b, lon_b)] =
        [a, b].map(|(lat, lon)| (lat.to_radians(), lon.to_radians()));
    let half = |a: f64, b: f64| ((a - b) / 2.0).sin().powi(2);
    let h = half(lat_a, lat_b) + lat_a.cos() * lat_b.cos() * half(lon_a, lon_b);
    2.0 * EARTH_RADIUS_KM * h.min(1.0).sqrt().asin()
}

fn read(text: &str) -> Result<Vec<Row>, (usize, String)> {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let columns = ["name", "agency", "lat", "lon", "kind", "link"];
    let missing = || (1, format!("the first line names the columns: {}", columns.join(",")));
    let (number, head) = lines.next().ok_or_else(missing)?;
    let head = cells(head).map_err(|what| (number, what))?;
    let mut places = Vec::new();
    for column in columns {
        let place = head.iter().position(|name| name.eq_ignore_ascii_case(column));
        places.push(place.ok_or_else(missing)?);
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut names = BTreeMap::new();
    for (line, text) in lines {
        let cells = cells(text).map_err(|what| (line, what))?;
        let of = places.iter().map(|place| cells.get(*place).map_or("", String::as_str));
        let row = row(line, &of.collect::<Vec<&str>>()).map_err(|what| (line, what))?;
        if let Some(other) = names.insert(row.name.clone(), line) {
            return Err((line, format!("{:?} is in line {other} already", row.name)));
        }
        rows.push(row);
        if rows.len() > POSTS_MAX {
            return Err((line, format!("a table has at most {POSTS_MAX} posts")));
        }
    }
    if rows.is_empty() { Err((number, "there is no post in it".to_owned())) } else { Ok(rows) }
}

fn row(line: usize, cells: &[&str]) -> Result<Row, String> {
    let [name, agency, lat, lon, kind, link] = cells else {
        return Err("a cell is missing".into());
    };
    if name.is_empty() {
        return Err("a post needs a name".to_owned());
    }
    if agency.len() != 2 || !agency.chars().all(|c| c.is_ascii_uppercase()) {
        return Err(format!("an agency is two capital letters, not {agency:?}"));
    }
    let degrees = |text: &str, most: f64| text.parse::<f64>().ok().filter(|n| n.abs() <= most);
    let (Some(lat), Some(lon)) = (degrees(lat, 90.0), degrees(lon, 180.0)) else {
        return Err(format!("{lat:?}, {lon:?} is no place: degrees, as 13.51 and 2.11"));
    };
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    let Some(kind) = kinds.iter().position(|known| known.eq_ignore_ascii_case(kind)) else {
        return Err(format!("{kind:?} is no kind of post: {}", kinds.join(", ")));
    };
    let Some(link) = TECHNOLOGIES.iter().find(|known| known.name.eq_ignore_ascii_case(link)) else {
        let all: Vec<&str> = TECHNOLOGIES.iter().map(|known| known.name).collect();
        return Err(format!("{link:?} is no kind of link: {}", all.join(", ")));
    };
    Ok(Row {
        line,
        name: (*name).to_owned(),
        agency: (*agency).to_owned(),
        at: (lat, lon),
        kind,
        link,
    })
}

/// The cells of a line of CSV (RFC 4180, without breaks inside of quotes).
fn cells(line: &str) -> Result<Vec<String>, String> {
    let (mut cells, mut rest) = (Vec::new(), line);
    loop {
        let cell = match rest.trim_start().strip_prefix('"') {
            None => rest.split(',').next().unwrap_or("").trim().to_owned(),
            Some(_) => {
                rest = rest.trim_start();
                let mut end = 1;
                loop {
                    let quote = rest.get(end..).and_then(|rest| rest.find('"'));
                    end += quote.ok_or("a quote is not closed in its line")? + 1;
                    match rest.get(end..).and_then(|rest| rest.strip_prefix('"')) {
                        Some(_) => end += 1,
                        None => break,
                    }
                }
                let cell = rest.get(1..end - 1).unwrap_or("").replace("\"\"", "\"");
                rest = rest.get(end..).unwrap_or("");
                if !rest.trim_start().is_empty() && !rest.trim_start().starts_with(',') {
                    return Err("something follows a closed quote".to_owned());
                }
                cell
            }
        };
        cells.push(cell);
        match rest.split_once(',') {
            Some((_, more)) => rest = more,
            None => return Ok(cells),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Changes, Plan};
    use crate::scenario::Scenario;

    const TABLE: &str = "name,agency,lat,lon,kind,link,remark\n\
        Niamey,NE,13.51,2.11,headquarters,line,\n\
        \"Diffa, east\",NE,13.32,12.61,sector,satellite,\n\
        Bosso,NE,13.70,13.31,post,radio,\n\
        Kilo,NE,13.75,13.35,patrol,thin,\n\
        N'Djamena,TD,12.11,15.04,headquarters,line,\"a \"\"remark\"\"\"\n\
        Bol,TD,13.46,14.71,post,courier,\n\
        Maroua,CM,10.59,14.32,headquarters,mobile,\n\
        Hub,TD,12.10,15.05,relay,line,\n";

    #[test]
    fn a_table_becomes_a_scenario_that_is_joined() {
        let toml = scenario(TABLE, "posts.csv", "posts").unwrap();
        let scenario = Scenario::parse(&toml, "x").unwrap_or_else(|e| panic!("{e}\n{toml}"));
        let plan = Plan::of(&scenario, 1, Changes::default());
        assert_eq!((plan.posts.len(), plan.agencies.len(), plan.island()), (8, 3, None));
        assert!(!plan.writes.is_empty());
        let name = |post: u32| plan.posts[post as usize].name.as_str();
        let between: Vec<[&str; 2]> = plan.lines.iter().map(|l| l.between.map(name)).collect();
        for link in [
            ["Diffa, east", "Niamey"],
            ["Bosso", "Diffa, east"],
            ["Kilo", "Bosso"],
            ["Bol", "N'Djamena"],
            ["Hub", "N'Djamena"],
        ] {
            assert!(between.contains(&link), "{link:?} in {between:?}");
        }
        assert!(plan.posts.iter().filter(|post| post.relay).count() == 1);
        // 1,400 km of line, at 200 km in a millisecond.
        assert!((distance((13.51, 2.11), (12.11, 15.04)) - 1_406.0).abs() < 10.0);
    }

    #[test]
    fn what_is_no_post_is_refused_with_its_line() {
        let head = "name,agency,lat,lon,kind,link\n";
        let hq = "a,NE,1,1,headquarters,line\n";
        for (text, line, says) in [
            (String::new(), 1, "names the columns"),
            ("name,agency\n".to_owned(), 1, "names the columns"),
            (head.to_owned(), 1, "no post"),
            (format!("{head}{hq}b,Niger,1,1,post,line\n"), 3, "two capital letters"),
            (format!("{head}{hq}b,NE,91,1,post,line\n"), 3, "degrees"),
            (format!("{head}{hq}b,NE,NaN,1,post,line\n"), 3, "degrees"),
            (format!("{head}{hq}b,NE,1,1,castle,line\n"), 3, "headquarters, sector"),
            (format!("{head}{hq}b,NE,1,1,post,pigeon\n"), 3, "satellite, radio"),
            (format!("{head}{hq}\n{hq}"), 4, "line 2 already"),
            (format!("{head}b,NE,1,1,post,line\n"), 2, "no headquarters"),
            (format!("{head}\"b,NE,1,1,post,line\n"), 2, "not closed"),
            (format!("{head}b\n"), 2, "two capital letters"),
        ] {
            let error = scenario(&text, "posts.csv", "posts").unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.what.contains(says), "{says:?}: {error}");
        }
    }
}
