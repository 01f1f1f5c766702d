//! What the attributes of a plain `fn` expand to.
//!
//! A function's body uses the connection under its own name and type, so nothing here borrows it
//! while the body runs: what is held is a token, and a panic of the body is caught until the lock
//! has ended.

use std::panic::resume_unwind;
use std::thread;

use diesel::mysql::MysqlConnection;

use super::fallible::Fallible;
use super::held::{Held, What};
use crate::connection::{LockConnection, mysql};
use crate::scope::{end_after_body, end_after_panic};
use crate::wire::catch_panic;
use crate::{Error, Lock, TableLock};

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
pub struct Ran<R> {
    caught: thread::Result<R>,
    end: Option<End<R>>,
}

/// `failed` is kept so that only [`run`] asks for the trait: a function that returns something else
/// gets one message.
#[derive(Debug)]
struct End<R> {
    held: Held,
    succeeded: bool,
    failed: fn(Error) -> R,
}

pub fn run<R: Fallible>(held: Result<Held, Error>, body: impl FnOnce() -> R) -> Ran<R> {
    match held {
        Err(error) => Ran { caught: Ok(R::failed(error)), end: None },
        Ok(held) => {
            let caught = catch_panic(body);
            let succeeded = matches!(&caught, Ok(result) if result.succeeded());
            Ran { caught, end: Some(End { held, succeeded, failed: R::failed }) }
        }
    }
}

/// Ends what is held, and returns what the body returned.
pub fn finish<R>(ran: Ran<R>, conn: Found<'_>) -> R {
    match (ran.caught, ran.end) {
        (Ok(result), None) => result,
        (Err(panic), None) => resume_unwind(panic),
        (Err(panic), Some(End { held, .. })) => end_after_panic(&held, conn, panic),
        (Ok(result), Some(End { held, succeeded, failed })) => {
            match end_after_body(&held, succeeded, conn) {
                Ok(()) => result,
                Err(error) => failed(error),
            }
        }
    }
}
