//! The command line, the errors and the exit codes.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedI64ValueParser;

/// Sets the fee of each pizzeria to what the tariff of its city says: all of them or, if anything
/// goes wrong, none.
#[derive(Debug, Parser)]
#[command(name = "data-migration", version, after_help = EXIT_CODES)]
pub(crate) struct Options {
    /// The database, as mysql://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) database_url: String,

    /// Repair at most N rows, lowest IDs first; the next run goes on with the rest [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub(crate) rows: Option<u32>,

    /// Repair N rows in one statement, 65535 at most
    #[arg(long, value_name = "N", default_value = "10000",
        value_parser = at_least_one().range(..=65_535))] // what a prepared statement can bind
    pub(crate) batch: u32,

    /// Wait at most this many seconds for each table
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = at_least_one())]
    lock_timeout: u32,

    /// Count what would be repaired, show some of it, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// First make the tables, with N pizzerias of which nine in ten have a wrong fee; 1000000 if N
    /// is left out. Refused if the tables have rows
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1000000",
        value_parser = at_least_one())]
    pub(crate) seed: Option<u32>,

    /// Let another connection write to each table during the repair, and fail unless all of them
    /// are kept out until the end
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) prove: bool,
}

impl Options {
    pub(crate) fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout.into())
    }
}

fn at_least_one() -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

const EXIT_CODES: &str = "\
Exit codes:
  0  repaired; with --dry-run: there is something to repair
  1  failed: the data is as before, unless the message says otherwise
  2  wrong usage
  3  nothing to do
  4  another connection uses the tables, and the data is as before; try again later";

/// How a successful run ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Repaired,
    WouldRepair,
    NothingToDo,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Repaired | Outcome::WouldRepair => Self::SUCCESS,
            Outcome::NothingToDo => Self::from(3),
        }
    }
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot connect: {0}")]
    Connect(#[from] diesel::ConnectionError),

    #[error("the tables are in use: {0}")]
    InUse(diesel_locks::Error),

    #[error(transparent)]
    Lock(diesel_locks::Error),

    #[error(transparent)]
    Query(diesel::result::Error),

    #[error("it is unknown whether the repair was committed; run again: {0}")]
    Commit(diesel_locks::Error),

    #[error("the fee of pizzeria {id} cannot be repaired: {error}")]
    Row { id: i64, error: diesel::result::Error },

    #[error("the tables have rows already, and --seed changes none")]
    NotEmpty,

    #[error("no proof that other writers are kept out: {0}")]
    NoProof(String),
}

/// Distinguishes, for a deploy script, what can be tried again later from what needs attention.
impl From<diesel_locks::Error> for Failure {
    fn from(error: diesel_locks::Error) -> Self {
        use diesel_locks::Error;
        match error {
            Error::Timeout { .. } | Error::Deadlock { .. } => Self::InUse(error),
            Error::Diesel(error) => Self::Query(error),
            error => Self::Lock(error),
        }
    }
}

/// The lock's errors arrive inside Diesel's from a body under a lock.
impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        diesel_locks::Error::from(error).into()
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::InUse(_) => Self::from(4),
            _ => Self::FAILURE,
        }
    }
}
