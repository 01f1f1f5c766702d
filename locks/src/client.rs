//! Connections of others, as the server lists them.

use std::fmt;
use std::time::Duration;

use crate::server::facts::text;
use crate::statement::observe::ClientRow;

/// What there is to know of a connection, as far as this user may see.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) user: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) in_state: Option<Duration>,
    pub(crate) statement: Option<String>,
}

impl Client {
    pub(crate) fn read(row: ClientRow) -> Self {
        let (user, host, database, state, seconds, statement) = row;
        Self {
            user: told(user),
            host: told(host),
            database: told(database),
            state: told(state),
            // Negative where the client has set its `timestamp`.
            in_state: seconds.map(|seconds| Duration::from_secs(seconds.try_into().unwrap_or(0))),
            statement: told(statement),
        }
    }
}

/// What is empty is not told.
fn told(bytes: Option<Vec<u8>>) -> Option<String> {
    text(bytes).filter(|text| !text.is_empty())
}

/// The way that a connection is written in a line of a log.
pub(crate) fn describe(
    f: &mut fmt::Formatter<'_>,
    id: u64,
    user: Option<&str>,
    host: Option<&str>,
    database: Option<&str>,
) -> fmt::Result {
    write!(f, "connection {id}")?;
    if let Some(user) = user {
        write!(f, " of {user}")?;
    }
    if let Some(host) = host {
        write!(f, " at {host}")?;
    }
    if let Some(database) = database {
        write!(f, " in {database}")?;
    }
    Ok(())
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
            let client = Client::read((user, host, database, state, seconds, statement));
            let read = [client.user, client.host, client.database, client.state, client.statement];
            for (listed, read) in texts.iter().zip(&read) {
                let told = listed.as_ref().filter(|bytes| !bytes.is_empty());
                prop_assert_eq!(read.is_some(), told.is_some());
                let as_text = told.and_then(|bytes| std::str::from_utf8(bytes).ok());
                if as_text.is_some() {
                    prop_assert_eq!(read.as_deref(), as_text);
                }
            }
            prop_assert_eq!(client.in_state.is_some(), seconds.is_some());
            let expected = seconds.map_or(0, |seconds| seconds.max(0).unsigned_abs());
            prop_assert_eq!(client.in_state.unwrap_or_default(), Duration::from_secs(expected));
        }
    }
}
