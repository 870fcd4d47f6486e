//! The program: documents, texts, exit codes.
#![expect(clippy::disallowed_methods, reason = "the program is given files, and writes some")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::SMALL;

pub(crate) fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tearline-sim")).args(arguments).output().unwrap()
}

pub(crate) fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The small scenario as a file, in a folder of the test's own.
pub(crate) fn file(test: &str, text: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("small.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_run_is_one_document_and_a_report_that_needs_nothing_else() {
    let path = file("run", SMALL);
    let out = path.with_file_name("report");
    let (path, folder) = (path.to_str().unwrap(), out.to_str().unwrap());
    let output = sim(&["run", path, "--seed", "2", "--json", "--out", folder]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said = document(&output);
    assert_eq!(said["schema"], "tearline-sim.run/1");
    let data = &said["data"];
    assert_eq!(data["trace_hash"].as_str().map(str::len), Some(64));
    assert_eq!(
        (&data["seed"], &data["peers"], &data["violation"]),
        (&2.into(), &4.into(), &Value::Null)
    );
    assert_eq!(data["goals"].as_array().map(Vec::len), Some(2));
    assert!(data["goals"].as_array().unwrap().iter().all(|goal| goal["verdict"] == "PASS"));
    let flash = &data["latency"]["flash"];
    assert!(flash["bound_seconds"]["p50"].as_f64() <= flash["seconds"]["p50"].as_f64());
    for link in data["links"].as_array().unwrap() {
        let bytes = |key: &str| link[key].as_u64().unwrap();
        assert_eq!(bytes("sent_bytes"), bytes("delivered_bytes") + bytes("lost_bytes"));
    }
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("PASS") && !page.contains("FAIL"));
    // Nothing is fetched and nothing is run.
    for other in ["<script", "http:", "https:", "src=", "url(", "@import", "<link"] {
        assert!(!page.contains(other), "{other}");
    }
    let kept: Value =
        serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(kept, said);
}

#[test]
fn a_goal_that_is_missed_ends_with_1_and_nonsense_with_2() {
    let path = file("missed", &SMALL.replace("flash p95 < 30 min", "flash p95 < 1 ms"));
    let path = path.to_str().unwrap();
    let output = sim(&["run", path, "--hours", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAIL  flash p95 < 1 ms"));
    let apart = file("apart", &SMALL.replace("from = \"td\"", "from = \"ne\""));
    let apart = apart.to_str().unwrap();
    for (arguments, says) in [
        (&["run", "nowhere"][..], "alliance, chaos"),
        (&["run", "nowhere.toml"], "cannot be read"),
        (&["run"], "SCENARIO"),
        (&["run", path, "--peers", "0"], "0 is not in 1..=20000"),
        (&["sweep", path, "--seeds", "5..1"], "first seed"),
        (&["sweep", path, "--seeds", "all"], "1..200"),
        (&["validate", apart], "no chain of links joins"),
    ] {
        let output = sim(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says), "{says:?}: {text}");
        let output = sim(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(document(&output)["schema"], "tearline-sim.error/1");
        assert_eq!(document(&output)["error"]["kind"], "usage");
    }
}

#[test]
fn sweep_replay_list_and_validate_say_what_they_did() {
    let path = file("sweep", SMALL);
    let path = path.to_str().unwrap();
    let output = sim(&["sweep", path, "--seeds", "3..6", "--jobs", "2", "--hours", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let data = &document(&output)["data"];
    assert_eq!(data["violations"], 0);
    let runs = data["runs"].as_array().unwrap();
    let seeds: Vec<u64> = runs.iter().filter_map(|run| run["seed"].as_u64()).collect();
    assert_eq!(seeds, [3, 4, 5, 6]);
    let output = sim(&["replay", path, "--seed", "3", "--hours", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let again = &document(&output)["data"];
    assert_eq!(again["equal"], true);
    assert_eq!(again["trace_hash"][0], runs[0]["trace_hash"], "the sweep ran the same");
    let output = sim(&["list", "--json"]);
    let all = document(&output)["data"]["scenarios"].as_array().unwrap().clone();
    let names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"lake-chad") && names.contains(&"chaos"), "{names:?}");
    let output = sim(&[&["validate"][..], &names].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = Path::new(path).with_file_name("trace.csv");
    std::fs::write(&trace, "a,b,0,600\nb,c,900,1800\n").unwrap();
    let output = sim(&["contacts", trace.to_str().unwrap()]);
    let mine = trace.with_file_name("trace.toml");
    std::fs::write(&mine, &output.stdout).unwrap();
    let output = sim(&["run", mine.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(document(&output)["data"]["peers"], 3);
    let output = sim(&["shrink", path, "--seed", "3", "--hours", "1"]);
    assert_eq!(output.status.code(), Some(1), "nothing breaks");
}

#[test]
fn two_runs_are_shown_side_by_side() {
    let path = file("compare", SMALL);
    let folder = |name: &str| path.with_file_name(name).display().to_string();
    let (a, b, out) = (folder("a"), folder("b"), folder("compared"));
    for (seed, out) in [("1", &a), ("2", &b)] {
        let path = path.to_str().unwrap();
        let run = sim(&["run", path, "--seed", seed, "--out", out]);
        assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stdout));
    }
    let (a, b) = (format!("{a}/run.json"), format!("{b}/run.json"));
    let output = sim(&["compare", &a, &b, "--json", "--out", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let said = document(&output);
    assert_eq!(said["schema"], "tearline-sim.compare/1");
    let run =
        |file: &str| -> Value { serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap() };
    let (first, second) = (run(&a), run(&b));
    let p50 = said["data"]["latency"]["flash"].as_array().unwrap();
    let p50 = p50.iter().find(|pair| pair["what"] == "p50").unwrap();
    assert_eq!(p50["a"], first["data"]["latency"]["flash"]["seconds"]["p50"]);
    assert_eq!(p50["b"], second["data"]["latency"]["flash"]["seconds"]["p50"]);
    let goals = said["data"]["goals"].as_array().unwrap();
    assert!(goals.len() == 2 && goals.iter().all(|goal| goal["b"]["verdict"] == "PASS"));
    let page = std::fs::read_to_string(format!("{out}/index.html")).unwrap();
    assert!(page.contains("B: small, seed 2") && page.contains("PASS"));
    for other in ["<script", "http:", "https:", "src=", "url(", "@import", "<link"] {
        assert!(!page.contains(other), "{other}");
    }
    let itself = sim(&["compare", &a, &a]);
    assert!(String::from_utf8_lossy(&itself.stdout).contains("went the same way"));
    let output = sim(&["compare", &a, path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no result of run"));
}

#[test]
fn a_scenario_begins_with_a_table_of_posts() {
    let path = file("new", SMALL);
    let (table, toml) = (path.with_file_name("posts.csv"), path.with_file_name("mine.toml"));
    let text = "name,agency,lat,lon,kind,link\nNiamey,NE,13.51,2.11,headquarters,line\n\
                Diffa,NE,13.32,12.61,sector,mobile\nBosso,NE,13.70,13.31,post,mobile\n";
    std::fs::write(&table, text).unwrap();
    let output = sim(&["new", "--posts", table.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(&toml, &output.stdout).unwrap();
    let output = sim(&["run", toml.to_str().unwrap(), "--hours", "4", "--json"]);
    let said = document(&output);
    assert_eq!((&said["data"]["peers"], &said["data"]["violation"]), (&3.into(), &Value::Null));
    std::fs::write(&table, text.replace("mobile", "pigeon")).unwrap();
    let output = sim(&["new", "--posts", table.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(says.contains("posts.csv:3: \"pigeon\" is no kind of link"), "{says}");
}

#[test]
fn the_least_that_meets_a_goal_is_found_and_every_probe_is_said() {
    let path = file("size", SMALL);
    let path = path.to_str().unwrap();
    let goal = ["--goal", "flash p95 < 30 min", "--seeds", "1..2", "--json"];
    let least = |vary: &[&str]| {
        let output = sim(&[&["size", path], vary, &goal[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let data = document(&output)["data"].clone();
        let probes = data["probes"].as_array().unwrap();
        let least = data["least"].as_u64().unwrap();
        for probe in probes {
            let enough = probe["value"].as_u64().unwrap() >= least;
            assert_eq!(probe["meets"], enough, "{data}");
        }
        let said = String::from_utf8_lossy(&output.stderr).lines().count();
        assert_eq!(said, probes.len());
        least
    };
    // Nothing joins the two agencies without a relay.
    assert_eq!(least(&["--vary", "relays"]), 1);
    assert!(least(&["--vary", "links.rate", "--link", "td"]) <= 64_000);
    for (arguments, code, says) in [
        (&["--vary", "links.rate"][..], 2, "--link"),
        (&["--vary", "links.rate", "--link", "nobody"], 2, "no [[link]] is from"),
        (&["--vary", "luck"], 2, "links.rate"),
    ] {
        let output = sim(&[&["size", path, "--goal", "flash p95 < 1 s"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(says), "{says:?}: {text}");
    }
    let never =
        ["size", path, "--goal", "flash p95 < 1 ms", "--vary", "links.rate", "--link", "td"];
    let output = sim(&[&never[..], &["--seeds", "1..1"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("nothing that was tried meets"));
}

/// A program in the place of the daemon: it grants whatever it is asked for, and listens until its stdin ends.
#[cfg(unix)]
const OBLIGING: &str =
    "#!/bin/sh\ncase \" $* \" in *\" run \"*) exec cat ;; esac\necho '{\"data\":{}}'\n";

#[cfg(unix)]
#[test]
fn an_exercise_that_is_interrupted_leaves_nothing_behind() {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::PermissionsExt as _;
    let scenario = file("interrupted", SMALL);
    let program = scenario.with_file_name("obliging");
    std::fs::write(&program, OBLIGING).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let folder = scenario.with_file_name("tmp");
    std::fs::create_dir_all(&folder).unwrap();
    // Of a process that was killed, as no process has this number. What has another name stays.
    std::fs::create_dir_all(folder.join("tearline-live-4294967295-1").join("0")).unwrap();
    std::fs::create_dir_all(folder.join("other")).unwrap();
    for signal in ["-INT", "-TERM"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tearline-sim"))
            .args([
                Path::new("run"),
                &scenario,
                Path::new("--live"),
                Path::new("--program"),
                &program,
            ])
            .env("TMPDIR", &folder)
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = said.find(|line| line.contains("tearline --home")).unwrap();
        assert!(line.contains(folder.to_str().unwrap()), "{line}");
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let rest: Vec<String> = said.collect();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{rest:?}");
        assert!(rest.last().unwrap().contains("interrupted"), "{rest:?}");
        let left = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["other"]);
    }
}
