//! Labels converge too: by the join of all that was stated, whatever came last. The planted bug is a
//! register in which the last writer wins.

use std::collections::BTreeSet;

use tearline_crdt::id::EntryId;
use tearline_crdt::record::label::{Label, Release, effective};
use tearline_crdt::record::vocabulary::{Pap, Tlp};

use crate::histories;
use crate::rng::Rng;

/// What was stated of one record, by author.
struct Stated {
    labels: Vec<(EntryId, Label)>,
    releases: Vec<Release>,
}

fn stated(rng: &mut Rng) -> Stated {
    let count = rng.within(1, 6);
    let id = |n: usize| EntryId([n as u8; 32]);
    let labels = (0..count).map(|n| (id(n), label(rng))).collect();
    let releases = (0..rng.below(3))
        .map(|n| Release {
            entry: id(100 + n),
            cites: (0..count).filter(|_| rng.chance(40)).map(id).collect::<BTreeSet<_>>(),
            label: label(rng),
        })
        .collect();
    Stated { labels, releases }
}

fn label(rng: &mut Rng) -> Label {
    Label {
        tlp: rng.one(&[Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::Red]).copied().unwrap_or(Tlp::Red),
        pap: rng.one(&[Pap::Clear, Pap::Green, Pap::Amber, Pap::Red]).copied().unwrap_or(Pap::Red),
        caveats: (0..rng.below(3)).map(|_| format!("REL {}", rng.below(4))).collect(),
        ..Label::unrestricted()
    }
}

fn joined(stated: &Stated) -> Label {
    effective(stated.labels.iter().map(|(id, label)| (*id, label)), &stated.releases)
}

/// The bug: the label that came last holds.
fn last_writer(stated: &Stated) -> Label {
    stated.labels.last().map_or_else(Label::most_restrictive, |(_, label)| label.clone())
}

/// Whether two replicas differ, or somebody's restriction is lost.
fn is_wrong(seed: u64, shown: fn(&Stated) -> Label) -> bool {
    let mut rng = Rng::new(seed);
    let mut all = stated(&mut rng);
    let first = shown(&all);
    rng.shuffle(&mut all.labels);
    rng.shuffle(&mut all.releases);
    let lifted: BTreeSet<EntryId> =
        all.releases.iter().flat_map(|release| release.cites.iter().copied()).collect();
    let binding = all.labels.iter().filter(|(id, _)| !lifted.contains(id));
    let kept = binding.map(|(_, label)| label).all(|label| first.is_at_least(label));
    first != shown(&all) || !kept
}

#[test]
fn labels_are_the_same_in_every_order_and_drop_no_restriction() {
    for seed in 0..histories() {
        assert!(!is_wrong(seed, joined), "seed {seed}");
    }
}

#[test]
fn a_label_that_the_last_writer_sets_is_caught() {
    assert!((0..histories()).any(|seed| is_wrong(seed, last_writer)));
}
