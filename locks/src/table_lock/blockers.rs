//! Who is in the way of a table lock.

use std::fmt;
use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::mysql::MysqlConnection;

use super::{TableLock, held};
use crate::client::{Client, describe};
use crate::error::Error;
use crate::fault::Fault;
use crate::lockable::TableName;
use crate::server::facts::text;
use crate::server::survey::survey;
use crate::statement::observe::{CurrentDatabase, OnTableRow, OnTables};

/// A connection that holds, or waits for, a metadata lock on a table: by `LOCK TABLES`, by a
/// transaction that has used the table, or by a change of the table itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocker {
    /// The table, with its database.
    pub table: TableName,
    /// What `CONNECTION_ID()` says there; what `KILL` takes.
    pub connection_id: u64,
    /// The server's `LOCK_TYPE`: `SHARED_READ` of a transaction that has read, `SHARED_WRITE` of one
    /// that has written, `SHARED_READ_ONLY` and `SHARED_NO_READ_WRITE` of `LOCK TABLES`, `EXCLUSIVE` of
    /// `ALTER TABLE`, and others.
    pub mode: String,
    /// Whether it holds the lock; else it waits for it.
    pub is_granted: bool,
    /// Its user; this and the following as far as this user may see.
    pub user: Option<String>,
    /// Where it comes from.
    pub host: Option<String>,
    /// Its default database.
    pub database: Option<String>,
    /// What it is doing: the server's `STATE`, or else its `COMMAND`, such as `Sleep` for an open
    /// transaction that does nothing.
    pub state: Option<String>,
    /// How long it has been doing that, in whole seconds.
    pub in_state: Option<Duration>,
    /// The statement that it is running, if it is running one: its first 1024 characters.
    pub statement: Option<String>,
}

impl Blocker {
    fn read(((database, table, mode, is_granted, connection_id), client): OnTableRow) -> Self {
        let (table_database, table) =
            (text(database).unwrap_or_default(), text(table).unwrap_or_default());
        let mode = text(mode).unwrap_or_default();
        let Client { user, host, database, state, in_state, statement } = Client::read(client);
        Self {
            table: (table_database, table).into(),
            connection_id,
            // As MariaDB's plugin writes it.
            mode: mode.strip_prefix("MDL_").map(str::to_owned).unwrap_or(mode),
            is_granted,
            user,
            host,
            database,
            state,
            in_state,
            statement,
        }
    }
}

/// One line: `` `shop`.`orders`: connection 7 of app at 10.0.0.5 in shop holds SHARED_WRITE, Sleep for
/// 12s ``.
impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.table)?;
        let (user, host) = (self.user.as_deref(), self.host.as_deref());
        describe(f, self.connection_id, user, host, self.database.as_deref())?;
        f.write_str(if self.is_granted { " holds " } else { " waits for " })?;
        f.write_str(&self.mode)?;
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(in_state) = self.in_state {
            write!(f, " for {in_state:?}")?;
        }
        Ok(())
    }
}

pub(super) fn blockers(
    lock: &TableLock,
    conn: &mut MysqlConnection,
) -> Result<Vec<Blocker>, Error> {
    held::refuse_unusable(lock)?;
    let tables = lock.tables.names()?;
    let facts = survey(conn)?;
    let listing = facts.waiting_too().or_else(|_| facts.held_locks()).map_err(|remedy| {
        Error::Unsupported { what: "a list of who has locked a table".to_owned(), remedy }
    })?;
    let statement = OnTables { listing, tables: &tables, lowered: facts.lowers_table_names() };
    let failed = |error, conn: &mut _| Fault::of(error, conn).into_error(&lock.tables.to_string());
    let rows = statement.load::<OnTableRow>(conn).map_err(|error| failed(error, conn))?;
    if rows.is_empty() && tables.iter().any(|table| table.database().is_none()) {
        let database: Option<Vec<u8>> =
            CurrentDatabase.get_result(conn).map_err(|error| failed(error, conn))?;
        database.ok_or(Error::NoDatabase)?;
    }
    Ok(rows.into_iter().map(Blocker::read).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_mode_is_written_alike(mode in "[A-Z_]{0,24}", plugin: bool, is_granted: bool) {
            prop_assume!(!mode.starts_with("MDL_"));
            let listed = if plugin { format!("MDL_{mode}") } else { mode.clone() };
            let bytes = |text: &str| Some(text.as_bytes().to_vec());
            let row = (
                (bytes("shop"), bytes("orders"), bytes(&listed), is_granted, 7),
                (bytes("app"), None, None, bytes("Sleep"), Some(3), None),
            );
            let blocker = Blocker::read(row);
            prop_assert_eq!(&blocker.mode, &mode);
            let verb = if is_granted { "holds" } else { "waits for" };
            prop_assert_eq!(
                blocker.to_string(),
                format!("`shop`.`orders`: connection 7 of app {verb} {mode}, Sleep for 3s")
            );
        }
    }
}
