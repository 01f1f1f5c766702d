//! Diesel's transactions, begun and ended so that its transaction manager always knows.

use diesel::RunQueryDsl;
use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use crate::connection::Lent;
use crate::error::Error;
use crate::fault::{Fault, State, insist};
use crate::statement::{self, Meaning, RefuseOpen};

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
    let committed = match depth(conn) {
        Ok(0 | 1) => Manager::commit_transaction(conn).map_err(Error::Diesel),
        Ok(_) => Err(Error::InTransaction),
        Err(error) => Err(error),
    };
    if committed.is_err() {
        // Where the commit failed Diesel has tried already; nothing must stay open.
        let _ = roll_back(conn);
    }
    committed
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
    insist(conn, |conn| conn.batch_execute(statement::ROLLBACK)).map_err(Error::Diesel)?;
    // The connection lives, and no transaction is open on it: the manager may go on.
    #[expect(clippy::default_trait_access, reason = "Diesel does not export the type's name")]
    let valid = Default::default();
    *Manager::transaction_manager_status_mut(conn) = valid;
    Ok(())
}

/// Begins a transaction where none is open.
///
/// # Errors
///
/// [`Error::InTransaction`] where one is, one that Diesel never saw included.
pub(crate) fn begin(conn: &mut MysqlConnection, what: &str) -> Result<(), Error> {
    // One by one: a batch of both could be struck by `KILL QUERY` in between, and never return.
    refuse_unseen(conn).map_err(|fault| fault.into_error(what))?;
    match Manager::begin_transaction_sql(conn, statement::BEGIN) {
        Ok(()) => Ok(()),
        Err(DieselError::AlreadyInTransaction) => Err(Error::InTransaction),
        Err(error) => Err(Fault::of(error, conn).into_error(what)),
    }
}

fn refuse_unseen(conn: &mut MysqlConnection) -> Result<(), Fault> {
    let mut statement = RefuseOpen::guess();
    for is_last in [false, true] {
        let Err(error) = statement.execute(conn) else {
            break;
        };
        let fault = Fault::of(error, conn);
        if is_last || fault.state != State::Known(Meaning::UnknownVariable) {
            return Err(fault);
        }
        statement = statement.otherwise();
    }
    Ok(())
}

/// Runs the body in a transaction of its own.
pub(crate) fn run<T, E: From<Error>>(
    conn: &mut MysqlConnection,
    what: &str,
    body: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
) -> Result<T, E> {
    begin(conn, what)?;
    let mut open = OpenTransaction(Lent::new(conn));
    let result = body(open.0.get_mut());
    let conn = open.0.take();
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
struct OpenTransaction<'c>(Lent<&'c mut MysqlConnection>);

impl Drop for OpenTransaction<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take_if_whole() {
            let _ = roll_back(conn);
        }
    }
}
