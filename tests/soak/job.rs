//! What is done under a lock, and what may come of it.

use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Integer};
use diesel_locks::Error;

use crate::ledger::Ledger;
use crate::ways::{End, NESTED};

/// A panic that is part of the programme.
pub(crate) struct Planned;

/// One use of a lock, by one connection.
pub(crate) struct Job<'l> {
    pub(crate) ledger: &'l Ledger,
    pub(crate) connection: u64,
    /// Which of all locks, the tables among them.
    pub(crate) place: usize,
    /// The table of its counter, and the row.
    pub(crate) fence: (String, i32),
    pub(crate) hold_ms: u32,
    pub(crate) panics: bool,
    pub(crate) fails: bool,
    pub(crate) asked: Instant,
    pub(crate) of_tables: bool,
    pub(crate) counted: Counted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    No,
    Yes,
    /// The statement was sent, and there was no answer.
    Perhaps,
}

impl Job<'_> {
    /// Works under the lock.
    pub(crate) fn body(&mut self, conn: &mut MysqlConnection) -> Result<(), Error> {
        self.ledger.waited(self.asked.elapsed());
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
            // MariaDB 11.8 answers an UPDATE that `KILL QUERY` strikes with no rows and no error: seen on
            // one connection alone. So what is there now decides, whatever a transaction saw before.
            if counter(conn, &table, row, " FOR UPDATE")? != read {
                self.ledger.fault(format!("another has raised the counter of {}", self.place));
            }
        }
        Ok(())
    }

    /// What the counter says of it, once its way has ended.
    pub(crate) fn count(&self, end: End, succeeded: bool) {
        match (self.counted, end) {
            (Counted::No, _) | (_, End::RolledBack) => {}
            (Counted::Yes, End::Done) => self.ledger.handed_over(),
            (Counted::Yes, End::Committed) if succeeded => self.ledger.handed_over(),
            (Counted::Yes, End::Committed) | (Counted::Perhaps, _) => self.ledger.uncertain(),
        }
    }

    /// Whether the error may be, and how it counts.
    pub(crate) fn judge(&self, way: &str, limit: Option<Duration>, struck: bool, error: &Error) {
        let (ledger, took) = (self.ledger, self.asked.elapsed());
        match error {
            Error::Timeout { .. } => {
                ledger.outcome("timeouts");
                if way != NESTED && limit.is_none_or(|limit| took < limit) {
                    ledger.fault(format!("{way}: timed out after {took:?} of {limit:?}"));
                }
            }
            // Also to one who waits for a lock of the cycle without being part of it: seen on both servers.
            Error::Deadlock { .. } if !self.of_tables => ledger.outcome("deadlocks"),
            Error::Diesel(DieselError::RollbackTransaction) => ledger.outcome("failures"),
            Error::Interrupted { .. } if struck => ledger.outcome("interrupted"),
            _ if struck => ledger.outcome("lost"),
            error => ledger.fault(format!("{way}: {error:?}, and nobody had struck")),
        }
    }
}

fn counter(conn: &mut MysqlConnection, table: &str, row: i32, how: &str) -> Result<i64, Error> {
    let counter = sql::<BigInt>(&format!("counter FROM {table} WHERE id = "));
    let counter = counter.bind::<Integer, _>(row).sql(how);
    diesel::select(counter).get_result(conn).map_err(Error::Diesel)
}
