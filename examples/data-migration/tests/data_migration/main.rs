//! The data migration, run as it is.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test fails where it panics.

mod harness;

use std::process::{Command, Output};
use std::thread;
use std::time::Instant;

use diesel::connection::SimpleConnection;

use crate::harness::{Database, PROGRAM, fees, until_gone};

const REPAIRED: i32 = 0;
const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;
const NOTHING_TO_DO: i32 = 3;
const IN_USE: i32 = 4;

/// Returns what it printed, after a look at its exit code.
#[track_caller]
fn ended(output: Output, code: i32) -> (String, String) {
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}

#[test]
fn it_repairs_all_and_then_has_nothing_to_do() {
    let database = Database::with_pizzerias("all", 100);
    let (stdout, stderr) = ended(database.run(&["--batch", "7"]), REPAIRED);
    assert!(stdout.starts_with("repaired 90 rows in "), "{stdout}");
    assert!(
        stderr.starts_with(
            "locked with LOCK TABLES `pizzerias` WRITE, `restaurants` WRITE, `places` WRITE, \
             `tariffs` READ\n"
        ),
        "{stderr}"
    );
    // No terminal, no bar: a line for each tenth, with rate and time left.
    assert!(stderr.ends_with(" rows/s, 0 s left\n"), "{stderr}");
    assert_eq!(stderr.matches(" of 90 rows, ").count(), 10, "{stderr}");

    let after = fees(&mut database.connect());
    assert_eq!(after.wrong, 0);
    let (stdout, _) = ended(database.run(&[]), NOTHING_TO_DO);
    assert_eq!(stdout, "nothing to do\n");
    assert_eq!(fees(&mut database.connect()), after);
}

#[test]
fn with_rows_it_repairs_some_and_goes_on_in_the_next_run() {
    let database = Database::with_pizzerias("rows", 100);
    for left in [50, 10] {
        let (stdout, _) = ended(database.run(&["--rows", "40", "--batch", "15"]), REPAIRED);
        assert!(stdout.starts_with("repaired 40 rows in "), "{stdout}");
        assert_eq!(fees(&mut database.connect()).wrong, left);
    }
    let (stdout, _) = ended(database.run(&["--rows", "40"]), REPAIRED);
    assert!(stdout.starts_with("repaired 10 rows in "), "{stdout}");
    ended(database.run(&["--rows", "40"]), NOTHING_TO_DO);
}

#[test]
fn a_dry_run_changes_nothing() {
    let database = Database::with_pizzerias("dry", 100);
    let before = fees(&mut database.connect());
    let (stdout, _) = ended(database.run(&["--dry-run"]), REPAIRED);
    assert!(
        stdout.starts_with("pizzeria 1 (Pizzeria 1, 21 seats, Lisbon): fee 0, due 23100\n"),
        "{stdout}"
    );
    assert!(stdout.ends_with("\nwould repair 90 rows\n"), "{stdout}");
    assert_eq!(fees(&mut database.connect()), before);

    ended(database.run(&[]), REPAIRED);
    ended(database.run(&["--dry-run"]), NOTHING_TO_DO);
}

#[test]
fn tables_that_are_in_use_have_an_exit_code_of_their_own() {
    let database = Database::with_pizzerias("used", 10);
    let mut other = database.connect();
    // An open transaction keeps a table that it has written to, without any `LOCK TABLES`.
    other.batch_execute("BEGIN; UPDATE places SET name = 'Da Nina' WHERE id = 1").unwrap();
    for mode in [&[][..], &["--dry-run"]] {
        let args = [&["--lock-timeout", "1"], mode].concat();
        let started = Instant::now();
        let (_, stderr) = ended(database.run(&args), IN_USE);
        assert!(stderr.contains("timed out after 1s"), "{stderr}");
        let waited = started.elapsed();
        assert!((1..10).contains(&waited.as_secs()), "{waited:?}");
    }
    other.batch_execute("COMMIT").unwrap();
    ended(database.run(&["--lock-timeout", "1"]), REPAIRED);
}

#[test]
fn killed_in_the_middle_it_leaves_everything_as_it_was() {
    let database = Database::with_pizzerias("killed", 100);
    let before = fees(&mut database.connect());
    let mut gate = database.close_gate(75);
    let program = database.start(&["--batch", "10"]);
    let connection = gate.until_reached();
    program.kill();
    gate.open();
    until_gone(connection);
    assert_eq!(fees(&mut database.connect()), before);

    ended(database.run(&["--batch", "10"]), REPAIRED);
    assert_eq!(fees(&mut database.connect()).wrong, 0);
}

#[test]
fn a_writer_is_kept_out_until_the_repair_is_committed() {
    let database = Database::with_pizzerias("writer", 100);
    let mut gate = database.close_gate(75);
    let program = database.start(&["--batch", "10"]);
    gate.until_reached();
    let mut conn = database.connect();
    let writer = thread::spawn(move || {
        conn.batch_execute(
            "UPDATE pizzerias SET fee_cents = fee_cents + 1 WHERE restaurant_id = 1",
        )
        .unwrap();
        fees(&mut conn)
    });
    gate.until_kept_out();
    assert!(!writer.is_finished());
    gate.open();
    ended(program.end(), REPAIRED);
    // It has written to the repaired row, and it alone is wrong again.
    assert_eq!(writer.join().unwrap().wrong, 1);
}

#[test]
fn it_proves_that_writers_are_kept_out() {
    let database = Database::empty("proof");
    let (stdout, _) = ended(database.run(&["--seed", "50", "--prove"]), REPAIRED);
    assert!(
        stdout.ends_with("proved: three writers waited, and wrote after the end of the repair\n"),
        "{stdout}"
    );
    assert_eq!(fees(&mut database.connect()).wrong, 0);
}

#[test]
fn a_batch_that_is_interrupted_is_tried_again() {
    let database = Database::with_pizzerias("interrupted", 100);
    let mut gate = database.close_gate(75);
    let program = database.start(&["--batch", "30"]);
    let connection = gate.until_reached();
    database.connect().batch_execute(&format!("KILL QUERY {connection}")).unwrap();
    gate.open();
    let (stdout, _) = ended(program.end(), REPAIRED);
    assert!(stdout.starts_with("repaired 90 rows in "), "{stdout}");
    assert_eq!(fees(&mut database.connect()).wrong, 0);
}

#[test]
fn a_connection_that_is_lost_is_no_rows_fault() {
    let database = Database::with_pizzerias("lost", 100);
    let before = fees(&mut database.connect());
    let mut gate = database.close_gate(75);
    let program = database.start(&["--batch", "30"]);
    let connection = gate.until_reached();
    database.connect().batch_execute(&format!("KILL CONNECTION {connection}")).unwrap();
    gate.open();
    let (_, stderr) = ended(program.end(), FAILED);
    assert!(!stderr.contains("the fee of"), "{stderr}");
    until_gone(connection);
    assert_eq!(fees(&mut database.connect()), before);
}

#[test]
fn a_row_that_cannot_be_repaired_is_named_and_nothing_is_changed() {
    let database = Database::with_pizzerias("row", 100);
    let mut conn = database.connect();
    // More than the column takes.
    conn.batch_execute("UPDATE restaurants SET seats = 2000000000 WHERE place_id = 57").unwrap();
    let before = fees(&mut conn);
    let (_, stderr) = ended(database.run(&["--batch", "50"]), FAILED);
    assert!(stderr.contains("error: the fee of pizzeria 57 cannot be repaired: "), "{stderr}");
    assert_eq!(fees(&mut conn), before);
}

#[test]
fn it_seeds_only_where_there_are_no_rows() {
    let database = Database::with_pizzerias("seeded", 10);
    let before = fees(&mut database.connect());
    let (_, stderr) = ended(database.run(&["--seed", "5"]), FAILED);
    assert!(stderr.contains("the tables have rows already"), "{stderr}");
    assert_eq!(fees(&mut database.connect()), before);
}

#[test]
fn wrong_arguments_have_an_exit_code_of_their_own() {
    let database = Database::empty("usage");
    for args in [
        &["--rows", "0"][..],
        &["--batch", "65536"],
        &["--lock-timeout", "soon"],
        &["--seed", "-1"],
        &["--prove", "--dry-run"],
        &["--force"],
    ] {
        ended(database.run(args), WRONG_USAGE);
    }
    let without_url = Command::new(PROGRAM).env_remove("DATABASE_URL").output().unwrap();
    let (_, stderr) = ended(without_url, WRONG_USAGE);
    assert!(stderr.contains("--database-url"), "{stderr}");
}

#[test]
fn without_a_server_or_its_tables_it_fails() {
    let database = Database::empty("nothing");
    let (_, stderr) = ended(database.run(&[]), FAILED);
    assert!(stderr.starts_with("error: "), "{stderr}");
    let nowhere = ["--database-url", "mysql://root@127.0.0.1:1/nowhere"];
    let (_, stderr) = ended(database.run(&nowhere), FAILED);
    assert!(stderr.starts_with("error: cannot connect: "), "{stderr}");
}
