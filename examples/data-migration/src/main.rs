//! Repairs the fees of pizzerias after a faulty release, from the tariffs of their cities.
//!
//! A pizzeria is a restaurant, and a restaurant is a place: each has its row in three tables. One
//! table lock keeps all other writers off them until the last fee is right, and the one transaction
//! under it makes the repair all or nothing.

mod cli;
mod progress;
mod proof;
mod repair;
mod schema;
mod seed;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use diesel::prelude::*;
use diesel_locks::TableLock;

use crate::cli::{Failure, Options, Outcome};
use crate::progress::{Progress, rate};
use crate::proof::Writers;
use crate::schema::{Pizzeria, Tariff};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.into()
        }
    }
}

fn run(options: &Options) -> Result<Outcome, Failure> {
    let conn = &mut MysqlConnection::establish(&options.database_url)?;
    if let Some(rows) = options.seed {
        seed::seed(conn, rows)?;
        println!("made {rows} pizzerias");
    }
    if options.dry_run { look(options, conn) } else { repair(options, conn) }
}

/// Counts what is to be repaired. Other connections may read, and the count is a snapshot.
fn look(options: &Options, conn: &mut MysqlConnection) -> Result<Outcome, Failure> {
    const SHOWN: usize = 5;
    let lock = TableLock::new().read::<Pizzeria>().read::<Tariff>();
    let lock = lock.timeout(options.lock_timeout());
    lock.with(conn, |conn| {
        let wrong = repair::wrong_fees(conn, options.rows)?;
        if wrong.is_empty() {
            println!("nothing to do");
            return Ok(Outcome::NothingToDo);
        }
        repair::show(conn, &wrong[..wrong.len().min(SHOWN)])?;
        println!("would repair {} rows", wrong.len());
        Ok(Outcome::WouldRepair)
    })
}

fn repair(options: &Options, conn: &mut MysqlConnection) -> Result<Outcome, Failure> {
    let lock = TableLock::new().write::<Pizzeria>().read::<Tariff>();
    let lock = lock.timeout(options.lock_timeout());
    let started = Instant::now();

    // Dropped by an error on the way, the guard rolls back and unlocks.
    let mut conn = lock.acquire(conn)?;
    eprintln!("locked with {lock}");
    let wrong = repair::wrong_fees(&mut conn, options.rows)?;
    let Some(first) = wrong.first() else {
        println!("nothing to do");
        return Ok(Outcome::NothingToDo);
    };
    let url = &options.database_url;
    let writers = options.prove.then(|| Writers::start(url, *first, &mut conn)).transpose()?;
    let mut progress = Progress::new(wrong.len());
    for batch in wrong.chunks(options.batch as usize) {
        repair::repair(&mut conn, batch, &mut progress)?;
    }
    drop(progress);
    if let Some(writers) = &writers {
        writers.are_kept_out()?;
    }
    let end = Instant::now();
    conn.release().map_err(Failure::Commit)?;

    let repaired = wrong.len();
    let time = started.elapsed();
    let rate = rate(repaired, time);
    println!("repaired {repaired} rows in {:.1} s ({rate:.0} rows/s)", time.as_secs_f64());
    if let Some(writers) = writers {
        writers.got_in_after(end)?;
        println!("proved: three writers waited, and wrote after the end of the repair");
    }
    Ok(Outcome::Repaired)
}
