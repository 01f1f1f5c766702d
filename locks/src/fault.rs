//! What to do on a connection when a statement has failed.

use diesel::RunQueryDsl;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::dsl::sql;
use diesel::mysql::MysqlConnection;
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Nullable, Unsigned};

use crate::error::Error;
use crate::statement::{self, Meaning};

/// A failed statement, and what the server says of it.
#[derive(Debug)]
pub(crate) struct Fault {
    error: DieselError,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The connection lives, and the server gave a number.
    Known(Meaning),
    /// The connection lives, but the server does not say what happened (`max_error_count = 0`).
    Unknown,
    /// The connection is lost, and with it whatever it held.
    Gone,
}

impl Fault {
    /// Asks the server what happened. To be called before any other statement.
    ///
    /// A lost connection is marked as broken, so that a pool throws it away.
    pub(crate) fn of(error: DieselError, conn: &mut MysqlConnection) -> Self {
        if !matches!(error, DieselError::DatabaseError(..)) {
            // Diesel's own: the server may never have heard of it.
            return Self { error, state: State::Known(Meaning::Other) };
        }
        let state = match error_number(conn) {
            Ok(Some(number)) => State::Known(Meaning::of(number)),
            Ok(None) => State::Unknown,
            Err(_) if conn.batch_execute(statement::NOTHING).is_ok() => State::Unknown,
            Err(_) => {
                give_up(conn);
                State::Gone
            }
        };
        Self { error, state }
    }

    /// The library's error for a fault that has to do with `what`.
    pub(crate) fn into_error(self, what: &str) -> Error {
        let State::Known(meaning) = self.state else {
            return Error::Diesel(self.error);
        };
        let what = what.to_owned();
        match meaning {
            Meaning::Deadlock => Error::Deadlock { what },
            Meaning::InTransaction => Error::InTransaction,
            Meaning::Interrupted | Meaning::StatementLimit => Error::Interrupted { what },
            Meaning::NameRefused | Meaning::LockNameTooLong | Meaning::NameTooLong => {
                Error::InvalidName { name: what, reason: self.error.to_string() }
            }
            Meaning::NoDatabase => Error::NoDatabase,
            Meaning::TableNotLocked
            | Meaning::Unchecked
            | Meaning::UnknownVariable
            | Meaning::WaitLimit
            | Meaning::Other => Error::Diesel(self.error),
        }
    }
}

fn error_number(conn: &mut MysqlConnection) -> QueryResult<Option<u64>> {
    conn.batch_execute(statement::KEEP_ERROR)?;
    // Not cached: a statement that returns rows and fails must never be run again.
    diesel::select(sql::<Nullable<Unsigned<BigInt>>>(statement::KEPT_ERROR)).get_result(conn)
}

/// How often an essential statement is tried. `KILL QUERY` may strike each of them.
const TRIES: u32 = 3;

/// Runs what must not be left undone: several times, and if it cannot be done at all, closes the
/// connection, so that the server frees what it holds.
pub(crate) fn insist<T>(
    conn: &mut MysqlConnection,
    mut attempt: impl FnMut(&mut MysqlConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    let mut tries = 1;
    loop {
        match attempt(conn) {
            Err(_) if tries < TRIES => tries += 1,
            Err(error) => {
                give_up(conn);
                return Err(error);
            }
            done => return done,
        }
    }
}

/// Closes a connection that answers no more, or not as it should, so that the server frees what it
/// may still hold; and marks it as broken, which is what pools ask for.
fn give_up(conn: &mut MysqlConnection) {
    for _ in 0..TRIES {
        // An error is no answer: it comes where this was done, and where it was interrupted.
        let _ = conn.batch_execute(statement::KILL_SELF);
    }
    AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
}
