//! All that the macros may name. Not part of the API.

pub use crate::lockable::{LockableTable, Parents};

#[cfg(feature = "mysql")]
pub use self::attributes::*;

/// What the attributes expand to.
///
/// A function's body uses the connection under its own name and type, so nothing here borrows it
/// while the body runs: what is held is a token, and the body is caught, to be followed by the end
/// of the lock in any case.
#[cfg(feature = "mysql")]
mod attributes {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use diesel::mysql::MysqlConnection;

    use crate::lock::HeldLock;
    use crate::{Error, Lock, TableLock, table_lock, transaction};

    /// How the body ended: its result, or the panic.
    pub type Caught<T, E> = std::thread::Result<Result<T, E>>;

    pub fn catch<T, E>(body: impl FnOnce() -> Result<T, E>) -> Caught<T, E> {
        catch_unwind(AssertUnwindSafe(body))
    }

    #[derive(Debug)]
    pub struct Held(What);

    #[derive(Debug)]
    enum What {
        Lock(HeldLock),
        LockAndTransaction(HeldLock),
        Tables,
    }

    pub fn acquire(lock: &Lock<'_>, conn: &mut MysqlConnection) -> Result<Held, Error> {
        HeldLock::acquire(lock, conn).map(|held| Held(What::Lock(held)))
    }

    pub fn acquire_and_begin(lock: &Lock<'_>, conn: &mut MysqlConnection) -> Result<Held, Error> {
        transaction::refuse_open(conn)?;
        let held = HeldLock::acquire(lock, conn)?;
        if let Err(error) = transaction::begin(conn, held.name()) {
            // The first error says why; a lock that cannot be released closes the connection.
            let _ = held.release(conn);
            return Err(error);
        }
        Ok(Held(What::LockAndTransaction(held)))
    }

    pub fn lock_tables(lock: &TableLock, conn: &mut MysqlConnection) -> Result<Held, Error> {
        table_lock::held::acquire(lock, conn).map(|()| Held(What::Tables))
    }

    /// Ends what is held, and answers with what the body answered.
    pub fn finish<T, E: From<Error>>(
        held: Held,
        conn: &mut MysqlConnection,
        caught: Caught<T, E>,
    ) -> Result<T, E> {
        let succeeded = matches!(caught, Ok(Ok(_)));
        let ended = held.end(conn, succeeded);
        let value = caught.unwrap_or_else(|panic| resume_unwind(panic))?;
        ended?;
        Ok(value)
    }

    impl Held {
        fn end(self, conn: &mut MysqlConnection, commit: bool) -> Result<(), Error> {
            match self.0 {
                What::Lock(held) => held.release(conn),
                What::LockAndTransaction(held) => {
                    let ended = if commit {
                        transaction::commit(conn)
                    } else {
                        transaction::roll_back(conn)
                    };
                    let released = held.release(conn);
                    ended.and(released)
                }
                What::Tables if commit => table_lock::held::commit(conn),
                What::Tables => table_lock::held::roll_back(conn),
            }
        }
    }
}
