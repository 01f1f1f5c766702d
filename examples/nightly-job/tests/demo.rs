//! The demonstration, run as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test fails where it panics.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run `./dev test`");
    let mut program = Command::new(env!("CARGO_BIN_EXE_nightly-job"));
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
fn one_of_eight_nightly_jobs_makes_the_report() {
    let output = output_of(&["demo"]);
    assert!(output.contains("1 made the report, 7 stood aside, 0 was killed"), "{output}");
}

#[test]
fn another_job_makes_the_report_if_the_first_is_killed() {
    let output = output_of(&["demo", "--kill-the-winner"]);
    assert!(output.contains("1 made the report, 6 stood aside, 1 was killed"), "{output}");
}

#[test]
fn one_of_eight_sends_the_digest_although_it_takes_a_few_milliseconds() {
    let output = output_of(&["demo-digest"]);
    assert!(output.contains("1 sent the digest, 7 stood aside"), "{output}");
}

#[test]
fn an_unreachable_server_is_an_error() {
    let output = run(&["--database-url", "mysql://root@127.0.0.1:1/", "demo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "));
}
