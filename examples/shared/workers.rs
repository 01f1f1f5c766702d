//! Several processes of one program, and the lines they print.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use std::{env, io, thread};

/// Several processes of the current program, killed with this value.
#[derive(Debug)]
pub struct Workers {
    children: Vec<Child>,
    lines: Receiver<(usize, String)>,
}

impl Workers {
    /// Starts `count` processes with the arguments `args`; the first one also gets `first`.
    ///
    /// # Errors
    ///
    /// If a process cannot be started.
    pub fn start(count: usize, url: &str, args: &[&str], first: &[&str]) -> io::Result<Self> {
        Self::start_each((0..count).map(|number| {
            let first = if number == 0 { first } else { &[] };
            (url.to_owned(), [args, first].concat())
        }))
    }

    /// Starts a process for each URL and its arguments.
    ///
    /// # Errors
    ///
    /// If a process cannot be started.
    pub fn start_each<'a>(
        processes: impl IntoIterator<Item = (String, Vec<&'a str>)>,
    ) -> io::Result<Self> {
        let (sender, lines) = channel();
        let mut workers = Self { children: Vec::new(), lines };
        for (number, (url, args)) in processes.into_iter().enumerate() {
            let mut command = Command::new(env::current_exe()?);
            let command = command.args(args).env("DATABASE_URL", url);
            let mut child = command.stdout(Stdio::piped()).spawn()?;
            let output = child.stdout.take();
            workers.children.push(child);
            let sender = sender.clone();
            thread::spawn(move || {
                for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
                    let Ok(line) = line else { return };
                    if sender.send((number, line)).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(workers)
    }

    /// Returns the next line printed by any process, and that process's number. Returns `None` when
    /// all of them have ended.
    #[must_use]
    pub fn next_line(&self) -> Option<(usize, String)> {
        self.lines.recv().ok()
    }

    /// The same as [`next_line`](Self::next_line), and `None` also if none comes in time.
    #[must_use]
    pub fn next_line_within(&self, time: Duration) -> Option<(usize, String)> {
        self.lines.recv_timeout(time).ok()
    }

    /// Sends a signal to one process: `STOP`, or `CONT`.
    ///
    /// # Errors
    ///
    /// If it cannot be sent.
    pub fn signal(&self, number: usize, signal: &str) -> io::Result<()> {
        let id = self.children[number].id();
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {id}")]).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("kill has failed")) }
    }

    /// Kills one process, which gets no chance to clean up.
    ///
    /// # Errors
    ///
    /// If the process cannot be killed.
    pub fn kill(&mut self, number: usize) -> io::Result<()> {
        self.children[number].kill()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Most have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
