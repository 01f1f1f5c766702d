//! Processes that are started at once, and what they print.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::{env, io, thread};

/// This program, started several times.
pub(crate) struct Workers {
    pub(crate) children: Vec<Child>,
    said: Receiver<(usize, String)>,
}

impl Workers {
    /// Starts `count` of them with these arguments; `first` are for the first one alone.
    pub(crate) fn start(
        count: usize,
        url: &str,
        args: &[&str],
        first: &[&str],
    ) -> io::Result<Self> {
        let (sender, said) = channel();
        let mut workers = Self { children: Vec::new(), said };
        for number in 0..count {
            let mut command = Command::new(env::current_exe()?);
            command.args(args).args(if number == 0 { first } else { &[] });
            let mut child = command.env("DATABASE_URL", url).stdout(Stdio::piped()).spawn()?;
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

    /// The next line that any of them prints; `None` when all have ended.
    pub(crate) fn next_line(&self) -> Option<(usize, String)> {
        self.said.recv().ok()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Most have ended by themselves.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
