//! Who is in the way of a table lock.

use std::fmt;

use super::TableLock;
use crate::error::Error;
use crate::lockable::TableName;
use crate::name::hexadecimal;
use crate::process::Process;
use crate::server::inspect::inspect;
use crate::server::text;
use crate::server_error::ServerError;
use crate::statement::inspect::{CurrentDatabase, OnTableRow, OnTables};
use crate::wire::Wire;

/// A connection that holds, or waits for, a metadata lock on a table: by `LOCK TABLES`, by a
/// transaction that has used the table, or by a change of the table itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocker {
    /// The table, with its database.
    pub table: TableName,
    /// The server's `LOCK_TYPE`: `SHARED_READ` for a transaction that has read, `SHARED_WRITE` for
    /// one that has written, `SHARED_NO_READ_WRITE` for `LOCK TABLES … WRITE`, `EXCLUSIVE` for
    /// `ALTER TABLE`, and others. `LOCK TABLES … READ` is `SHARED_READ_ONLY` on MySQL 9.7; on
    /// MariaDB 10.11 it is `SHARED_READ` for tables of InnoDB, so that it looks like a transaction
    /// that has read.
    pub mode: String,
    /// Whether the connection holds the lock; otherwise it waits for it.
    pub granted: bool,
    /// The connection, as far as this user may see.
    pub process: Process,
}

impl Blocker {
    fn read(((database, table, mode, granted, id), process): OnTableRow) -> Self {
        let (database, table) =
            (text(database).unwrap_or_default(), text(table).unwrap_or_default());
        let mode = text(mode).unwrap_or_default();
        Self {
            table: (database, table).into(),
            // As MariaDB's plugin writes it.
            mode: mode.strip_prefix("MDL_").map(str::to_owned).unwrap_or(mode),
            granted,
            process: Process::read(id, process),
        }
    }
}

/// One line: `` `shop`.`orders`: connection 7 of app at 10.0.0.5 in shop holds SHARED_WRITE, Sleep
/// for 12s ``.
impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.table)?;
        self.process.write_identity(f)?;
        f.write_str(if self.granted { " holds " } else { " waits for " })?;
        f.write_str(&self.mode)?;
        if let Some(state) = &self.process.state {
            write!(f, ", {state}")?;
        }
        self.process.write_in_state(f)
    }
}

pub(crate) async fn blockers(
    lock: &TableLock,
    conn: &mut impl Wire,
) -> Result<Vec<Blocker>, Error> {
    lock.refuse_unusable()?;
    let tables = lock.tables.names();
    let server = inspect(conn).await?;
    let listing = server.waiter_listing().or_else(|_| server.lock_listing()).map_err(|remedy| {
        Error::Unsupported { what: "listing the locks on a table".to_owned(), remedy }
    })?;
    let lowered = server.lowers_table_names();
    let digits: Vec<_> = tables
        .iter()
        .map(|name| {
            let database = name.database().map(|database| hexadecimal(database.as_bytes()));
            (database, hexadecimal(name.table().as_bytes()))
        })
        .collect();
    let rows: Vec<OnTableRow> =
        match conn.rows(OnTables { listing, tables: &digits, lowered }).await {
            Ok(rows) => rows,
            Err(error) => return Err(error_for(lock, error, conn).await),
        };
    let mut blockers: Vec<_> =
        rows.into_iter().map(Blocker::read).filter(|blocker| blocker.process.id != 0).collect();
    if blockers.is_empty() && tables.iter().any(|table| table.database().is_none()) {
        let database: Option<Vec<u8>> = match conn.row(CurrentDatabase).await {
            Ok(database) => database,
            Err(error) => return Err(error_for(lock, error, conn).await),
        };
        database.ok_or(Error::NoDatabase)?;
    }
    blockers.sort_by(|one, other| key(one).cmp(&key(other)));
    Ok(blockers)
}

/// By which blockers are sorted.
fn key(blocker: &Blocker) -> (Option<&str>, &str, u64) {
    (blocker.table.database(), blocker.table.table(), blocker.process.id)
}

async fn error_for(lock: &TableLock, error: diesel::result::Error, conn: &mut impl Wire) -> Error {
    ServerError::diagnose(error, conn).await.into_error(&lock.list().to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_mode_is_written_alike(mode in "[A-Z_]{0,24}", plugin: bool, granted: bool) {
            prop_assume!(!mode.starts_with("MDL_"));
            let listed = if plugin { format!("MDL_{mode}") } else { mode.clone() };
            let bytes = |text: &str| Some(text.as_bytes().to_vec());
            let row = (
                (bytes("shop"), bytes("orders"), bytes(&listed), granted, 7),
                (bytes("app"), None, None, bytes("Sleep"), Some(3), None),
            );
            let blocker = Blocker::read(row);
            prop_assert_eq!(&blocker.mode, &mode);
            let verb = if granted { "holds" } else { "waits for" };
            prop_assert_eq!(
                blocker.to_string(),
                format!("`shop`.`orders`: connection 7 of app {verb} {mode}, Sleep for 3s")
            );
        }
    }
}
