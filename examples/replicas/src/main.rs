//! Replicas of one service that start together, and migrate the database first.
//!
//! Diesel takes no lock around `run_pending_migrations`: replicas that start at the same time would
//! run the same migration at the same time. Under a named lock the first one migrates, and the
//! others wait and find nothing to do. `demo` shows that with processes.

mod demo;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use diesel::prelude::*;
use diesel_locks::with_lock;
use diesel_migrations::{
    EmbeddedMigrations, HarnessWithOutput, MigrationHarness, embed_migrations,
};

/// MySQL commits each statement that changes a table by itself, so a migration that was cut short
/// leaves its first statements done: these can be run again (`IF NOT EXISTS`).
const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Longer than all migrations take together.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Parser)]
#[command(name = "replicas", version, about = "Migrates the database before a service starts")]
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
    /// Start one replica: migrate, and print what was done
    Start {
        /// End the process after the first migration, as a crash would
        #[arg(long)]
        crash: bool,
    },
    /// Start many replicas at once on an empty database, and fail unless it was migrated once
    Demo {
        /// How many
        #[arg(long, value_name = "N", default_value = "8")]
        processes: usize,

        /// Let the first one that migrates crash half-way
        #[arg(long)]
        crash: bool,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = match options.command {
        Command::Start { crash } => start(&options.database_url, crash),
        Command::Demo { processes, crash } => demo::demo(&options.database_url, processes, crash),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(url: &str, crash: bool) -> Result<(), Box<dyn Error>> {
    let mut conn = MysqlConnection::establish(url)?;
    let migrations = migrate(&mut conn, crash).map_err(|error| error as Box<dyn Error>)?;
    match migrations.len() {
        0 => println!("nothing to do"),
        _ => println!("migrated: {}", migrations.join(", ")),
    }
    Ok(())
}

/// Runs the pending migrations under the lock, and returns their versions.
#[with_lock("schema-migrations", timeout = PATIENCE)]
fn migrate(
    conn: &mut MysqlConnection,
    crash: bool,
) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    // Prints the name of each one. Without that it is `conn.run_pending_migrations(MIGRATIONS)?`.
    let mut harness = HarnessWithOutput::write_to_stdout(conn);
    if crash {
        harness.run_next_migration(MIGRATIONS)?;
        println!("crashing");
        std::process::abort();
    }
    // They borrow the connection.
    let versions = harness.run_pending_migrations(MIGRATIONS)?;
    Ok(versions.iter().map(ToString::to_string).collect())
}
