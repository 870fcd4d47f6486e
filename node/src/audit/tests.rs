//! What was altered, cut or moved in the log is found, and nothing else is.

use std::fs::OpenOptions;

use super::*;

const SEED: [u8; 32] = [7; 32];

fn note(n: usize) -> Note {
    Note { act: format!("act {n}"), ..administration("", String::new()) }
}

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("home")).unwrap();
    home.create().unwrap();
    (folder, home)
}

fn written(home: &Home, count: usize) -> Audit {
    let audit = Audit::open(home, &SEED).unwrap();
    (0..count).for_each(|n| audit.append(note(n)).unwrap());
    audit
}

#[test]
fn a_log_is_read_as_it_was_written_also_after_a_restart() {
    let (_folder, home) = home();
    drop(written(&home, 3));
    let audit = written(&home, 2);
    let all = audit.read(0, 100).unwrap();
    let acts: Vec<&str> = all.iter().map(|link| link.entry.act.as_str()).collect();
    assert_eq!(acts, ["act 0", "act 1", "act 2", "act 0", "act 1"]);
    let verified = audit.verify().unwrap();
    assert_eq!((verified.entries, &verified.faults), (5, &Vec::new()));
    assert_eq!(verified.head, all.last().unwrap().hash);
    let (page, next) = audit.page(None, 2, &|_| true).unwrap();
    assert_eq!((page[0].entry.seq, page[1].entry.seq, next), (4, 3, Some(3)));
    let (page, next) = audit.page(next, 100, &|entry| entry.act == "act 0").unwrap();
    assert_eq!((page.len(), page[0].entry.seq, next), (1, 0, None));
}

#[test]
fn a_log_that_was_cut_is_found() {
    let (_folder, home) = home();
    let audit = written(&home, 3);
    let segment = audit.path(0);
    let whole = fs::read(&segment).unwrap();
    drop(audit);
    let two = segment::read(&seal::derive(&SEED, &[], &[b"tearline/1/audit-key"]), 0, &whole);
    let ends = two.whole_bytes - 10;
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(ends).unwrap();
    // The peer starts, and goes on behind the gap.
    let audit = written(&home, 1);
    let faults = audit.verify().unwrap().faults;
    assert!(faults.iter().any(|fault| fault.contains("torn")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("not 2")), "{faults:?}");
    let last = audit.read(3, 1).unwrap();
    assert!(last[0].entry.detail.contains("from 2 to 3 are lost"), "{last:?}");
}

#[test]
fn a_log_that_is_gone_is_found() {
    let (_folder, home) = home();
    let audit = written(&home, 3);
    fs::remove_file(audit.path(0)).unwrap();
    assert!(!audit.verify().unwrap().faults.is_empty());
    drop(audit);
    let audit = written(&home, 0);
    assert!(!audit.verify().unwrap().faults.is_empty());
    assert_eq!(audit.read(0, 10).unwrap()[0].entry.seq, 3);
}

#[test]
fn a_log_whose_head_is_gone_is_found_also_after_a_start() {
    let (_folder, home) = home();
    let audit = written(&home, 3);
    let segment = audit.path(0);
    drop(audit);
    let bytes = fs::read(&segment).unwrap();
    let two = (0..bytes.len()).rev().find(|cut| {
        let key = seal::derive(&SEED, &[], &[b"tearline/1/audit-key"]);
        let found = segment::read(&key, 0, &bytes[..*cut]);
        found.links.len() == 2 && found.broken.is_none()
    });
    fs::write(&segment, &bytes[..two.unwrap()]).unwrap();
    let head = home.root().join("audit/head");
    fs::remove_file(&head).unwrap();
    let audit = written(&home, 1);
    let faults = audit.verify().unwrap().faults;
    assert!(faults.len() == 1 && faults[0].contains("is gone"), "{faults:?}");
    fs::remove_file(&head).unwrap();
    assert_eq!(audit.verify().unwrap().faults.len(), 2, "and while it runs");
}

#[test]
fn refused_sign_ins_are_counted_and_push_nothing_out() {
    let (_folder, home) = home();
    let audit = written(&home, 1);
    let refusal = |name: &str| Note {
        event: Event::Login,
        operator: name.into(),
        outcome: Outcome::Refused,
        ..note(0)
    };
    (0..1_000).for_each(|_| audit.append_refusal(refusal("")).unwrap());
    audit.append_refusal(refusal("Amina")).unwrap();
    drop(audit);
    let audit = written(&home, 1);
    let details: Vec<(String, String)> = audit
        .read(1, 10)
        .unwrap()
        .into_iter()
        .map(|link| (link.entry.operator, link.entry.detail))
        .collect();
    let told = |name: &str, detail: &str| (name.to_owned(), detail.to_owned());
    assert_eq!(details[0], told("", ""));
    assert_eq!(details[1], told("", "999 more since the last that was refused"));
    assert_eq!(details[2], told("Amina", "1 more since the last that was refused"));
    assert_eq!(details.len(), 4);
    assert_eq!(audit.verify().unwrap().faults, Vec::<String>::new());
}

#[test]
fn any_byte_that_was_altered_is_found() {
    let (_folder, home) = home();
    let audit = written(&home, 2);
    let segment = audit.path(0);
    let whole = fs::read(&segment).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&segment, &bytes).unwrap();
        assert!(!audit.verify().unwrap().faults.is_empty(), "byte {at}");
    }
    fs::write(&segment, &whole).unwrap();
    assert!(audit.verify().unwrap().faults.is_empty());
}

#[test]
fn what_was_half_written_is_written_over() {
    let (_folder, home) = home();
    let audit = written(&home, 2);
    let segment = audit.path(0);
    drop(audit);
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend([0, 0, 1]);
    fs::write(&segment, &bytes).unwrap();
    let audit = written(&home, 1);
    let verified = audit.verify().unwrap();
    assert_eq!((verified.entries, verified.faults), (3, Vec::new()));
}

#[test]
fn an_exported_chain_is_checked_without_keys() {
    let (_folder, home) = home();
    let links = written(&home, 3).read(0, 100).unwrap();
    let check = |links: &[Link]| {
        let mut chain = Chain::new(links.first().map_or(0, |link| link.entry.seq));
        links.iter().for_each(|link| chain.add(link));
        chain.verified().faults
    };
    assert!(check(&links).is_empty());
    let mut altered = links.clone();
    altered[1].entry.operator = "somebody else".into();
    assert!(!check(&altered).is_empty());
    let mut short = links.clone();
    short.remove(1);
    assert!(!check(&short).is_empty());
    assert!(check(&links[1..]).is_empty(), "what went by rotation is not missed");
}

#[test]
fn long_texts_and_many_records_are_cut() {
    let (_folder, home) = home();
    let audit = written(&home, 0);
    let records = (0..RECORDS_MAX + 5).map(|n| n.to_string()).collect();
    let detail = "é".repeat(TEXT_BYTES_MAX);
    audit.append(Note { records, detail, ..note(0) }).unwrap();
    let entry = &audit.read(0, 1).unwrap()[0].entry;
    assert_eq!((entry.records.len(), entry.more_records), (RECORDS_MAX, 5));
    assert_eq!(entry.detail.len(), TEXT_BYTES_MAX);
}
