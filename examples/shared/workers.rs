//! Several processes of one program, and the lines they print.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
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
        let (sender, lines) = channel();
        let mut workers = Self { children: Vec::new(), lines };
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

    /// Returns the next line printed by any process, and that process's number. Returns `None` when
    /// all of them have ended.
    #[must_use]
    pub fn next_line(&self) -> Option<(usize, String)> {
        self.lines.recv().ok()
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
