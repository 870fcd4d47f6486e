//! Files of secrets that rotted: each command that opens them says which, and what to do.

use std::fs;
use std::path::Path;

use super::{code, folder, stderr, stdout, tearline};

/// Every command that opens the secrets, with the files that it opens rotten at places all over them.
#[test]
fn a_rotten_key_file_ends_every_command_that_opens_it() {
    let files = folder();
    let path = |name: &str| files.path().join(name).display().to_string();
    let home = files.path().join("home");
    let (stick, other) = (path("stick"), path("other"));
    let init = ["init", "--agency", "A", "--country", "NE", "--new-key-file", &stick];
    let made = tearline(&home, &init);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let (out, shares) = (path("backup"), path("shares"));
    let root_key = "ab".repeat(32);
    let everywhere: [&[&str]; 3] = [&["id"], &["run"], &["doctor"]];
    let device: [&[&str]; 5] = [
        &["keys", "protect", "--new-key-file", &other],
        &["doctor", "--rebuild", "--yes"],
        &["doctor", "--new-life"],
        &["backup", "create", &out, "--new-key-file", &other],
        &["root", "draft", "desk", "--root", &root_key],
    ];
    let agency: [&[&str]; 2] =
        [&["root", "split", "--threshold", "2", "--shares", "3", "--out", &shares], device[0]];
    let inside = |name: &str| home.join(name).display().to_string();
    for (file, more) in [
        (inside("device.key"), &device[..]),
        (inside("agency.key"), &agency),
        (stick.clone(), &device),
    ] {
        let whole = fs::read(&file).unwrap();
        for part in 0..5 {
            let mut rotten = whole.clone();
            let at = (whole.len() - 1) * part / 4;
            rotten[at] ^= 1;
            fs::write(&file, &rotten).unwrap();
            for arguments in everywhere.iter().chain(more) {
                let ended = tearline(&home, &[*arguments, &["--key-file", &stick]].concat());
                let said = stdout(&ended) + &stderr(&ended);
                assert_eq!(code(&ended), 9, "byte {at} of {file}, {arguments:?}: {said}");
                assert!(said.contains(&file) && said.contains("hint: "), "{arguments:?}: {said}");
                assert!(said.contains("copy of"), "{arguments:?}: {said}");
            }
            assert_eq!(fs::read(&file).unwrap(), rotten, "it was left as it was found");
        }
        fs::write(&file, &whole).unwrap();
    }
    assert_eq!(code(&tearline(&home, &["id", "--key-file", &stick])), 0);
    assert!(!Path::new(&out).exists() && !Path::new(&shares).exists());
}
