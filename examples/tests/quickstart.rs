//! The quickstart, run as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test fails where it panics.

use std::process::Command;

#[test]
fn every_claim_of_the_quickstart_holds() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run `./dev test`");
    let mut quickstart = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    let output = quickstart.env("DATABASE_URL", url).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
