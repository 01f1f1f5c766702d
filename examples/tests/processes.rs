//! The demonstrations with processes, run as they are.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test fails where it panics.

use std::process::{Command, Output};

fn run(program: &str, args: &[&str]) -> Output {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run `./dev test`");
    Command::new(program).args(args).env("DATABASE_URL", url).output().unwrap()
}

#[track_caller]
fn output_of(program: &str, args: &[&str]) -> String {
    let output = run(program, args);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    text
}

const NIGHTLY: &str = env!("CARGO_BIN_EXE_nightly-job");
const REPLICAS: &str = env!("CARGO_BIN_EXE_replicas");

#[test]
fn of_eight_nightly_jobs_one_makes_the_report() {
    let output = output_of(NIGHTLY, &["demo"]);
    assert!(output.contains("1 made the report, 7 stood aside, 0 was killed"), "{output}");
}

#[test]
fn the_report_is_made_although_the_first_one_at_it_is_killed() {
    let output = output_of(NIGHTLY, &["demo", "--kill-the-winner"]);
    assert!(output.contains("1 made the report, 6 stood aside, 1 was killed"), "{output}");
}

#[test]
fn of_eight_replicas_one_migrates() {
    let output = output_of(REPLICAS, &["demo"]);
    assert!(output.contains("1 migrated, 7 found nothing to do"), "{output}");
    assert_eq!(output.matches("migrating, ").count(), 3, "{output}");
}

#[test]
fn the_next_replica_goes_on_where_one_crashed() {
    let output = output_of(REPLICAS, &["demo", "--crash"]);
    assert!(output.contains("crashing"), "{output}");
    assert!(output.contains("1 migrated, 7 found nothing to do"), "{output}");
    // None was run twice.
    assert_eq!(output.matches("migrating, ").count(), 3, "{output}");
}

#[test]
fn a_server_that_is_not_there_is_a_failure() {
    for program in [NIGHTLY, REPLICAS] {
        let output = run(program, &["--database-url", "mysql://root@127.0.0.1:1/", "demo"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "));
    }
}
