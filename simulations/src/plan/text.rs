//! A plan as a scenario: everything that was drawn, written out.

use std::fmt::Write as _;

use super::{Fault, Line, Plan, Post, Write};
use crate::quantity::{Length, Offset};

impl Plan {
    /// The plan as a scenario file that makes the same plan with the same seed.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let name = |post: &u32| self.posts.get(*post as usize).map_or("", |p| p.name.as_str());
        let compartment =
            |at: u32| self.compartments.get(at as usize).map_or("", |c| c.name.as_str());
        let country = |at: &u32| self.agencies.get(*at as usize).map_or("", |a| a.country.as_str());
        let text = |text: &str| toml::Value::from(text).to_string();
        let list = |names: Vec<&str>| {
            format!("[{}]", names.into_iter().map(text).collect::<Vec<_>>().join(", "))
        };
        let goals: Vec<String> = self.goals.iter().map(ToString::to_string).collect();
        let lengths = [("length", self.length), ("tail", self.tail), ("settle", self.settle)];
        put(&mut out, format_args!("name = {}\nabout = {}", text(&self.name), text(&self.about)));
        for (key, nanos) in lengths {
            put(&mut out, format_args!("{key} = \"{}\"", Length(nanos)));
        }
        put(&mut out, format_args!("goals = {}", list(goals.iter().map(String::as_str).collect())));
        for agency in &self.agencies {
            let (country, name) = (text(&agency.country), text(&agency.name));
            put(&mut out, format_args!("\n[[agency]]\ncountry = {country}\nname = {name}"));
        }
        for Post { name: own, agency, relay, clock, hostile, copies } in &self.posts {
            let (own, agency) = (text(own), text(country(agency)));
            put(&mut out, format_args!("\n[[post]]\nname = {own}\nagency = {agency}"));
            if *relay {
                put(&mut out, format_args!("relay = true"));
            }
            if *clock != 0 {
                put(&mut out, format_args!("clock = \"{}\"", Offset(*clock)));
            }
            if let Some(hostile) = hostile {
                put(&mut out, format_args!("hostile = \"{}\"", hostile.name()));
            }
            if let Some(copied) = copies {
                put(&mut out, format_args!("copies = {}", text(name(copied))));
            }
        }
        for known in &self.compartments {
            let (name, audience) =
                (text(&known.name), list(known.audience.iter().map(country).collect()));
            put(&mut out, format_args!("\n[[compartment]]\nname = {name}\naudience = {audience}"));
        }
        for Line { between: [from, to], rate, latency, jitter, loss, half_duplex, windows } in
            &self.lines
        {
            let (from, to) = (text(name(from)), text(name(to)));
            put(
                &mut out,
                format_args!("\n[[link]]\nfrom = {from}\nto = {to}\nrate = \"{rate} bit/s\""),
            );
            let (latency, jitter) = (Length(*latency), Length(*jitter));
            put(
                &mut out,
                format_args!("latency = \"{latency}\"\njitter = \"{jitter}\"\nloss = {loss:?}"),
            );
            if *half_duplex {
                put(&mut out, format_args!("half_duplex = true"));
            }
            if let Some(windows) = windows {
                let pair = |(from, to): &(u64, u64)| {
                    format!("[\"{}\", \"{}\"]", Length(*from), Length(*to))
                };
                let windows: Vec<String> = windows.iter().map(pair).collect();
                put(&mut out, format_args!("windows = [{}]", windows.join(", ")));
            }
        }
        for Write { at, by, compartment: c, class, bytes, edit, says } in &self.writes {
            let (by, c, class) = (text(name(by)), text(compartment(*c)), text(class.name()));
            put(&mut out, format_args!("\n[[write]]\nat = \"{}\"\nby = {by}", Length(*at)));
            put(&mut out, format_args!("compartment = {c}\nclass = {class}\nsize = \"{bytes} B\""));
            if *edit {
                put(&mut out, format_args!("edit = true"));
            }
            if let Some(says) = says {
                put(&mut out, format_args!("says = {}", text(says)));
            }
        }
        for Fault { at, lasts, kind, posts, by } in &self.faults {
            let (kind, posts) = (kind.name(), list(posts.iter().map(name).collect()));
            put(&mut out, format_args!("\n[[fault]]\nat = \"{}\"\nkind = \"{kind}\"", Length(*at)));
            put(&mut out, format_args!("posts = {posts}\nlasts = \"{}\"", Length(*lasts)));
            if *by != 0 {
                put(&mut out, format_args!("by = \"{}\"", Offset(*by)));
            }
        }
        out
    }
}

/// Appends a line. To text that cannot fail.
fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use crate::library;
    use crate::plan::{Changes, Plan};
    use crate::scenario::Scenario;

    #[test]
    fn a_plan_reads_back_as_it_was() {
        for seed in 0..10 {
            let plan = Plan::of(&library::named("chaos").unwrap(), seed, Changes::default());
            let again = Scenario::parse(&plan.to_toml(), "plan.toml").unwrap();
            let again = Plan::of(&again, seed, Changes::default());
            assert_eq!(format!("{plan:?}"), format!("{again:?}"), "seed {seed}");
        }
    }
}
