//! A named lock that is held: taken, let go, asked for.

use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::dsl::sql;
use diesel::mysql::MysqlConnection;
use diesel::sql_types::{BigInt, Unsigned};

use super::Lock;
use super::ask::{look, release_once};
use super::wait::{Outcome, wait_for};
use crate::error::Error;
use crate::fault::insist;
use crate::name::FullName;
use crate::statement::named::RELEASE_ALL;
use crate::timeout::Timeout;
use crate::trace::{self, Wanted};

/// A lock that some connection holds, under the name that it was taken by.
#[derive(Debug)]
pub(crate) struct HeldLock(FullName);

impl HeldLock {
    pub(crate) fn acquire(lock: &Lock<'_>, conn: &mut MysqlConnection) -> Result<Self, Error> {
        trace::acquire(
            &lock.wanted(lock.timeout),
            |_| "acquired",
            || match wait_for(lock, lock.timeout, conn)? {
                Outcome::Taken(name) => Ok(Self(name)),
                Outcome::Busy { name, holder } => Err(Error::Timeout {
                    what: name.to_string(),
                    limit: lock.timeout.limit().unwrap_or(Duration::MAX),
                    holder,
                }),
            },
        )
    }

    pub(crate) fn try_acquire(
        lock: &Lock<'_>,
        conn: &mut MysqlConnection,
    ) -> Result<Option<Self>, Error> {
        let outcome = |held: &Option<Self>| if held.is_some() { "acquired" } else { "busy" };
        trace::acquire(&lock.wanted(Timeout::NONE), outcome, || {
            match wait_for(lock, Timeout::NONE, conn)? {
                Outcome::Taken(name) => Ok(Some(Self(name))),
                Outcome::Busy { .. } => Ok(None),
            }
        })
    }

    pub(crate) fn name(&self) -> &str {
        self.0.as_string()
    }

    /// Lets go for certain: where the lock cannot be released, the connection is closed.
    pub(crate) fn release(&self, conn: &mut MysqlConnection) -> Result<(), Error> {
        if release_once(&self.0, conn)? { Ok(()) } else { Err(not_held(&self.0)) }
    }

    pub(crate) fn is_still_held(&self, conn: &mut MysqlConnection) -> Result<bool, Error> {
        let (_, holder, this) = look(&self.0, conn)?;
        Ok(holder == Some(this))
    }
}

fn not_held(name: &FullName) -> Error {
    Error::NotHeld { what: name.to_string() }
}

pub(super) fn release(lock: &Lock<'_>, conn: &mut MysqlConnection) -> Result<(), Error> {
    let mut name = lock.guess()?;
    loop {
        let released = release_once(&name, conn);
        if let Ok(true) = released {
            return Ok(());
        }
        // After an error too: what was not released may go by the name of another database.
        let database = match (look(&name, conn), &released) {
            (Ok((database, ..)), _) => database,
            (Err(error), Ok(_)) => return Err(error),
            (Err(_), Err(_)) => return released.map(drop),
        };
        match lock.correct(&name, database)? {
            Some(corrected) => name = corrected,
            None if released.is_ok() => return Err(not_held(&name)),
            None => return released.map(drop),
        }
    }
}

pub(super) fn release_all(conn: &mut MysqlConnection) -> Result<u64, Error> {
    // Not cached, since it returns a row; `sql` never is.
    insist(conn, |conn| diesel::select(sql::<Unsigned<BigInt>>(RELEASE_ALL)).get_result(conn))
        .map_err(Error::Diesel)
}

impl Lock<'_> {
    fn wanted(&self, timeout: Timeout) -> Wanted<'_> {
        Wanted { kind: "named lock", name: &self.name, timeout: timeout.limit() }
    }
}
