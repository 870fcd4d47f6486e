//! A sweep in parts is the sweep; and what the documents give to schedulers does that.
#![expect(clippy::disallowed_methods, reason = "the program is given files, and writes some")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::SMALL;
use crate::commands::{document, file, sim};

const PARTS: u32 = 3;

/// A folder with nothing but the small scenario, shortened.
fn folder(test: &str) -> PathBuf {
    let short = SMALL.replace("length = \"2 h\"", "length = \"20 min\"");
    let path = file(test, &short.replace("tail = \"30 min\"", "tail = \"1 min\""));
    let folder = path.parent().unwrap().to_owned();
    let _ = std::fs::remove_dir_all(folder.join("sweep"));
    std::fs::create_dir(folder.join("sweep")).unwrap();
    folder
}

/// Results without what differs from machine to machine.
fn data(document: &Value) -> Value {
    let mut data = document["data"].clone();
    assert!(data["machine"].as_object().unwrap().contains_key("seconds"));
    data.as_object_mut().unwrap().remove("machine");
    data
}

fn unsharded(folder: &Path, seeds: &str) -> Value {
    let small = folder.join("small.toml");
    let output = sim(&["sweep", small.to_str().unwrap(), "--seeds", seeds, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    data(&document(&output))
}

fn merged(folder: &Path) -> Value {
    let mut parts: Vec<PathBuf> = std::fs::read_dir(folder.join("sweep"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // In any order.
    parts.sort();
    parts.reverse();
    let mut arguments = vec!["merge", "--json"];
    arguments.extend(parts.iter().map(|part| part.to_str().unwrap()));
    let output = sim(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(document(&output)["schema"], "tearline-sim.merge/1");
    data(&document(&output))
}

#[test]
fn the_slurm_script_is_sound_and_its_parts_make_the_whole() {
    let folder = folder("slurm");
    let script = read("sweep.slurm");
    let checked = Command::new("bash").arg("-n").arg(path("sweep.slurm")).status().unwrap();
    assert!(checked.success());
    assert!(script.lines().any(|line| line.starts_with("#SBATCH --array=1-")));
    let tools = tools(&folder);
    for part in 1..=PARTS {
        let run = Command::new("bash")
            .arg(path("sweep.slurm"))
            .current_dir(&folder)
            .env("PATH", &tools)
            .env("SCENARIO", "small.toml")
            .env("SEEDS", "5..9")
            .env("SLURM_CPUS_PER_TASK", "2")
            .env("SLURM_ARRAY_TASK_ID", part.to_string())
            .env("SLURM_ARRAY_TASK_COUNT", PARTS.to_string())
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
    assert_eq!(merged(&folder), unsharded(&folder, "5..9"));
}

#[test]
fn the_kubernetes_job_is_sound_and_its_parts_make_the_whole() {
    let folder = folder("kubernetes");
    let job = keys(&read("sweep.yaml"));
    for (key, value) in [
        ("apiVersion", "batch/v1"),
        ("kind", "Job"),
        ("metadata.name", "tearline-sweep"),
        ("spec.completionMode", "Indexed"),
        ("spec.template.spec.restartPolicy", "Never"),
        ("spec.template.spec.containers.0.name", "part"),
        ("spec.template.spec.containers.0.command.0", "/bin/sh"),
        ("spec.template.spec.containers.0.command.1", "-c"),
        ("spec.template.spec.containers.0.volumeMounts.0.mountPath", "/sweep"),
        ("spec.template.spec.volumes.0.persistentVolumeClaim.claimName", "tearline-sweep"),
    ] {
        assert_eq!(job.get(key).map(String::as_str), Some(value), "{key}");
    }
    let mounted = &job["spec.template.spec.containers.0.volumeMounts.0.name"];
    assert_eq!(mounted, &job["spec.template.spec.volumes.0.name"]);
    let parts = &job["spec.completions"];
    let command = &job["spec.template.spec.containers.0.command.2"];
    assert!(command.contains(&format!("+ 1))/{parts}\"")), "as many parts as there are indexes");
    // The same command, with less to do and another folder.
    let mut command = command.clone();
    let (parts, fewer) = (format!("/{parts}\""), format!("/{PARTS}\""));
    for (from, to) in [
        ("chaos", "small.toml"),
        ("1..10000", "5..9"),
        (parts.as_str(), fewer.as_str()),
        ("/sweep/", "sweep/"),
    ] {
        assert!(command.contains(from), "{from}: {command}");
        command = command.replace(from, to);
    }
    for index in 0..PARTS {
        let run = Command::new("/bin/sh")
            .args(["-c", &command])
            .current_dir(&folder)
            .env("PATH", tools(&folder))
            .env("JOB_COMPLETION_INDEX", index.to_string())
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
    assert_eq!(merged(&folder), unsharded(&folder, "5..9"));
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let folder = folder("parts");
    let small = folder.join("small.toml");
    let small = small.to_str().unwrap();
    let part = |name: &str| folder.join("sweep").join(name).display().to_string();
    let (one, other) = (part("1.json"), part("other.json"));
    let (one, other) = (one.as_str(), other.as_str());
    for (shard, seeds, out) in [("1/2", "1..2", one), ("2/2", "1..3", other)] {
        let output = sim(&["sweep", small, "--seeds", seeds, "--shard", shard, "--out", out]);
        assert_eq!(output.status.code(), Some(0));
    }
    for (files, code, says) in [
        (&[one][..], 1, "parts are missing of 2: 2"),
        (&[one, one], 1, "the same part"),
        (&[one, other], 1, "another sweep"),
        (&[small], 2, "no result of sweep"),
        (&[], 2, "FILE"),
    ] {
        let output = sim(&[&["merge"][..], files].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(says), "{says:?}: {text}");
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulations").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// A search path with the program, and an `srun` that runs what it is given.
fn tools(folder: &Path) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let srun = folder.join("srun");
    std::fs::write(&srun, "#!/bin/sh\nexec \"$@\"\n").unwrap();
    std::fs::set_permissions(&srun, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_tearline-sim")).parent().unwrap().display();
    format!("{}:{program}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// The values of a YAML document of block mappings, block sequences, plain and quoted scalars and `>-`, by
/// their paths. Anything else panics.
fn keys(text: &str) -> BTreeMap<String, String> {
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    // Of each level: its column, its path, and how many members of a sequence there were.
    let mut levels: Vec<(usize, String, u32)> = vec![(0, String::new(), 0)];
    let mut folded: Option<(usize, String)> = None;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        assert!(!line.contains('\t') && line.trim_end() == line, "{line:?}");
        let mut column = line.len() - line.trim_start().len();
        assert!(column % 2 == 0 && !line.is_empty(), "{line:?}");
        let mut rest = line.trim_start();
        if let Some((begins, path)) = &folded {
            if column > *begins {
                let value = keys.entry(path.clone()).or_default();
                *value = format!("{value} {rest}").trim_start().to_owned();
                continue;
            }
            folded = None;
        }
        while levels.last().is_some_and(|(at, _, _)| *at > column) {
            levels.pop();
        }
        let join =
            |path: &str, key: &str| format!("{path}.{key}").trim_start_matches('.').to_owned();
        if let Some(member) = rest.strip_prefix("- ") {
            let (at, path, count) = levels.last_mut().unwrap();
            assert_eq!(*at, column, "{line:?}");
            let path = join(path, &count.to_string());
            *count += 1;
            column += 2;
            rest = member;
            let is_mapping = rest.split_once(": ").is_some();
            if !is_mapping {
                match rest {
                    ">-" => folded = Some((column - 2, path)),
                    value => assert!(keys.insert(path, plain(value)).is_none()),
                }
                continue;
            }
            levels.push((column, path, 0));
        }
        let (at, path, _) = levels.last().unwrap();
        assert_eq!(*at, column, "{line:?}");
        let (key, value) = rest.split_once(':').expect("a key and a value");
        let path = join(path, key);
        match value.trim_start() {
            "" => levels.push((column + 2, path, 0)),
            value => assert!(keys.insert(path, plain(value)).is_none(), "twice: {line:?}"),
        }
    }
    keys
}

/// A scalar without its quotes.
fn plain(value: &str) -> String {
    assert!(!value.starts_with(['{', '[', '&', '*', '|', '!', '%', '@', '`']), "{value:?}");
    value.trim_matches('"').to_owned()
}
