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
use crate::statement::{self, Meaning, tables};
use crate::timeout::table_wait_seconds;
use crate::trace::{self, Wanted};
use crate::transaction;

pub(crate) fn acquire(lock: &TableLock, conn: &mut MysqlConnection) -> Result<(), Error> {
    let wanted = Wanted { kind: "table lock", name: &lock.tables, timeout: lock.timeout };
    trace::acquire(&wanted, |()| "acquired", || wait_for(lock, conn))
}

/// What no server needs to be asked about.
pub(super) fn refuse_unusable(lock: &TableLock) -> Result<(), Error> {
    if let Some(refused) = lock.tables.refused() {
        let (name, reason) = (refused.name.clone(), refused.reason.clone());
        return Err(Error::InvalidName { name, reason });
    }
    if lock.tables.is_empty() {
        return Err(Error::NoTables);
    }
    Ok(())
}

fn wait_for(lock: &TableLock, conn: &mut MysqlConnection) -> Result<(), Error> {
    refuse_unusable(lock)?;
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
    end(committed, conn)
}

/// Rolls back, then unlocks and puts the session back.
pub(crate) fn roll_back(conn: &mut MysqlConnection) -> Result<(), Error> {
    if transaction::refuse_open(conn).is_ok() {
        // The body has ended the transaction by itself; what it wrote since, Diesel does not see.
        return end_for_certain(conn);
    }
    let rolled_back = transaction::roll_back(conn);
    end(rolled_back, conn)
}

fn end(transaction: Result<(), Error>, conn: &mut MysqlConnection) -> Result<(), Error> {
    if transaction.is_err() || conn.batch_execute(&tables::end()).is_err() {
        let ended = end_for_certain(conn);
        transaction.and(ended)
    } else {
        Ok(())
    }
}

/// One by one, each until it is done. `ROLLBACK` first: what may still be open would be committed by
/// the others.
fn end_for_certain(conn: &mut MysqlConnection) -> Result<(), Error> {
    for statement in [statement::ROLLBACK, tables::UNLOCK, &tables::restore()] {
        insist(conn, |conn| conn.batch_execute(statement)).map_err(Error::Diesel)?;
    }
    Ok(())
}

/// After a failed batch, of which any statement may have been run.
fn undo(lock: &TableLock, fault: Fault, conn: &mut MysqlConnection) -> Error {
    let what = lock.tables.to_string();
    if fault.state == State::Gone {
        return fault.into_error(&what);
    }
    if fault.state == State::Known(Meaning::InTransaction) {
        // Nothing else was run, and the transaction that is open is somebody's.
        let restored = insist(conn, |conn| conn.batch_execute(&tables::restore_idle()));
        return restored.map_or_else(Error::Diesel, |()| fault.into_error(&what));
    }
    let (changed, limit) = match insist(conn, state) {
        Ok(state) => state,
        Err(error) => return Error::Diesel(error),
    };
    let ended = if changed {
        end_for_certain(conn)
    } else {
        insist(conn, |conn| conn.batch_execute(&tables::restore_idle())).map_err(Error::Diesel)
    };
    if let Err(error) = ended {
        return error;
    }
    let limit = Duration::from_secs(limit);
    if fault.state == State::Known(Meaning::WaitLimit) {
        return Error::Timeout { what, limit, holder: None };
    }
    fault.into_error(&what)
}

fn state(conn: &mut MysqlConnection) -> QueryResult<(bool, u64)> {
    let (changed, limit) = tables::STATE;
    diesel::select((sql::<Bool>(changed), sql::<Unsigned<BigInt>>(limit))).get_result(conn)
}
