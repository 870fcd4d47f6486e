//! Who gets in, by what, and for how long.

use super::*;

const SEED: [u8; 32] = [9; 32];
const NOW: u64 = 1_800_000_000_000;
const GOOD: &str = "a heron stands in the reeds";

fn home() -> (tempfile::TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().join("home")).unwrap();
    home.create().unwrap();
    (folder, home)
}

#[test]
fn an_operator_comes_in_with_a_code_and_back_with_a_passphrase() {
    let (_folder, home) = home();
    let operators = Operators::open(&home, &SEED).unwrap();
    let (shown, code) = operators.add("Amina", Role::Analyst, Tlp::Amber, NOW).unwrap();
    assert_eq!((shown.state.as_str(), shown.label_max.as_str()), ("invited", "AMBER"));
    assert_eq!(operators.sign_in("Amina", GOOD, "", NOW), Err(Refusal::Wrong));
    assert_eq!(operators.set_up("Amina", &code, "short", NOW), Err(Refusal::Weak));
    assert_eq!(operators.set_up("Amina", "AAAA", GOOD, NOW), Err(Refusal::Wrong));
    let late = NOW + CODE_MS;
    assert_eq!(operators.set_up("Amina", &code, GOOD, late), Err(Refusal::Wrong));
    let typed = code.to_lowercase().replace('-', " ");
    let first = operators.set_up("Amina", &typed, GOOD, NOW).unwrap();
    assert!(!first.enrols && operators.holds("Amina", first.generation));
    assert_eq!(operators.set_up("Amina", &code, GOOD, NOW), Err(Refusal::Wrong), "once");
    drop(operators);
    let operators = Operators::open(&home, &SEED).unwrap();
    let again = operators.sign_in("Amina", GOOD, "", NOW).unwrap();
    assert_eq!((again.role, again.generation), (Role::Analyst, first.generation));
    assert_eq!(operators.sign_in("Amina", "another passphrase", "", NOW), Err(Refusal::Wrong));
    assert_eq!(operators.sign_in("Nobody", GOOD, "", NOW), Err(Refusal::Wrong));
}

#[test]
fn the_roster_shows_nothing_and_opens_on_its_device_alone() {
    let (_folder, home) = home();
    let operators = Operators::open(&home, &SEED).unwrap();
    operators.add("Amina", Role::Analyst, Tlp::Red, NOW).unwrap();
    let bytes = std::fs::read(home.root().join("operators")).unwrap();
    assert!(!bytes.windows(5).any(|window| window == b"Amina"));
    let failure = Operators::open(&home, &[8; 32]).unwrap_err();
    assert_eq!(failure.kind, Kind::Integrity);
}

#[test]
fn sessions_end_when_an_account_changes() {
    let (_folder, home) = home();
    let operators = Operators::open(&home, &SEED).unwrap();
    let (_, code) = operators.add("Amina", Role::Analyst, Tlp::Red, NOW).unwrap();
    let session = operators.set_up("Amina", &code, GOOD, NOW).unwrap();
    let settings = Settings { language: "fr".into(), ..Settings::default() };
    operators.keep_settings("Amina", &settings).unwrap();
    assert!(operators.holds("Amina", session.generation));
    operators.set_role("Amina", Some(Role::Viewer), None, NOW).unwrap();
    assert!(!operators.holds("Amina", session.generation));
    let session = operators.sign_in("Amina", GOOD, "", NOW).unwrap();
    assert_eq!((session.role, &session.settings), (Role::Viewer, &settings));
    operators.reset("Amina", NOW).unwrap();
    assert!(!operators.holds("Amina", session.generation));
    assert_eq!(operators.sign_in("Amina", GOOD, "", NOW), Err(Refusal::Wrong));
    operators.remove("Amina", NOW).unwrap();
    assert_eq!(operators.remove("Amina", NOW).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn five_failures_lock_out_and_the_sixth_waits() {
    let (_folder, home) = home();
    let operators = Operators::open(&home, &SEED).unwrap();
    for n in 0..4 {
        operators.note_failure("Amina", NOW + n);
    }
    assert_eq!(operators.check_attempts("Amina", NOW + 4), Ok(()));
    operators.note_failure("Amina", NOW + 4);
    let locked = operators.check_attempts("Amina", NOW + 4);
    assert_eq!(locked, Err(Refusal::Locked { minutes: 15 }));
    assert_eq!(operators.check_attempts("Another", NOW + 4), Ok(()));
    assert!(operators.check_attempts("Amina", NOW + 4 + LOCKED_MS - 1).is_err());
    assert_eq!(operators.check_attempts("Amina", NOW + 4 + LOCKED_MS), Ok(()));
}

#[test]
fn the_memory_of_failures_has_a_bound() {
    let (_folder, home) = home();
    let operators = Operators::open(&home, &SEED).unwrap();
    (0..2 * ATTEMPTS_MAX).for_each(|n| operators.note_failure(&n.to_string(), NOW));
    assert_eq!(operators.attempts.lock().unwrap().len(), ATTEMPTS_MAX);
}

#[test]
fn other_names_push_no_operator_out_of_that_memory() {
    let (_folder, home) = home();
    let operators = Operators::open(&home, &SEED).unwrap();
    operators.add("Amina", Role::Viewer, Tlp::Amber, NOW).unwrap();
    (0..FAILURES_MAX).for_each(|_| operators.note_failure("Amina", NOW));
    (0..2 * ATTEMPTS_MAX).for_each(|n| operators.note_failure(&format!("Z{n}"), NOW));
    assert!(matches!(operators.check_attempts("Amina", NOW), Err(Refusal::Locked { .. })));
}

#[test]
fn the_first_operator_makes_himself_an_administrator_once() {
    let (_folder, home) = home();
    let operators = Operators::open(&home, &SEED).unwrap();
    let code = operators.begin(NOW).unwrap().unwrap();
    let late = NOW + FIRST_CODE_MS;
    assert_eq!(operators.set_up("Root", &code, GOOD, late), Err(Refusal::Wrong));
    let first = operators.set_up("Root", &code, GOOD, NOW).unwrap();
    assert_eq!((first.role, first.enrols), (Role::Admin, true));
    assert_eq!(operators.set_up("Second", &code, GOOD, NOW), Err(Refusal::Wrong));
    assert!(operators.begin(NOW).unwrap().is_none());
}

#[test]
fn a_second_factor_is_asked_for_once_it_is_set_up_and_a_code_is_taken_once() {
    let (_folder, home) = home();
    let operators = Operators::open(&home, &SEED).unwrap();
    let (_, code) = operators.add("Moussa", Role::Auditor, Tlp::Red, NOW).unwrap();
    assert!(operators.set_up("Moussa", &code, GOOD, NOW).unwrap().enrols);
    let enrolment = Enrolment::begin().unwrap();
    assert!(
        enrolment.uri("Post 7", "Moussa").starts_with("otpauth://totp/Post%207:Moussa?secret=")
    );
    let shown = |at_ms: u64| {
        let code = totp::code_at(enrolment.0.as_slice(), at_ms / 1_000 / totp::STEP_S);
        format!("{code:06}")
    };
    let (now, later) = (shown(NOW), shown(NOW + 300_000));
    operators.enrol("Moussa", &enrolment, &now, NOW).unwrap();
    assert_eq!(operators.sign_in("Moussa", GOOD, "", NOW), Err(Refusal::Wrong));
    assert_eq!(operators.sign_in("Moussa", GOOD, &now, NOW), Err(Refusal::Wrong), "used");
    let at = NOW + 300_000;
    assert!(!operators.sign_in("Moussa", GOOD, &later, at).unwrap().enrols);
    assert_eq!(operators.sign_in("Moussa", GOOD, &later, at), Err(Refusal::Wrong), "used");
}
