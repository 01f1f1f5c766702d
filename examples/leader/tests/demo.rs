//! The demonstration, run as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test fails where it panics.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run `./dev test`");
    let mut program = Command::new(env!("CARGO_BIN_EXE_leader"));
    program.args(args).env("DATABASE_URL", url).output().unwrap()
}

#[test]
fn three_leaders_are_replaced_and_what_they_still_try_is_refused() {
    let output = run(&["demo"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.matches(" leads in term ").count() >= 4, "{text}");
    assert!(text.matches(" refused: ").count() >= 2, "{text}");
    assert!(text.contains("none after the next term has begun"), "{text}");
}

#[test]
fn an_unreachable_server_is_an_error() {
    let output = run(&["--database-url", "mysql://root@127.0.0.1:1/", "demo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "));
}
