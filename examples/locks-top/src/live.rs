//! The table on a terminal, until the user quits.

use std::error::Error;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::event::{self, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::style::Stylize;
use ratatui::text::Line as Shown;
use ratatui::widgets::Paragraph;

use crate::page::{Line, Page, Style};
use crate::plain::harmless;
use crate::snapshot::Unseen;
use crate::watcher::Watcher;

enum Event {
    Terminal(io::Result<event::Event>),
    Looked(Result<Page, Unseen>),
}

/// The server and the keyboard are read in separate threads, so that the user can quit even if the
/// server does not answer.
pub(crate) fn run(watcher: Watcher, first: Page, interval: Duration) -> Result<(), Box<dyn Error>> {
    // Also restores the terminal if the program panics.
    let mut terminal = ratatui::try_init()?;
    let (sender, events) = channel();
    let keys = sender.clone();
    let looking = thread::spawn(move || look(watcher, interval, &sender));
    thread::spawn(move || while keys.send(Event::Terminal(event::read())).is_ok() {});

    let mut view = View { page: first, seen: Instant::now(), error: None, interval };
    let ended = loop {
        if looking.is_finished() {
            break Err("whoever asks the server has panicked".into());
        }
        if let Err(error) = terminal.draw(|frame| view.draw(frame)) {
            break Err(error.into());
        }
        match events.recv_timeout(Duration::from_secs(1)) {
            Ok(Event::Terminal(Ok(event))) if leaves(&event) => break Ok(()),
            // A resize, or a key without a meaning.
            Ok(Event::Terminal(Ok(_))) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::Terminal(Err(error))) => break Err(error.into()),
            Ok(Event::Looked(Ok(page))) => {
                view.page = page;
                view.seen = Instant::now();
                view.error = None;
            }
            Ok(Event::Looked(Err(error))) => view.error = Some(error.to_string()),
            Err(RecvTimeoutError::Disconnected) => break Err("nobody is left to look".into()),
        }
    };
    ratatui::restore();
    ended
}

/// Ends with its receiver.
fn look(mut watcher: Watcher, interval: Duration, sender: &Sender<Event>) {
    loop {
        thread::sleep(interval);
        if sender.send(Event::Looked(watcher.look().map(|snapshot| Page::of(&snapshot)))).is_err() {
            return;
        }
    }
}

fn leaves(event: &event::Event) -> bool {
    let event::Event::Key(key) = event else {
        return false;
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Esc | KeyCode::Char('q') => true,
            // In raw mode the terminal sends no signal for it.
            KeyCode::Char('c') => control,
            _ => false,
        }
}

struct View {
    page: Page,
    seen: Instant,
    error: Option<String>,
    interval: Duration,
}

impl View {
    fn draw(&self, frame: &mut Frame<'_>) {
        let height = usize::from(frame.area().height);
        let mut shown: Vec<_> = self.state().into_iter().chain(self.lines()).collect();
        if shown.len() > height && height > 0 {
            let more = shown.len() - (height - 1);
            shown.truncate(height - 1);
            shown.push(Shown::from(format!("… and {more} more lines")).bold());
        }
        frame.render_widget(Paragraph::new(shown), frame.area());
    }

    fn lines(&self) -> impl Iterator<Item = Shown<'_>> {
        self.page.lines.iter().map(|Line { style, text }| match style {
            Style::Alert => Shown::from(text.as_str()).yellow(),
            Style::Heading => Shown::from(text.as_str()).bold(),
            // The last snapshot, which is out of date.
            Style::Plain if self.error.is_some() => Shown::from(text.as_str()).dim(),
            Style::Plain => Shown::from(text.as_str()),
        })
    }

    /// Says so if the table is out of date.
    fn state(&self) -> Option<Shown<'_>> {
        let age = self.seen.elapsed().as_secs();
        let text = match &self.error {
            Some(error) => format!("error, this is of {age} s ago: {}", harmless(error)),
            None if self.seen.elapsed() > self.interval + Duration::from_secs(2) => {
                format!("The server has not answered since, this is of {age} s ago.")
            }
            None => return None,
        };
        Some(Shown::from(text).red().bold())
    }
}
