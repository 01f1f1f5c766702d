//! What the attributes expand to.
//!
//! A function's body uses the connection under its own name and type, so nothing here borrows it
//! while the body runs: what is held is a token, and a panic of the body is caught until the lock has
//! ended.

use std::thread;

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use crate::connection::{LockConnection, mysql};
use crate::lock::{HeldLock, HeldTransaction};
use crate::scope::{Ending, end_after_body, end_after_panic};
use crate::table_lock::HeldTables;
use crate::wire::{Wire, catch_panic};
use crate::{Error, FromDieselError, Lock, TableLock, scope};

/// The return type of a function with a lock attribute.
#[diagnostic::on_unimplemented(
    message = "a function with a lock attribute must return a `Result`, but `{Self}` is not one",
    label = "not a `Result`",
    note = "acquiring the lock can fail, and the function then returns that error"
)]
pub trait Fallible: Sized {
    fn failed(error: Error) -> Self;
    fn succeeded(&self) -> bool;
}

impl<T, E: FromDieselError> Fallible for Result<T, E> {
    fn failed(error: Error) -> Self {
        Err(DieselError::from(error).into())
    }

    fn succeeded(&self) -> bool {
        self.is_ok()
    }
}

/// Finds the connection in a place, by autoref and autoderef: a reference, an owned connection, a
/// field, a box, a pooled connection.
pub trait Place {
    #[doc(hidden)]
    fn __diesel_locks_connection(&mut self) -> Result<&mut MysqlConnection, Error>;
}

#[diagnostic::do_not_recommend]
impl<Conn: LockConnection + ?Sized> Place for Conn {
    fn __diesel_locks_connection(&mut self) -> Result<&mut MysqlConnection, Error> {
        mysql(self)
    }
}

/// Finds the connection in a function's argument whose type is a parameter.
pub fn connection<Conn: LockConnection + ?Sized>(conn: &mut Conn) -> Found<'_> {
    mysql(conn)
}

type Found<'c> = Result<&'c mut MysqlConnection, Error>;

/// What is to be ended after the body.
#[derive(Debug)]
pub struct Held(What);

#[derive(Debug)]
enum What {
    Lock(HeldLock),
    Transaction(HeldTransaction),
    Tables(HeldTables),
}

impl scope::Held for Held {
    fn kind(&self) -> &'static str {
        match &self.0 {
            What::Lock(held) => held.kind(),
            What::Transaction(held) => held.kind(),
            What::Tables(held) => held.kind(),
        }
    }

    fn lock(&self) -> &str {
        match &self.0 {
            What::Lock(held) => held.lock(),
            What::Transaction(held) => held.lock(),
            What::Tables(held) => held.lock(),
        }
    }

    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error> {
        match &self.0 {
            What::Lock(held) => held.end(ending, conn).await,
            What::Transaction(held) => held.end(ending, conn).await,
            What::Tables(held) => held.end(ending, conn).await,
        }
    }
}

pub fn acquire(lock: &Lock<'_>, conn: Found<'_>) -> Result<Held, Error> {
    lock.hold(conn?).map(|held| Held(What::Lock(held)))
}

pub fn acquire_and_begin(lock: &Lock<'_>, conn: Found<'_>) -> Result<Held, Error> {
    lock.hold_and_begin(conn?).map(|held| Held(What::Transaction(held)))
}

pub fn try_acquire(lock: &Lock<'_>, conn: Found<'_>) -> Result<Option<Held>, Error> {
    Ok(lock.try_hold(conn?)?.map(|held| Held(What::Lock(held))))
}

pub fn try_acquire_and_begin(lock: &Lock<'_>, conn: Found<'_>) -> Result<Option<Held>, Error> {
    Ok(lock.try_hold_and_begin(conn?)?.map(|held| Held(What::Transaction(held))))
}

pub fn lock_tables(lock: &TableLock, conn: Found<'_>) -> Result<Held, Error> {
    lock.hold(conn?).map(|held| Held(What::Tables(held)))
}

/// A body that was run, or refused because there was no lock.
#[must_use = "the lock is still held"]
#[derive(Debug)]
pub struct Ran<R>(Outcome<R>);

#[derive(Debug)]
enum Outcome<R> {
    Refused(R),
    /// `failed` is kept so that only [`run`] asks for the trait: a function that returns something
    /// else gets one message.
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
            let caught = catch_panic(body);
            let succeeded = matches!(&caught, Ok(result) if result.succeeded());
            Outcome::Ended { held, caught, succeeded, failed: R::failed }
        }
    })
}

/// Ends what is held, and returns what the body returned.
pub fn finish<R>(ran: Ran<R>, conn: Found<'_>) -> R {
    match ran.0 {
        Outcome::Refused(result) => result,
        Outcome::Ended { held, caught: Err(panic), .. } => end_after_panic(&held, conn, panic),
        Outcome::Ended { held, caught: Ok(result), succeeded, failed } => {
            match end_after_body(&held, succeeded, conn) {
                Ok(()) => result,
                Err(error) => failed(error),
            }
        }
    }
}
