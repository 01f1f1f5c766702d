//! The demonstration, run as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test fails where it panics.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run `./dev test`");
    let mut program = Command::new(env!("CARGO_BIN_EXE_replicas"));
    program.args(args).env("DATABASE_URL", url).output().unwrap()
}

#[track_caller]
fn output_of(args: &[&str]) -> String {
    let output = run(args);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[test]
fn one_of_eight_replicas_migrates() {
    let output = output_of(&["demo"]);
    assert!(output.contains("1 migrated, 7 found nothing to do"), "{output}");
    assert_eq!(output.matches("Running migration ").count(), 3, "{output}");
}

#[test]
fn the_next_replica_continues_where_one_crashed() {
    let output = output_of(&["demo", "--crash"]);
    assert!(output.contains("crashing"), "{output}");
    assert!(output.contains("1 migrated, 7 found nothing to do"), "{output}");
    // No migration ran twice.
    assert_eq!(output.matches("Running migration ").count(), 3, "{output}");
}

#[test]
fn an_unreachable_server_is_an_error() {
    let output = run(&["--database-url", "mysql://root@127.0.0.1:1/", "demo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "));
}
