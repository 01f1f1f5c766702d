//! Shows the named locks and table locks of a server, their holders and waiters, refreshed every
//! second.

mod live;
mod page;
mod print;
mod screen;
mod snapshot;
mod statement;
mod table;
mod text;
mod watcher;

use std::error::Error;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;

use crate::page::Choice;
use crate::screen::Screen;
use crate::snapshot::Snapshot;
use crate::table::{Column, Sort};
use crate::watcher::Watcher;

/// Shows the named locks and table locks of a MySQL or MariaDB server, with their holders and
/// waiters
///
/// Tab turns to the tables that are locked against others or waited for. `q`, Esc and Ctrl-C quit.
/// If the output is not a terminal, everything is printed at each refresh, as plain text.
#[derive(Debug, Parser)]
#[command(name = "locks-top", version)]
struct Options {
    /// The server, as `mysql://user:password@host:port/`
    #[arg(env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    url: String,

    /// Print once, and exit
    #[arg(long)]
    once: bool,

    /// Print JSON, one line at each refresh
    #[arg(long)]
    json: bool,

    /// Refresh after this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", conflicts_with = "once")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,

    /// Show only locks whose full name begins with this, as in `shop.invoice-`
    #[arg(long, value_name = "BEGINNING", default_value = "", hide_default_value = true)]
    prefix: String,

    /// Show only rows that contain this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(conflicts_with = "json")]
    filter: String,

    /// Sort by this column, the largest number first
    #[arg(long, value_name = "COLUMN", value_enum, conflicts_with = "json")]
    sort: Option<Column>,

    /// Sort the other way round
    #[arg(long, conflicts_with = "json")]
    reverse: bool,

    /// Fit the printed table into this many columns [default: the terminal's, or unlimited]
    #[arg(long, value_name = "COLUMNS", conflicts_with = "json")]
    width: Option<usize>,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader may have seen enough: `locks-top | head`.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", text::harmless(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let interval = Duration::from_secs(options.interval);
    let mut watcher = Watcher::new(options.url, options.prefix);
    let first = watcher.look()?;
    let is_terminal = io::stdout().is_terminal();
    let choice = Choice {
        sort: Sort { by: options.sort, reversed: options.reverse },
        filter: options.filter,
    };
    if is_terminal && !options.once && !options.json {
        return live::run(watcher, Screen::new(first, interval, choice), interval);
    }
    let width = match options.width {
        None if is_terminal => {
            ratatui::crossterm::terminal::size().ok().map(|(width, _)| width.into())
        }
        width => width,
    };
    let printer = Printer { json: options.json, choice, width };
    printer.print(&first)?;
    if options.once {
        return Ok(());
    }
    loop {
        thread::sleep(interval);
        match watcher.look() {
            Ok(snapshot) => printer.print_again(&snapshot)?,
            Err(error) => eprintln!("error: {}", text::harmless(&error.to_string())),
        }
    }
}

struct Printer {
    json: bool,
    choice: Choice,
    width: Option<usize>,
}

impl Printer {
    fn print(&self, snapshot: &Snapshot) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            print::json(&mut out, snapshot)
        } else {
            print::text(&mut out, snapshot, &self.choice, self.width)
        }
    }

    fn print_again(&self, snapshot: &Snapshot) -> io::Result<()> {
        if !self.json {
            writeln!(io::stdout())?;
        }
        self.print(snapshot)
    }
}
