//! The page, line by line.

use indicatif::FormattedDuration;

use crate::plain::{aligned, cut, harmless};
use crate::snapshot::{Client, Entry, Snapshot};

/// The maximum number of characters of a statement that are shown.
const STATEMENT: usize = 60;

/// The maximum number of waiters of a lock that are shown by their IDs.
const NUMBERED: usize = 5;

pub(crate) struct Page {
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Line {
    pub(crate) style: Style,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Alert,
    Heading,
    Plain,
}

impl Page {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut page = Self { lines: Vec::new() };
        for warning in snapshot.server.warnings() {
            page.push(Style::Alert, format!("warning: {warning}"));
        }
        let server = &snapshot.server;
        page.push(Style::Plain, harmless(&format!("{} {}", server.flavor, server.version)));
        page.push(Style::Plain, String::new());
        page.locks(snapshot);
        page.tables(snapshot);
        page.waiting(snapshot);
        page
    }

    fn push(&mut self, style: Style, text: String) {
        self.lines.push(Line { style, text });
    }

    fn locks(&mut self, snapshot: &Snapshot) {
        if snapshot.locks.is_empty() {
            let text = match snapshot.prefix.as_str() {
                "" => "No named lock is held.".to_owned(),
                prefix => {
                    format!("No named lock is held whose name begins with {}.", harmless(prefix))
                }
            };
            return self.push(Style::Plain, text);
        }
        let known = snapshot.remedy.is_none();
        let heading =
            ["LOCK", "HELD BY", "CLIENT", "DOING", "FOR", "WAITERS", "LONGEST", "STATEMENT"];
        let mut rows = vec![heading.map(str::to_owned)];
        for lock in &snapshot.locks {
            for holder in &lock.holders {
                rows.push([
                    harmless(&lock.name),
                    holder.id.to_string(),
                    client(holder),
                    state(holder),
                    since(holder),
                    waiters(lock, known),
                    longest(lock),
                    statement(holder),
                ]);
            }
        }
        self.table(&rows);
    }

    fn tables(&mut self, snapshot: &Snapshot) {
        if snapshot.tables.is_empty() {
            return;
        }
        self.push(Style::Plain, String::new());
        let known = snapshot.remedy.is_none();
        let heading = [
            "TABLE",
            "MODE",
            "HELD BY",
            "CLIENT",
            "DOING",
            "FOR",
            "WAITERS",
            "LONGEST",
            "STATEMENT",
        ];
        let mut rows = vec![heading.map(str::to_owned)];
        for table in &snapshot.tables {
            for holder in &table.holders {
                rows.push([
                    harmless(&table.name),
                    harmless(holder.mode.as_deref().unwrap_or("?")),
                    holder.id.to_string(),
                    client(holder),
                    state(holder),
                    since(holder),
                    waiters(table, known),
                    longest(table),
                    statement(holder),
                ]);
            }
        }
        self.table(&rows);
    }

    /// What the server does not list, and the connections that wait all the same.
    fn waiting(&mut self, snapshot: &Snapshot) {
        let Some(remedy) = &snapshot.remedy else {
            return;
        };
        self.push(Style::Plain, String::new());
        if !snapshot.waiting.is_empty() {
            let heading = ["WAITING", "CLIENT", "DOING", "FOR", "STATEMENT"];
            let mut rows = vec![heading.map(str::to_owned)];
            for waiter in &snapshot.waiting {
                rows.push([
                    waiter.id.to_string(),
                    client(waiter),
                    state(waiter),
                    since(waiter),
                    statement(waiter),
                ]);
            }
            self.table(&rows);
            self.push(Style::Plain, String::new());
        }
        let note = "This server does not say which lock anybody waits for: ";
        self.push(Style::Plain, format!("{note}{}", harmless(remedy)));
    }

    fn table<const N: usize>(&mut self, rows: &[[String; N]]) {
        for (number, line) in aligned(rows).into_iter().enumerate() {
            self.push(if number == 0 { Style::Heading } else { Style::Plain }, line);
        }
    }
}

fn client(client: &Client) -> String {
    let (user, host) = (client.user.as_deref(), client.host.as_deref());
    if user.is_none() && host.is_none() {
        return "?".to_owned();
    }
    harmless(&format!("{}@{}", user.unwrap_or("?"), host.unwrap_or("?")))
}

fn state(client: &Client) -> String {
    harmless(client.state.as_deref().unwrap_or("?"))
}

fn since(client: &Client) -> String {
    client.in_state.map_or_else(|| "?".to_owned(), |time| FormattedDuration(time).to_string())
}

fn waiters(entry: &Entry, known: bool) -> String {
    if !known {
        return "?".to_owned();
    }
    let ids: Vec<_> = entry.waiters.iter().map(|waiter| waiter.id.to_string()).collect();
    match ids.len() {
        0 => "-".to_owned(),
        count if count <= NUMBERED => format!("{count}: {}", ids.join(", ")),
        count => format!("{count}: {}, …", ids[..NUMBERED].join(", ")),
    }
}

fn longest(entry: &Entry) -> String {
    let longest = entry.waiters.iter().filter_map(|waiter| waiter.in_state).max();
    longest.map_or_else(|| "-".to_owned(), |time| FormattedDuration(time).to_string())
}

/// On one line.
fn statement(client: &Client) -> String {
    let statement = client.statement.as_deref().unwrap_or_default();
    let words: Vec<_> = statement.split_whitespace().collect();
    cut(&harmless(&words.join(" ")), STATEMENT)
}
