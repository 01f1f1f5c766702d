//! A snapshot as tables, with the texts around them.

use std::time::Duration;

use indicatif::HumanDuration;

use crate::snapshot::{Client, Entry, Snapshot};
use crate::table::{Cell, Column, Row, Sort, Table};
use crate::text::harmless;

/// The maximum number of waiters of a lock that are shown by their IDs.
const NUMBERED: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Named,
    Tables,
    /// The connections that wait for a lock that the server does not name.
    Waiting,
}

/// Which rows are shown, and in which order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub(crate) sort: Sort,
    pub(crate) filter: String,
}

const NAMED: &[Column] = &[
    Column::Name,
    Column::HeldBy,
    Column::Client,
    Column::Doing,
    Column::For,
    Column::Waiters,
    Column::Longest,
    Column::Statement,
];

const TABLES: &[Column] = &[
    Column::Name,
    Column::Mode,
    Column::HeldBy,
    Column::Client,
    Column::Doing,
    Column::For,
    Column::Waiters,
    Column::Longest,
    Column::Statement,
];

/// The connection is the name.
const WAITING: &[Column] =
    &[Column::Name, Column::Client, Column::Doing, Column::For, Column::Statement];

impl Tab {
    pub(crate) fn all(snapshot: &Snapshot) -> &'static [Self] {
        match snapshot.remedy {
            Some(_) => &[Self::Named, Self::Tables, Self::Waiting],
            None => &[Self::Named, Self::Tables],
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Named => "Named locks",
            Self::Tables => "Table locks",
            Self::Waiting => "Waiting",
        }
    }

    /// Returns the number of locks, tables or connections, before they are filtered.
    pub(crate) fn count(self, snapshot: &Snapshot) -> usize {
        match self {
            Self::Named => snapshot.locks.len(),
            Self::Tables => snapshot.tables.len(),
            Self::Waiting => snapshot.waiting.len(),
        }
    }

    pub(crate) fn table(self, snapshot: &Snapshot, choice: &Choice) -> Table {
        let knows_waiters = snapshot.remedy.is_none();
        let mut table = match self {
            Self::Named => Table {
                names: "LOCK",
                columns: NAMED,
                rows: rows(&snapshot.locks, knows_waiters, false),
            },
            Self::Tables => Table {
                names: "TABLE",
                columns: TABLES,
                rows: rows(&snapshot.tables, knows_waiters, true),
            },
            Self::Waiting => Table {
                names: "WAITING",
                columns: WAITING,
                rows: snapshot.waiting.iter().map(waiting).collect(),
            },
        };
        table.filter(&choice.filter);
        table.sort(choice.sort);
        table
    }

    /// Returns the text in place of a table without rows.
    pub(crate) fn empty(self, snapshot: &Snapshot, choice: &Choice) -> String {
        if self.count(snapshot) > 0 {
            return format!("No row contains {}.", harmless(&choice.filter));
        }
        let nothing = match self {
            Self::Named => "No named lock is held",
            Self::Tables => "No table is locked against others or waited for",
            Self::Waiting => return "No connection waits for a lock.".to_owned(),
        };
        match snapshot.prefix.as_str() {
            "" => format!("{nothing}."),
            prefix => format!("{nothing} whose name begins with {}.", harmless(prefix)),
        }
    }
}

/// Says what the server does not list.
pub(crate) fn note(snapshot: &Snapshot) -> Option<String> {
    let remedy = harmless(snapshot.remedy.as_deref()?);
    Some(format!("This server does not list which connection waits for which lock: {remedy}"))
}

/// One for each holder.
fn rows(entries: &[Entry], knows_waiters: bool, with_mode: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for entry in entries {
        for holder in &entry.holders {
            let mut cells = vec![harmless(&entry.name).into()];
            if with_mode {
                cells.push(harmless(holder.mode.as_deref().unwrap_or("?")).into());
            }
            cells.extend([
                Cell { text: holder.id.to_string(), number: Some(holder.id) },
                client(holder).into(),
                state(holder).into(),
                since(holder.in_state, "?"),
                waiters(entry, knows_waiters),
                since(entry.longest_wait(), if knows_waiters { "-" } else { "?" }),
                statement(holder).into(),
            ]);
            rows.push(Row { cells, waiters: entry.waiters.iter().map(waiter).collect() });
        }
    }
    rows
}

fn waiting(client: &Client) -> Row {
    let cells = vec![
        Cell { text: client.id.to_string(), number: Some(client.id) },
        self::client(client).into(),
        state(client).into(),
        since(client.in_state, "?"),
        statement(client).into(),
    ];
    Row { cells, waiters: Vec::new() }
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

/// In the largest unit, as in `89s` or `3h`.
fn since(time: Option<Duration>, unknown: &str) -> Cell {
    let text = time.map_or_else(|| unknown.to_owned(), |time| format!("{:#}", HumanDuration(time)));
    Cell { text, number: time.map(|time| time.as_secs()) }
}

fn waiters(entry: &Entry, known: bool) -> Cell {
    if !known {
        return "?".to_owned().into();
    }
    let ids: Vec<_> = entry.waiters.iter().map(|waiter| waiter.id.to_string()).collect();
    let text = match ids.len() {
        0 => "-".to_owned(),
        count if count <= NUMBERED => format!("{count}: {}", ids.join(", ")),
        count => format!("{count}: {}, …", ids[..NUMBERED].join(", ")),
    };
    Cell { text, number: Some(ids.len() as u64) }
}

fn waiter(client: &Client) -> String {
    let time = since(client.in_state, "?").text;
    let statement = statement(client);
    let separator = if statement.is_empty() { "" } else { ": " };
    format!("{} {} for {time}{separator}{statement}", client.id, self::client(client))
}

/// On one line.
fn statement(client: &Client) -> String {
    let statement = client.statement.as_deref().unwrap_or_default();
    let words: Vec<_> = statement.split_whitespace().collect();
    harmless(&words.join(" "))
}
