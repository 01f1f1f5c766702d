//! A nightly job that is started on many machines at once, and runs on one.
//!
//! `run` is what cron starts everywhere. The holder of the lock makes the report of the day; the
//! others wait, find the report, and stand aside. If the holder dies, the server releases its lock,
//! and the next one makes the report. `demo` shows that with processes.
//!
//! `digest` is a job of a few milliseconds, which no table says is done. Its lock is held for some
//! seconds, so that machines that start a little later stand aside, too. `demo-digest` shows that.

mod demo;
mod digest;
mod report;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use diesel::prelude::*;
use diesel_locks::with_lock;

use crate::report::Report;

#[derive(Debug, Parser)]
#[command(name = "nightly-job", version, about = "Makes the report of the day, once")]
struct Options {
    /// The database, as `mysql://user:password@host:port/database`; `demo` creates a temporary one
    /// there
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the report, unless it exists or another machine works on it for too long
    Run {
        /// Wait up to this many seconds for the machine that is working
        #[arg(long, value_name = "SECONDS", default_value = "60")]
        patience: u64,

        /// The minimum duration of the work in seconds, to see others wait
        #[arg(long, value_name = "SECONDS", default_value = "0")]
        work: u32,
    },
    /// Start many processes at once, and fail unless exactly one of them makes the report
    Demo {
        /// How many
        #[arg(long, value_name = "N", default_value = "8")]
        processes: usize,

        /// Kill the first one that starts to work
        #[arg(long)]
        kill_the_winner: bool,
    },
    /// Send a digest, unless another machine is sending it or has just sent it
    Digest {
        /// Keep the lock for at least this long
        #[arg(long, value_name = "SECONDS", default_value = "10")]
        hold_at_least: u64,
    },
    /// Start many processes at once, and fail unless exactly one of them sends the digest
    DemoDigest {
        /// How many
        #[arg(long, value_name = "N", default_value = "8")]
        processes: usize,

        /// Keep the lock for at least this long; 0 to see what happens without it
        #[arg(long, value_name = "SECONDS", default_value = "60")]
        hold_at_least: u64,
    },
}

/// How a run ended.
#[derive(Debug)]
enum Outcome {
    Made(Report),
    /// Another machine was first.
    Found(Report),
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = match options.command {
        Command::Run { patience, work } => run(&options.database_url, patience, work),
        Command::Demo { processes, kill_the_winner } => {
            demo::demo(&options.database_url, processes, kill_the_winner)
        }
        Command::Digest { hold_at_least } => digest(&options.database_url, hold_at_least),
        Command::DemoDigest { processes, hold_at_least } => {
            demo::demo_digest(&options.database_url, processes, hold_at_least)
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: &str, patience: u64, work: u32) -> Result<(), Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(url)?;
    report::create_table(&mut conn)?;
    match nightly(&mut conn, Duration::from_secs(patience), work) {
        Ok(Outcome::Made(report)) => println!("made {report}"),
        Ok(Outcome::Found(report)) => println!("stood aside: found {report}"),
        // Not a failure of this machine: another one is working.
        Err(diesel_locks::Error::Timeout { holder, .. }) => {
            let holder = holder.map_or_else(|| "another".to_owned(), |id| id.to_string());
            println!("stood aside: connection {holder} is working");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn digest(url: &str, hold_at_least: u64) -> Result<(), Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(url)?;
    if !digest::send(&mut conn, Duration::from_secs(hold_at_least))? {
        println!("stood aside");
    }
    Ok(())
}

/// Runs the job. The lock says whether a machine is working now, the table whether the work is
/// done.
#[with_lock("nightly-report", timeout = patience)]
fn nightly(
    conn: &mut MysqlConnection,
    patience: Duration,
    work: u32,
) -> Result<Outcome, diesel_locks::Error> {
    if let Some(report) = report::of_today(conn)? {
        return Ok(Outcome::Found(report));
    }
    println!("working");
    Ok(Outcome::Made(report::make(conn, work)?))
}
