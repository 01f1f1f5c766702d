//! Many replicas, of which one leads: `replica.rs` is the one to read.
//!
//! `demo` runs five processes, kills the leader's connection, stops its process and cuts its
//! network, and prints who leads when.

mod demo;
mod network;
mod replica;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "leader", version, about = "Elects one of many replicas")]
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
    /// Run one replica, until it is ended
    Replica {
        /// Its name, for the others
        name: String,
    },
    /// Run five replicas, and take the lead away from three leaders
    Demo,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = match options.command {
        Command::Replica { name } => replica::run(&options.database_url, &name),
        Command::Demo => demo::demo(&options.database_url),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
