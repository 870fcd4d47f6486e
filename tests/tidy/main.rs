//! The repository's own rules, as tests: what it may depend on, what must stay pure, how a source
//! file looks, what a document holds.
//!
//! Every rule is a function from what it reads to a list of findings. One test runs it over the
//! repository and wants no finding; another runs it over a small bad example and wants one, so
//! that no rule can pass by looking at nothing.

mod dependencies;
mod documents;
mod licences;
mod promises;
mod purity;
mod sources;
mod workspace;

/// Fails with every finding on a line of its own.
fn assert_none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
