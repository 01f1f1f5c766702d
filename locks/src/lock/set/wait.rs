//! Acquires all locks of a set, or none.

use super::LockSet;
use super::release::{error_of_set, release_set};
use crate::error::Error;
use crate::lock::wait::{Outcome, wait_for};
use crate::name::FullName;
use crate::server_error::{ErrorKind, ServerError, retry_or_close};
use crate::statement::named::{MOST_NAMES, SetFunction, release_leading_as_text};
use crate::timeout::{Timeout, Wait};
use crate::wire::Wire;

/// A lock that was not free.
struct Busy {
    name: FullName,
    holder: Option<u64>,
}

pub(super) async fn acquire_set(
    set: &LockSet,
    timeout: Timeout,
    conn: &mut impl Wire,
) -> Result<Outcome<Vec<FullName>>, Error> {
    match set.names.as_slice() {
        [] => return Err(Error::NoNames),
        [name] => {
            return Ok(match wait_for(&set.lock(name, None), timeout, conn).await? {
                Outcome::Acquired(name) => Outcome::Acquired(vec![name]),
                Outcome::Busy { name, holder } => Outcome::Busy { name, holder },
            });
        }
        _ => {}
    }
    let mut acquired = Vec::with_capacity(set.names.len());
    let ended = acquire_in_order(set, &Wait::start(timeout), &mut acquired, conn).await;
    match ended {
        Ok(None) => Ok(Outcome::Acquired(acquired)),
        Ok(Some(Busy { name, holder })) => {
            release_set(&acquired, conn).await?;
            Ok(Outcome::Busy { name, holder })
        }
        Err(error) => {
            if !matches!(error, Error::ConnectionLost(_)) {
                // The first error says why; locks that cannot be released close the connection.
                let _ = release_set(&acquired, conn).await;
            }
            Err(error)
        }
    }
}

/// Acquires as many as are free at once, and waits for each of the others alone, in the one order:
/// connections that wait for each other are then never both waiting for a set.
async fn acquire_in_order(
    set: &LockSet,
    wait: &Wait,
    acquired: &mut Vec<FullName>,
    conn: &mut impl Wire,
) -> Result<Option<Busy>, Error> {
    // All locks of a set are in one database, whatever the client's next guess is.
    let mut database = None;
    let mut parts = vec![set.names.as_slice()];
    while let Some(names) = parts.pop() {
        if let [name] = names {
            let lock = set.lock(name, database.as_deref());
            match wait_for(&lock, wait.remaining(), conn).await? {
                Outcome::Acquired(full) => {
                    database = database.or_else(|| set.database_of(&full, name));
                    acquired.push(full);
                }
                Outcome::Busy { name, holder } => return Ok(Some(Busy { name, holder })),
            }
            continue;
        }
        let full = set.full_names(names, database.as_deref())?;
        if acquire_at_once(&full, conn).await? {
            database = database.or_else(|| full.first()?.checked_database().map(str::to_owned));
            acquired.extend(full.into_iter().map(FullName::settle));
            continue;
        }
        // One of them is not free, or the guess was wrong: waiting for the first one settles that.
        let is_settled = database.is_some() || !set.is_in_current_database();
        let (before, after) = names.split_at(if is_settled { names.len() / 2 } else { 1 });
        parts.extend([after, before]);
    }
    Ok(None)
}

/// Returns whether all were free, and are acquired now. Otherwise none is.
async fn acquire_at_once(names: &[FullName], conn: &mut impl Wire) -> Result<bool, Error> {
    let [first, others @ ..] = names else { return Ok(true) };
    // A name that the server refuses stops it in the middle, so it is acquired alone.
    if names.len() > MOST_NAMES || !names.iter().all(FullName::is_usual) {
        return Ok(false);
    }
    let error = match conn.call(&SetFunction::acquire(first, others)).await {
        Ok(acquired) => return Ok(acquired),
        Err(error) => error,
    };
    let error = ServerError::diagnose(error, conn).await;
    let is_about_a_name = matches!(
        error.kind,
        ErrorKind::Deadlock
            | ErrorKind::NameRefused
            | ErrorKind::NameTooLong
            | ErrorKind::LockNameTooLong
    );
    // As for a single lock, an error that the server does not tell releases nothing: the connection
    // may have held the locks before.
    if is_about_a_name || matches!(error.kind, ErrorKind::Interrupted | ErrorKind::Undiagnosed) {
        let released = retry_or_close(conn, &release_leading_as_text(names)).await;
        if is_about_a_name {
            // Which one shows when it is acquired alone.
            return released.map(|()| false);
        }
    }
    Err(error_of_set(names, error))
}
