//! Contact traces: who met whom when, as others have measured it, made into a scenario.
//!
//! Two forms are read. That of the ONE simulator's connectivity events, `TIME CONN HOST HOST up|down`
//! (Keränen, Ott and Kärkkäinen, "The ONE simulator for DTN protocol evaluation"); and CSV,
//! `HOST,HOST,FROM,TO`, with a first line of names if wanted. Times are seconds. Contacts of two hosts that
//! overlap are one.

use std::collections::{BTreeMap, BTreeSet};

use crate::agenda::Nanos;
use crate::plan::{Agency, Compartment, Line, Plan, Post};
use crate::quantity::{HOUR, Length, SECOND};
use crate::scenario::{LENGTH_MAX, POSTS_MAX, ScenarioError};

/// Of every two hosts that met, their contacts.
type Meetings = BTreeMap<(String, String), Vec<(Nanos, Nanos)>>;

/// Makes a scenario of a trace: every host a post of one agency, which writes a record an hour.
pub fn scenario(text: &str, source_name: &str, name: &str) -> Result<String, ScenarioError> {
    let meetings = read(text, source_name)?;
    let hosts: BTreeSet<&String> = meetings.keys().flat_map(|(a, b)| [a, b]).collect();
    let fail = |what: String| ScenarioError { source_name: source_name.to_owned(), line: 1, what };
    if hosts.is_empty() {
        return Err(fail("there is no contact in it".to_owned()));
    }
    if hosts.len() > POSTS_MAX as usize {
        return Err(fail(format!("{} hosts are more than {POSTS_MAX}", hosts.len())));
    }
    let number: BTreeMap<&String, u32> = hosts.iter().copied().zip(0..).collect();
    let at = |host: &String| number.get(host).copied().unwrap_or(0);
    let ends = meetings.values().flatten().map(|(_, to)| *to).max().unwrap_or(0);
    let post = |host: &&String| Post {
        name: (*host).clone(),
        agency: 0,
        relay: false,
        clock: 0,
        hostile: None,
        copies: None,
    };
    let plan = Plan {
        name: name.to_owned(),
        about: format!("The contacts of {source_name}."),
        seed: 1,
        length: ends.next_multiple_of(HOUR),
        tail: 0,
        settle: 2 * HOUR,
        agencies: vec![Agency { country: "NE".to_owned(), name: "Agency".to_owned() }],
        posts: hosts.iter().map(post).collect(),
        compartments: vec![Compartment { name: "all".to_owned(), audience: vec![0] }],
        lines: meetings
            .iter()
            .map(|((a, b), windows)| Line {
                between: [at(a), at(b)],
                rate: 1_000_000,
                latency: SECOND / 100,
                jitter: 0,
                loss: 0.0,
                half_duplex: false,
                windows: Some(windows.clone()),
            })
            .collect(),
        writes: Vec::new(),
        faults: Vec::new(),
        goals: Vec::new(),
    };
    let mut toml = plan.to_toml();
    for host in hosts {
        let host = toml::Value::from(host.as_str());
        toml.push_str(&format!(
            "\n[[work]]\nby = {host}\ncompartment = \"all\"\nclass = \"routine\"\nper_day = 24\nsize = \"300 B\"\n"
        ));
    }
    Ok(toml)
}

fn read(text: &str, source_name: &str) -> Result<Meetings, ScenarioError> {
    let mut meetings = Meetings::new();
    let mut begun: BTreeMap<(String, String), Nanos> = BTreeMap::new();
    let mut last = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let fail = |what: &str| ScenarioError {
            source_name: source_name.to_owned(),
            line: number,
            what: format!("{what}: {:?}", line.chars().take(60).collect::<String>()),
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        match (words.as_slice(), cells.as_slice()) {
            ([], _) => {}
            ([first, ..], _) if first.starts_with('#') => {}
            ([time, "CONN", a, b, change], _) => {
                let time = seconds(time).ok_or_else(|| fail("no time"))?;
                if time < last {
                    return Err(fail("a time before the one above"));
                }
                last = time;
                let pair = pair(a, b).ok_or_else(|| fail("a host that meets itself"))?;
                match *change {
                    "up" => {
                        begun.entry(pair).or_insert(time);
                    }
                    "down" => {
                        if let Some(from) = begun.remove(&pair) {
                            meetings.entry(pair).or_default().push((from, time));
                        }
                    }
                    _ => return Err(fail("neither up nor down")),
                }
            }
            // Other events of the ONE: messages and hosts.
            ([_, kind, ..], [_]) if kind.chars().all(|c| c.is_ascii_uppercase()) => {}
            (_, [a, b, from, to]) => {
                let (Some(from), Some(to)) = (seconds(from), seconds(to)) else {
                    if number == 1 {
                        continue;
                    }
                    return Err(fail("no time"));
                };
                let pair = pair(a, b).ok_or_else(|| fail("a host that meets itself"))?;
                if from >= to {
                    return Err(fail("a contact that ends before it begins"));
                }
                meetings.entry(pair).or_default().push((from, to));
            }
            _ => return Err(fail("neither `TIME CONN HOST HOST up` nor `HOST,HOST,FROM,TO`")),
        }
    }
    // Whoever had not parted at the end is together until then.
    for (pair, from) in begun {
        meetings.entry(pair).or_default().push((from, last.max(from + SECOND)));
    }
    meetings.values_mut().for_each(|windows| *windows = merged(std::mem::take(windows)));
    meetings.retain(|_, windows| !windows.is_empty());
    Ok(meetings)
}

/// In order, and those that touch as one.
fn merged(mut windows: Vec<(Nanos, Nanos)>) -> Vec<(Nanos, Nanos)> {
    windows.sort_unstable();
    let mut merged: Vec<(Nanos, Nanos)> = Vec::new();
    for (from, to) in windows.into_iter().filter(|(from, to)| from < to) {
        match merged.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => merged.push((from, to)),
        }
    }
    merged
}

fn pair(a: &str, b: &str) -> Option<(String, String)> {
    let named = !a.is_empty() && !b.is_empty() && a != b;
    named.then(|| (a.min(b).to_owned(), a.max(b).to_owned()))
}

fn seconds(text: &str) -> Option<Nanos> {
    let seconds: f64 = text.parse().ok()?;
    let nanos = seconds * SECOND as f64;
    (nanos >= 0.0 && Length(nanos as Nanos) <= LENGTH_MAX).then_some(nanos as Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Changes;
    use crate::scenario::Scenario;

    const ONE: &str = "0.5 CONN a b up\n1.0 CONN b c up\n# a remark\n2.0 C M1 a b 500\n60.5 CONN a b down\n\
                       3600 CONN b a up\n3700 CONN c b down\n7200.0 CONN a b down\n";
    const CSV: &str = "host,host,from,to\na,b,0.5,60.5\nc,b,1,3700\nb,a,3600,5000\na,b,4000,7200\n";

    #[test]
    fn both_forms_say_the_same_and_make_a_scenario() {
        let plan = |text| {
            let toml = scenario(text, "trace", "mine").unwrap();
            let scenario =
                Scenario::parse(&toml, "mine.toml").unwrap_or_else(|e| panic!("{e}\n{toml}"));
            Plan::of(&scenario, 1, Changes::default())
        };
        let plans = [plan(ONE), plan(CSV)];
        assert_eq!(plans[0].lines, plans[1].lines);
        let windows = plans[0].lines[0].windows.clone().unwrap();
        assert_eq!(windows, [(SECOND / 2, 121 * SECOND / 2), (HOUR, 2 * HOUR)]);
        assert_eq!((plans[0].posts.len(), plans[0].length), (3, 2 * HOUR));
        assert!(plans[0].island().is_none() && !plans[0].writes.is_empty());
    }

    #[test]
    fn what_is_no_contact_is_refused_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("0 CONN a b up\n1 CONN a b sideways\n", 2),
            ("5 CONN a b up\n1 CONN a b down\n", 2),
            ("0 CONN a a up\n", 1),
            ("a,b,from,to\na,b,x,2\n", 2),
            ("a,b,5,2\n", 1),
            ("a,b,0,99999999999\na,b,-1,2\n", 2),
            ("hello\n", 1),
        ] {
            let error = scenario(text, "trace", "mine").unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
        }
    }
}
