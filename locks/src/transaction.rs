//! Diesel's transactions, begun and ended so that its transaction manager always knows.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use crate::error::Error;
use crate::fault::{Fault, insist};
use crate::statement;

type Manager = AnsiTransactionManager;

/// How many transactions are open, the savepoints among them counted.
fn depth(conn: &mut MysqlConnection) -> Result<u32, Error> {
    let status =
        <Manager as TransactionManager<MysqlConnection>>::transaction_manager_status_mut(conn);
    Ok(status.transaction_depth().map_err(Error::Diesel)?.map_or(0, u32::from))
}

/// Refuses where Diesel knows of an open transaction, without asking the server.
pub(crate) fn refuse_open(conn: &mut MysqlConnection) -> Result<(), Error> {
    if depth(conn)? > 0 { Err(Error::InTransaction) } else { Ok(()) }
}

/// Commits the one transaction that is open.
///
/// # Errors
///
/// If the transactions begun since were not all ended, everything is rolled back.
pub(crate) fn commit(conn: &mut MysqlConnection) -> Result<(), Error> {
    if depth(conn)? > 1 {
        roll_back(conn)?;
        return Err(Error::InTransaction);
    }
    match Manager::commit_transaction(conn) {
        Ok(()) => Ok(()),
        Err(error) => {
            // Diesel has rolled back already, unless that failed too.
            let _ = roll_back(conn);
            Err(Error::Diesel(error))
        }
    }
}

/// Rolls back to where no transaction is open, whatever was left open.
pub(crate) fn roll_back(conn: &mut MysqlConnection) -> Result<(), Error> {
    loop {
        match Manager::rollback_transaction(conn) {
            Err(DieselError::NotInTransaction) => return Ok(()),
            Err(DieselError::BrokenTransactionManager) => break,
            // One level less in either case; the outermost one, if it fails, breaks the manager.
            Ok(()) | Err(_) => {}
        }
    }
    // The connection may live: nothing of the transaction may stay open on it.
    insist(conn, |conn| conn.batch_execute(statement::ROLLBACK)).map_err(Error::Diesel)
}

/// Runs the body in a transaction of its own.
///
/// # Errors
///
/// [`Error::InTransaction`] where one is open, one that Diesel never saw included.
pub(crate) fn run<T, E: From<Error>>(
    conn: &mut MysqlConnection,
    what: &str,
    body: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
) -> Result<T, E> {
    match Manager::begin_transaction_sql(conn, statement::BEGIN) {
        Ok(()) => {}
        Err(DieselError::AlreadyInTransaction) => return Err(Error::InTransaction.into()),
        Err(error) => return Err(Fault::of(error, conn).into_error(what).into()),
    }
    let mut open = OpenTransaction(Some(conn));
    let result = match &mut open.0 {
        Some(conn) => body(conn),
        None => unreachable!("the connection was put there one line above"),
    };
    let Some(conn) = open.0.take() else { return result };
    match result {
        Ok(value) => commit(conn).map(|()| value).map_err(E::from),
        Err(error) => {
            // The body's error says more; a rollback that failed has broken the connection.
            let _ = roll_back(conn);
            Err(error)
        }
    }
}

/// Rolls back where the body panics.
struct OpenTransaction<'c>(Option<&'c mut MysqlConnection>);

impl Drop for OpenTransaction<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            let _ = roll_back(conn);
        }
    }
}
