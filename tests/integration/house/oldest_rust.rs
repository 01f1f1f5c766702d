//! The lock file, and the oldest supported Rust.

use std::process::Command;

use serde_json::Value;

/// Cargo chooses such versions by itself (`resolver = "3"`), but only where a package and
/// everything it depends on declare theirs.
#[test]
fn every_locked_dependency_supports_the_oldest_rust() {
    // Otherwise cargo would download what other platforms need.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--format-version=1", "--locked", "--filter-platform", &platform]);
    let output = metadata.current_dir(super::root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let rust_version = |package: &Value| package["rust_version"].as_str().map(numbers);
    let oldest = packages.iter().find(|package| package["name"] == "diesel-locks");
    let oldest = rust_version(oldest.unwrap()).unwrap();
    let newer: Vec<_> = packages
        .iter()
        .filter(|package| rust_version(package).is_some_and(|version| version > oldest))
        .map(|package| format!("{} {}", package["name"], package["version"]))
        .collect();
    assert_eq!(newer, [""; 0], "cargo update -p NAME --precise VERSION");
}

/// Without a patch, which no compiler is chosen by.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').take(2).map(|number| number.parse().unwrap()).collect()
}
