//! Waits for a named lock: `GET_LOCK`, as often as it returns before it should.

use std::time::Instant;

use super::Lock;
use super::release::release_once;
use super::resolve::{error_for, inspect, inspect_uncached};
use crate::error::Error;
use crate::name::FullName;
use crate::server_error::{ErrorKind, ServerError};
use crate::statement::named::{Acquire, LockFunction};
use crate::timeout::{Stopped, Timeout, Wait};
use crate::wire::Wire;

/// How a wait ended, under the name that was waited for.
pub(super) enum Outcome<Acquired> {
    Acquired(Acquired),
    Busy { name: FullName, holder: Option<u64> },
}

pub(super) async fn wait_for<W: Wire>(
    lock: &Lock<'_>,
    timeout: Timeout,
    conn: &mut W,
) -> Result<Outcome<FullName>, Error> {
    let mut name = lock.guess()?;
    let mut wait = Wait::start(timeout);
    let mut server_wait = wait.first();
    let mut hinted = false;
    // Cached statements run in the database in which they were prepared. Where their answers do not
    // add up, others settle it.
    let mut cached = true;
    loop {
        server_wait = server_wait.min(W::LONGEST_WAIT);
        let started = Instant::now();
        let acquire = Acquire::new(&name, server_wait, hinted, cached);
        let answer = get_lock(&acquire, conn).await?;
        if matches!(answer, Answer::Acquired) {
            return Ok(Outcome::Acquired(name.settle()));
        }

        let row =
            if cached { inspect(&name, conn).await } else { inspect_uncached(&name, conn).await };
        let (database, holder, this) = match row {
            Ok(row) => row,
            Err(error) => {
                if matches!(answer, Answer::CutShort) {
                    let _ = release_once(&name, conn).await;
                }
                return Err(error);
            }
        };
        if cached && database.is_none() && name.checked_database().is_some() {
            cached = false;
            continue;
        }
        if let Some(corrected) = lock.correct(&name, database)? {
            // Nothing was waited for.
            name = corrected;
            cached = false;
            wait = Wait::start(timeout);
            server_wait = wait.first();
            continue;
        }
        if matches!(answer, Answer::CutShort) && holder == Some(this) {
            return Ok(Outcome::Acquired(name.settle()));
        }
        let stopped = wait.stopped(server_wait, started);
        if cached && matches!(answer, Answer::NotAcquired) {
            let is_held_by_another = holder.is_some_and(|holder| holder != this);
            let in_doubt = stopped == Stopped::Interrupted && name.checked_database().is_some();
            let adds_up =
                is_held_by_another && (!in_doubt || was_called(&acquire, this, conn).await?);
            if !adds_up {
                // It was released just now, or it was never tried.
                cached = false;
                server_wait = wait.rest();
                continue;
            }
        }
        match stopped {
            Stopped::AtTimeout => return Ok(Outcome::Busy { name, holder }),
            _ if matches!(answer, Answer::CutShort) && !acquire.is_hinted() => {
                // By the session's own time limit, which the hint overrides.
                hinted = true;
                server_wait = wait.rest();
            }
            Stopped::Early => server_wait = wait.rest(),
            Stopped::Interrupted => return Err(Error::Interrupted { lock: name.to_string() }),
        }
    }
}

/// Returns whether a statement that acquired nothing called `GET_LOCK` at all. If it was prepared
/// in another database than the one it checks, it did not. MariaDB answers in the same way if the
/// wait was killed.
///
/// The same statement shows it, for a lock that no other connection uses.
async fn was_called(acquire: &Acquire<'_>, this: u64, conn: &mut impl Wire) -> Result<bool, Error> {
    let free = acquire.name().beside(&format!("diesel-locks-{this}"));
    match get_lock(&acquire.at_once(&free), conn).await {
        Ok(Answer::NotAcquired) => Ok(false),
        Ok(Answer::Acquired | Answer::CutShort) => {
            release_once(&free.settle(), conn).await?;
            Ok(true)
        }
        // By the function: the database's name leaves no room.
        Err(Error::InvalidName { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// How one call of `GET_LOCK` ended.
enum Answer {
    Acquired,
    /// Not free, not tried on a wrong guess, or interrupted.
    NotAcquired,
    /// By the time limit in the hint: the server may have granted the lock at that very moment.
    CutShort,
}

async fn get_lock(acquire: &Acquire<'_>, conn: &mut impl Wire) -> Result<Answer, Error> {
    let name = acquire.name();
    let error = match conn.call(acquire).await {
        Ok(false) => return Ok(Answer::NotAcquired),
        Ok(true) => return Ok(Answer::Acquired),
        Err(error) => error,
    };
    let error = ServerError::diagnose(error, conn).await;
    match error.kind {
        ErrorKind::StatementTimeout => Ok(Answer::CutShort),
        // The server may have granted the lock before it was interrupted. An error that it does not
        // tell releases nothing: the connection may have held the lock before.
        ErrorKind::Interrupted | ErrorKind::Undiagnosed => {
            let _ = release_once(name, conn).await;
            Err(error_for(name, error))
        }
        _ => Err(error_for(name, error)),
    }
}
