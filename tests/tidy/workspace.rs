//! Where the repository is, which files it has, and how to ask cargo about it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the repository: its path from the root with `/` between parts, and its text.
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Text {
    /// Whether the file's name ends in this extension.
    pub(crate) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests package lies in the workspace").to_path_buf()
}

/// Reads a file of the repository.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|cause| {
        // A finding of whoever asked: an empty file breaks every rule about content.
        eprintln!("{path} cannot be read: {cause}");
        String::new()
    })
}

/// Reads and parses a TOML file of the repository.
pub(crate) fn toml(path: &str) -> toml::Table {
    read(path).parse().expect("a TOML file")
}

/// Paths of the repository's files: what git tracks, or, in a tree without git, what lies there.
pub(crate) fn paths() -> Vec<String> {
    let mut paths = git_paths(&["ls-files", "-z"]).unwrap_or_else(walked);
    paths.sort();
    paths
}

/// Every text file that people write, tracked or about to be.
pub(crate) fn texts() -> Vec<Text> {
    let mut paths = git_paths(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .unwrap_or_else(walked);
    paths.sort();
    paths
        .into_iter()
        .filter(|path| {
            let extension = Path::new(path).extension().and_then(|e| e.to_str()).unwrap_or("");
            TEXT_EXTENSIONS.contains(&extension) || path == ".ci/run"
        })
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).ok()?;
            Some(Text { path, text })
        })
        .collect()
}

/// Runs cargo in the workspace and returns what it printed, or why there is nothing.
pub(crate) fn cargo(args: &[&str]) -> Result<String, String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(args)
        .current_dir(root())
        .output()
        .map_err(|cause| format!("cargo does not run ({cause}): this rule was NOT checked"))?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|cause| cause.to_string())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`cargo {}` failed: this rule was NOT checked\n{said}", args.join(" ")))
    }
}

const TEXT_EXTENSIONS: [&str; 9] = ["rs", "md", "toml", "html", "css", "js", "sh", "c", "json"];

fn git_paths(args: &[&str]) -> Option<Vec<String>> {
    let output = Command::new("git").args(args).current_dir(root()).output().ok()?;
    let listed = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = listed
        .split('\0')
        .filter(|path| !path.is_empty() && root().join(path).is_file())
        .map(str::to_owned)
        .collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walked() -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    waiting.push(path);
                }
            } else if let Ok(inside) = path.strip_prefix(&root) {
                found.push(inside.to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[test]
fn the_repository_is_found() {
    let paths = paths();
    assert!(paths.iter().any(|path| path == "Cargo.toml"), "{paths:?}");
    assert!(texts().iter().any(|file| file.path == "tests/tidy/workspace.rs"));
}
