//! The work under a lock, and its possible outcomes.

use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Integer};
use diesel_locks::Error;

use crate::ledger::Ledger;
use crate::ways::{End, NESTED};

/// A panic that is part of the test.
pub(crate) struct Planned;

/// One use of a lock, by one connection.
pub(crate) struct Job<'l> {
    pub(crate) ledger: &'l Ledger,
    pub(crate) connection: u64,
    /// The index of the lock among all locks, including the tables.
    pub(crate) place: usize,
    /// The table and the row of its counter.
    pub(crate) fence: (String, i32),
    pub(crate) hold_ms: u32,
    pub(crate) panics: bool,
    pub(crate) fails: bool,
    pub(crate) started: Instant,
    pub(crate) of_tables: bool,
    pub(crate) counted: Counted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    No,
    Yes,
    /// The statement was sent, but there was no answer.
    Perhaps,
}

impl Job<'_> {
    /// Works under the lock.
    pub(crate) fn body(&mut self, conn: &mut MysqlConnection) -> Result<(), Error> {
        self.ledger.waited(self.started.elapsed());
        let _inside = self.ledger.enter(self.place, self.connection);
        let (table, row) = self.fence.clone();
        let read = counter(conn, &table, row, "")?;
        diesel::sql_query(format!("DO SLEEP(0.{:03})", self.hold_ms)).execute(conn)?;
        if self.panics {
            self.ledger.outcome("panics");
            resume_unwind(Box::new(Planned));
        }
        if self.fails {
            return Err(Error::Diesel(DieselError::RollbackTransaction));
        }
        self.counted = Counted::Perhaps;
        let raised = diesel::sql_query(format!(
            "UPDATE {table} SET counter = counter + 1 WHERE id = ? AND counter = ?"
        ))
        .bind::<Integer, _>(row)
        .bind::<BigInt, _>(read)
        .execute(conn)?;
        self.counted = Counted::Yes;
        if raised != 1 {
            self.counted = Counted::No;
            // MariaDB 11.8 may answer an UPDATE that `KILL QUERY` hits with no rows and no error,
            // as seen on a single connection. So the current value decides, whatever a transaction
            // saw before.
            if counter(conn, &table, row, " FOR UPDATE")? != read {
                self.ledger.fault(format!(
                    "another connection has raised the counter of lock {}",
                    self.place
                ));
            }
        }
        Ok(())
    }

    /// Records whether the counter was raised, once the lock is released.
    pub(crate) fn count(&self, end: End, succeeded: bool) {
        match (self.counted, end) {
            (Counted::No, _) | (_, End::RolledBack) => {}
            (Counted::Yes, End::Done) => self.ledger.handed_over(),
            (Counted::Yes, End::Committed) if succeeded => self.ledger.handed_over(),
            (Counted::Yes, End::Committed) | (Counted::Perhaps, _) => self.ledger.uncertain(),
        }
    }

    /// Records the error, as a fault if nothing explains it.
    pub(crate) fn judge(&self, way: &str, timeout: Option<Duration>, killed: bool, error: &Error) {
        let (ledger, took) = (self.ledger, self.started.elapsed());
        match error {
            Error::Timeout { .. } => {
                ledger.outcome("timeouts");
                if way != NESTED && timeout.is_none_or(|timeout| took < timeout) {
                    ledger.fault(format!("{way}: timed out after {took:?} of {timeout:?}"));
                }
            }
            // Both servers also return it to a connection that waits for a lock of the cycle
            // without being part of it.
            Error::Deadlock { .. } if !self.of_tables => ledger.outcome("deadlocks"),
            Error::Diesel(DieselError::RollbackTransaction) => ledger.outcome("failures"),
            Error::Interrupted { .. } if killed => ledger.outcome("interrupted"),
            _ if killed => ledger.outcome("lost"),
            error => ledger.fault(format!("{way}: {error:?}, without a kill")),
        }
    }
}

fn counter(conn: &mut MysqlConnection, table: &str, row: i32, how: &str) -> Result<i64, Error> {
    let counter = sql::<BigInt>(&format!("counter FROM {table} WHERE id = "));
    let counter = counter.bind::<Integer, _>(row).sql(how);
    diesel::select(counter).get_result(conn).map_err(Error::Diesel)
}
