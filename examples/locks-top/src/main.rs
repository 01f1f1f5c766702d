//! Shows the named locks of a server, their holders and waiters, refreshed every second.

mod live;
mod page;
mod plain;
mod snapshot;
mod statement;
mod watcher;

use std::error::Error;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;

use crate::page::Page;
use crate::watcher::Watcher;

/// Shows the named locks of a MySQL or MariaDB server, with their holders and waiters
///
/// Below them are the tables that are locked against others or waited for. `q`, Esc and Ctrl-C quit.
/// If the output is not a terminal, the table is printed at each refresh, as plain text.
#[derive(Debug, Parser)]
#[command(name = "locks-top", version)]
struct Options {
    /// The server, as `mysql://user:password@host:port/`
    #[arg(env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    url: String,

    /// Print the table once, and exit
    #[arg(long)]
    once: bool,

    /// Refresh after this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", conflicts_with = "once")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,

    /// Show only locks whose full name begins with this, as in `shop.invoice-`
    #[arg(long, value_name = "BEGINNING", default_value = "", hide_default_value = true)]
    prefix: String,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", plain::harmless(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let interval = Duration::from_secs(options.interval);
    let mut watcher = Watcher::new(options.url, options.prefix);
    let first = Page::of(&watcher.look()?);
    if options.once {
        Ok(print(&first)?)
    } else if io::stdout().is_terminal() {
        live::run(watcher, first, interval)
    } else {
        // The reader may have seen enough: `locks-top | head`.
        match print_repeatedly(&mut watcher, &first, interval) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            ended => Ok(ended?),
        }
    }
}

fn print(page: &Page) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in &page.lines {
        writeln!(out, "{}", line.text)?;
    }
    out.flush()
}

fn print_repeatedly(watcher: &mut Watcher, first: &Page, interval: Duration) -> io::Result<()> {
    print(first)?;
    loop {
        thread::sleep(interval);
        match watcher.look() {
            Ok(snapshot) => {
                writeln!(io::stdout())?;
                print(&Page::of(&snapshot))?;
            }
            Err(error) => eprintln!("error: {}", plain::harmless(&error.to_string())),
        }
    }
}
