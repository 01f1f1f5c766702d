//! The conversation with the server: locking tables, and putting the session back.

use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::connection::{AnsiTransactionManager, SimpleConnection};
use diesel::dsl::sql;
use diesel::mysql::MysqlConnection;
use diesel::result::{Error as DieselError, QueryResult};
use diesel::sql_types::{BigInt, Bool, Unsigned};

use super::TableLock;
use crate::error::Error;
use crate::fault::{Fault, State, insist};
use crate::statement::{Meaning, tables};
use crate::timeout::table_wait_seconds;
use crate::transaction;

pub(crate) fn acquire(lock: &TableLock, conn: &mut MysqlConnection) -> Result<(), Error> {
    if let Some(refused) = lock.tables.refused() {
        let (name, reason) = (refused.name.clone(), refused.reason.clone());
        return Err(Error::InvalidName { name, reason });
    }
    if lock.tables.is_empty() {
        return Err(Error::NoTables);
    }
    let seconds = lock.timeout.map(table_wait_seconds);
    let batch = tables::begin(&lock.to_string(), seconds);
    match AnsiTransactionManager::begin_transaction_sql(conn, &batch) {
        Ok(()) => Ok(()),
        Err(DieselError::AlreadyInTransaction) => Err(Error::InTransaction),
        Err(DieselError::BrokenTransactionManager) => {
            Err(Error::Diesel(DieselError::BrokenTransactionManager))
        }
        Err(error) => {
            let fault = Fault::of(error, conn);
            Err(undo(lock, fault, conn))
        }
    }
}

/// Commits, then unlocks and puts the session back whether that succeeded or not.
pub(crate) fn commit(conn: &mut MysqlConnection) -> Result<(), Error> {
    let committed = transaction::commit(conn);
    let ended = end(conn);
    committed?;
    ended
}

/// Rolls back, then unlocks and puts the session back.
pub(crate) fn roll_back(conn: &mut MysqlConnection) -> Result<(), Error> {
    let rolled_back = transaction::roll_back(conn);
    let ended = end(conn);
    rolled_back?;
    ended
}

fn end(conn: &mut MysqlConnection) -> Result<(), Error> {
    let batch = tables::end();
    insist(conn, |conn| conn.batch_execute(&batch)).map_err(Error::Diesel)
}

/// After a failed batch, of which any statement may have been run.
fn undo(lock: &TableLock, fault: Fault, conn: &mut MysqlConnection) -> Error {
    let what = lock.tables.to_string();
    // Nothing was run; above all, the transaction that is open is somebody's.
    if matches!(fault.state, State::Gone | State::Known(Meaning::InTransaction)) {
        return fault.into_error(&what);
    }
    let limit = match insist(conn, state) {
        Ok((changed, limit)) => {
            if changed && let Err(error) = end(conn) {
                return error;
            }
            Duration::from_secs(limit)
        }
        Err(error) => return Error::Diesel(error),
    };
    if fault.state == State::Known(Meaning::WaitLimit) {
        return Error::Timeout { what, limit, holder: None };
    }
    fault.into_error(&what)
}

fn state(conn: &mut MysqlConnection) -> QueryResult<(bool, u64)> {
    let (changed, limit) = tables::STATE;
    diesel::select((sql::<Bool>(changed), sql::<Unsigned<BigInt>>(limit))).get_result(conn)
}
