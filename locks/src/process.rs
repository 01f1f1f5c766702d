//! Another connection, as the server's process list shows it.

use std::fmt;
use std::time::Duration;

use crate::server::text;
use crate::statement::inspect::ProcessRow;

/// Another connection to the server, as its process list shows it.
///
/// Without the `PROCESS` privilege, most servers show only the ID of connections that belong to
/// another user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// The connection's ID: `CONNECTION_ID()` there, and the argument of `KILL`.
    pub id: u64,
    /// The user.
    pub user: Option<String>,
    /// The host, mostly with the port.
    pub host: Option<String>,
    /// The default database.
    pub database: Option<String>,
    /// What the connection is doing: the server's `STATE`, or its `COMMAND` if that is empty, such
    /// as `Sleep` for one that holds a lock and does nothing.
    pub state: Option<String>,
    /// For how long it has been in this state, in whole seconds.
    pub in_state: Option<Duration>,
    /// The first 1,024 characters of the statement that it is running, if any.
    pub statement: Option<String>,
}

impl Process {
    /// Returns a process of which only the ID is known.
    pub(crate) fn unknown(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    pub(crate) fn read(id: u64, row: ProcessRow) -> Self {
        let (user, host, database, state, seconds, statement) = row;
        Self {
            id,
            user: non_empty(user),
            host: non_empty(host),
            database: non_empty(database),
            state: non_empty(state),
            // Negative where the client has set its `timestamp`.
            in_state: seconds.map(|seconds| Duration::from_secs(seconds.try_into().unwrap_or(0))),
            statement: non_empty(statement),
        }
    }

    /// Writes who it is, without what it is doing.
    pub(crate) fn write_identity(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}", self.id)?;
        for (before, part) in [("of", &self.user), ("at", &self.host), ("in", &self.database)] {
            if let Some(part) = part {
                write!(f, " {before} {part}")?;
            }
        }
        Ok(())
    }

    /// Writes for how long it has been in its state. `Duration` would write zero as `0ns`.
    pub(crate) fn write_in_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.in_state {
            Some(in_state) => write!(f, " for {}s", in_state.as_secs()),
            None => Ok(()),
        }
    }
}

fn non_empty(bytes: Option<Vec<u8>>) -> Option<String> {
    text(bytes).filter(|text| !text.is_empty())
}

/// One line: `connection 7 of app at 10.0.0.5:4711 in shop: Sleep for 12s`.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_identity(f)?;
        if let Some(state) = &self.state {
            write!(f, ": {state}")?;
        }
        self.write_in_state(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_server_lists_is_read(
            texts in prop::array::uniform5(prop::option::of(prop::collection::vec(any::<u8>(), 0..20))),
            seconds in prop::option::of(any::<i64>()),
        ) {
            let [user, host, database, state, statement] = texts.clone();
            let process = Process::read(7, (user, host, database, state, seconds, statement));
            prop_assert_eq!(process.id, 7);
            let read =
                [process.user, process.host, process.database, process.state, process.statement];
            for (listed, read) in texts.iter().zip(&read) {
                let listed = listed.as_ref().filter(|bytes| !bytes.is_empty());
                prop_assert_eq!(read.is_some(), listed.is_some());
                let as_text = listed.and_then(|bytes| std::str::from_utf8(bytes).ok());
                if as_text.is_some() {
                    prop_assert_eq!(read.as_deref(), as_text);
                }
            }
            prop_assert_eq!(process.in_state.is_some(), seconds.is_some());
            let expected = seconds.map_or(0, |seconds| seconds.max(0).unsigned_abs());
            prop_assert_eq!(process.in_state.unwrap_or_default(), Duration::from_secs(expected));
        }
    }
}
