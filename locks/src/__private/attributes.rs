//! What the attributes expand to.
//!
//! A function's body uses the connection under its own name and type, so nothing here borrows it
//! while the body runs: what is held is a token, and the body is caught, to be followed by the end
//! of the lock in any case.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use diesel::mysql::MysqlConnection;

use crate::lock::HeldLock;
use crate::{Error, Lock, TableLock, table_lock, transaction};

/// What a function under a lock returns.
#[diagnostic::on_unimplemented(
    message = "a function under a lock returns a `Result`, and `{Self}` is none",
    label = "not a `Result`",
    note = "taking the lock can fail, and then the function returns that error"
)]
pub trait Fallible: Sized {
    fn failed(error: Error) -> Self;
    fn succeeded(&self) -> bool;
}

impl<T, E: From<Error>> Fallible for Result<T, E> {
    fn failed(error: Error) -> Self {
        Err(error.into())
    }

    fn succeeded(&self) -> bool {
        self.is_ok()
    }
}

/// Whatever derefs to a connection, as one.
pub fn connection(conn: &mut MysqlConnection) -> &mut MysqlConnection {
    conn
}

/// What is to be ended after the body.
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

/// A body that was run, or refused because there was no lock.
#[must_use = "the lock is still held"]
#[derive(Debug)]
pub struct Ran<R>(Outcome<R>);

#[derive(Debug)]
enum Outcome<R> {
    Refused(R),
    /// `failed` is kept so that only [`run`] asks for the trait: who returns something else is told
    /// once.
    Ended {
        held: Held,
        caught: thread::Result<R>,
        succeeded: bool,
        failed: fn(Error) -> R,
    },
}

pub fn run<R: Fallible>(held: Result<Held, Error>, body: impl FnOnce() -> R) -> Ran<R> {
    Ran(match held {
        Err(error) => Outcome::Refused(R::failed(error)),
        Ok(held) => {
            let caught = catch_unwind(AssertUnwindSafe(body));
            let succeeded = matches!(&caught, Ok(result) if result.succeeded());
            Outcome::Ended { held, caught, succeeded, failed: R::failed }
        }
    })
}

/// Ends what is held, and answers with what the body answered.
pub fn finish<R>(ran: Ran<R>, conn: &mut MysqlConnection) -> R {
    match ran.0 {
        Outcome::Refused(result) => result,
        Outcome::Ended { held, caught, succeeded, failed } => {
            let ended = held.end(conn, succeeded);
            let result = caught.unwrap_or_else(|panic| resume_unwind(panic));
            match ended {
                Err(error) if succeeded => failed(error),
                _ => result,
            }
        }
    }
}

impl Held {
    fn end(self, conn: &mut MysqlConnection, commit: bool) -> Result<(), Error> {
        match self.0 {
            What::Lock(held) => held.release(conn),
            What::LockAndTransaction(held) => {
                let ended =
                    if commit { transaction::commit(conn) } else { transaction::roll_back(conn) };
                let released = held.release(conn);
                ended.and(released)
            }
            What::Tables if commit => table_lock::held::commit(conn),
            What::Tables => table_lock::held::roll_back(conn),
        }
    }
}
