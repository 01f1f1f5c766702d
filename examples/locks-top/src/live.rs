//! The table on a terminal, until the user quits.

use std::error::Error;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use ratatui::crossterm::event::{self, KeyEventKind};

use crate::screen::Screen;
use crate::snapshot::{Snapshot, Unseen};
use crate::watcher::Watcher;

enum Event {
    Terminal(io::Result<event::Event>),
    Looked(Result<Snapshot, Unseen>),
}

/// The server and the keyboard are read in separate threads, so that the user can quit even if the
/// server does not answer.
pub(crate) fn run(
    watcher: Watcher,
    mut screen: Screen,
    interval: Duration,
) -> Result<(), Box<dyn Error>> {
    // Also restores the terminal if the program panics.
    let mut terminal = ratatui::try_init()?;
    let (sender, events) = channel();
    let keys = sender.clone();
    let looking = thread::spawn(move || look(watcher, interval, &sender));
    thread::spawn(move || while keys.send(Event::Terminal(event::read())).is_ok() {});

    let ended = loop {
        if looking.is_finished() {
            break Err("the thread that queries the server has panicked".into());
        }
        if let Err(error) = terminal.draw(|frame| screen.draw(frame)) {
            break Err(error.into());
        }
        match events.recv_timeout(Duration::from_secs(1)) {
            Ok(Event::Terminal(Ok(event::Event::Key(key)))) => {
                if key.kind == KeyEventKind::Press && screen.press(key) {
                    break Ok(());
                }
            }
            // A resize, for example.
            Ok(Event::Terminal(Ok(_))) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::Terminal(Err(error))) => break Err(error.into()),
            Ok(Event::Looked(Ok(snapshot))) => screen.refresh(snapshot),
            Ok(Event::Looked(Err(error))) => screen.fail(&error.to_string()),
            Err(RecvTimeoutError::Disconnected) => break Err("no thread is left".into()),
        }
    };
    ratatui::restore();
    ended
}

/// Ends with its receiver.
fn look(mut watcher: Watcher, interval: Duration, sender: &Sender<Event>) {
    loop {
        thread::sleep(interval);
        if sender.send(Event::Looked(watcher.look())).is_err() {
            return;
        }
    }
}
