//! Exercises: a scenario that real daemons play, and the same in the simulator. Both move the same entries
//! and, within 2 %, the same bytes of frames.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tearline_tests::daemon::program;

/// How many records there are: so many that what only daemons say to each other is little beside them.
const RECORDS: u64 = 120;
/// By how much the bytes may differ, of a hundred.
const DIFFER_PERCENT: u64 = 2;

/// Two agencies on one line that holds, and what both write within seconds.
fn scenario(more: &str) -> String {
    let burst = |by: &str, class: &str| {
        let records = RECORDS / 2;
        format!(
            "[[work]]\nby = \"{by}\"\ncompartment = \"both\"\nclass = \"{class}\"\nsize = \"2 kB\"\n\
             bursts = [{{ at = \"1 s\", records = {records}, over = \"20 s\" }}]\n"
        )
    };
    format!(
        "name = \"two\"\nabout = \"\"\nlength = \"24 s\"\ntail = \"4 s\"\nsettle = \"10 min\"\n\
         agency = [{{ country = \"NE\", name = \"Guard\" }}, {{ country = \"TD\", name = \"Customs\" }}]\n\
         post = [{{ name = \"ne\", agency = \"NE\" }}, {{ name = \"td\", agency = \"TD\" }}]\n\
         compartment = [{{ name = \"both\", audience = [\"NE\", \"TD\"] }}]\n\
         [[link]]\nfrom = \"ne\"\nto = \"td\"\nrate = \"10 Mbit/s\"\nlatency = \"2 ms\"\n{}{}{more}",
        burst("ne", "routine"),
        burst("td", "priority"),
    )
}

fn written(folder: &Path, more: &str) -> io::Result<PathBuf> {
    let file = folder.join("two.toml");
    std::fs::write(&file, scenario(more))?;
    Ok(file)
}

/// The simulator's program that was built with this test.
fn simulator() -> io::Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    while folder.pop() {
        let program = folder.join("tearline-sim");
        if program.is_file() {
            return Ok(program);
        }
    }
    Err(io::Error::other(
        "the tearline-sim program is not built: run `cargo build -p tearline-simulations` first",
    ))
}

fn run(file: &Path, live: bool) -> io::Result<(i32, Value, String)> {
    let mut command = Command::new(simulator()?);
    command.arg("run").arg(file).args(["--json", "--seed", "7"]);
    if live {
        command.arg("--live").arg("--program").arg(program()?);
    }
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut document: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| io::Error::other(format!("{error}: {said}")))?;
    let code = output.status.code().unwrap_or(-1);
    Ok((code, document.get_mut("data").map(Value::take).unwrap_or(document), said))
}

#[test]
fn daemons_move_the_same_entries_and_bytes_as_the_simulator_says() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = written(folder.path(), "")?;
    let (code, simulated, said) = run(&file, false)?;
    assert_eq!(code, 0, "{simulated} {said}");
    let (code, played, said) = run(&file, true)?;
    assert_eq!(code, 0, "{played} {said}");
    assert!(said.starts_with("EXERCISE") && said.contains("its keys and records are gone"));
    assert_eq!(played["written"]["records"], RECORDS);
    assert_eq!(simulated["written"]["records"], RECORDS);
    for held in played["held"].as_array().into_iter().flatten() {
        assert_eq!(
            (&held["in_the_end"], &held["of"]),
            (&json!(RECORDS), &json!(RECORDS)),
            "{held}"
        );
    }
    assert_eq!(simulated["latency"]["routine"]["delivered_percent"], 100.0);
    let by_simulator = simulated["links"][0]["frame_bytes"].as_u64().unwrap_or_default();
    let by_daemons = played["frame_bytes"].as_u64().unwrap_or_default();
    let differ = by_simulator.abs_diff(by_daemons) * 100;
    assert!(
        differ <= DIFFER_PERCENT * by_simulator,
        "simulated {by_simulator} bytes, real {by_daemons}"
    );
    Ok(())
}

#[test]
fn an_exercise_goes_through_a_cut_and_a_crash() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let inject = "[[write]]\nat = \"2 s\"\nby = \"ne\"\ncompartment = \"both\"\nclass = \"flash\"\n\
                  size = \"60 B\"\nsays = \"white pickup, no plate at the back\"\n";
    let faults = "[[fault]]\nat = \"5 s\"\nkind = \"partition\"\nposts = [\"td\"]\nlasts = \"5 s\"\n\
                  [[fault]]\nat = \"12 s\"\nkind = \"crash\"\nposts = [\"ne\"]\nlasts = \"5 s\"\n";
    let more = format!("{inject}{faults}");
    let (code, played, said) = run(&written(folder.path(), &more)?, true)?;
    assert_eq!(code, 0, "{played} {said}");
    let missed = played["written"]["missed"].as_u64().unwrap_or_default();
    assert_eq!(played["written"]["records"].as_u64().unwrap_or_default() + missed, RECORDS + 1);
    for event in [
        "ne writes flash",
        "td: partition",
        "td: partition is over",
        "ne: crash",
        "ne: crash is over",
    ] {
        assert!(said.contains(event), "{event}: {said}");
    }
    Ok(())
}

#[test]
fn what_only_a_simulation_does_is_not_played() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let fault = "[[fault]]\nat = \"5 s\"\nkind = \"clock-jump\"\nposts = [\"td\"]\nlasts = \"5 s\"\n\
                 by = \"3 h\"\n";
    let (code, refused, _) = run(&written(folder.path(), fault)?, true)?;
    assert_eq!(code, 2, "{refused}");
    assert!(refused["error"]["what"].to_string().contains("clock-jump"), "{refused}");
    Ok(())
}
