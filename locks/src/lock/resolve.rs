//! Resolves a lock's full name: the database is guessed by the client and checked by the server.

use diesel::result::QueryResult;

use super::{Lock, Prefix};
use crate::error::Error;
use crate::name::FullName;
use crate::server_error::{ErrorKind, ServerError};
use crate::statement::named::{Inspect, InspectRow, OTHER_DATABASE, UsedLock};
use crate::wire::Wire;

impl Lock<'_> {
    /// Returns the full name, if the connection's database is the one that was seen last.
    pub(super) fn guess(&self) -> Result<FullName, Error> {
        refuse_unusable(self.name)?;
        Ok(match self.prefix {
            Prefix::CurrentDatabase => FullName::guess(self.name, self.shortened),
            Prefix::Database(database) => {
                refuse_unusable(database)?;
                FullName::in_database(database, self.name, self.shortened)
            }
            Prefix::None => FullName::server_wide(self.name, self.shortened),
        })
    }

    /// Returns the full name for the database that the server named, if the guess was another.
    pub(super) fn correct(
        &self,
        guess: &FullName,
        database: Option<Vec<u8>>,
    ) -> Result<Option<FullName>, Error> {
        let Some(guessed) = guess.checked_database() else {
            return Ok(None);
        };
        let database = String::from_utf8(database.ok_or(Error::NoDatabase)?).map_err(|error| {
            Error::InvalidName {
                name: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                reason: "it is the name of a database, and is not valid UTF-8".to_owned(),
            }
        })?;
        if guessed == database {
            return Ok(None);
        }
        FullName::remember_database(&database);
        Ok(Some(FullName::in_current(&database, self.name, self.shortened)))
    }
}

/// Refuses what no server would.
pub(super) fn refuse_unusable(name: &str) -> Result<(), Error> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.contains('\0') {
        "it contains a NUL character"
    } else {
        return Ok(());
    };
    Err(Error::InvalidName { name: name.to_owned(), reason: reason.to_owned() })
}

pub(super) async fn inspect(name: &FullName, conn: &mut impl Wire) -> Result<InspectRow, Error> {
    run(Inspect::new(name), name, conn).await
}

/// In the database that the connection has now: both servers run a prepared statement in the one in
/// which it was prepared.
pub(super) async fn inspect_uncached(
    name: &FullName,
    conn: &mut impl Wire,
) -> Result<InspectRow, Error> {
    run(Inspect::uncached(name), name, conn).await
}

/// Returns whether this connection holds the lock.
pub(super) async fn is_own(name: &FullName, conn: &mut impl Wire) -> Result<bool, Error> {
    let is_own = conn.call(&UsedLock::is_own(name)).await;
    diagnosed(is_own, name, conn).await
}

async fn diagnosed<T>(
    answer: QueryResult<T>,
    name: &FullName,
    conn: &mut impl Wire,
) -> Result<T, Error> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(error) => Err(error_for(name, ServerError::diagnose(error, conn).await)),
    }
}

async fn run(
    inspect: Inspect<'_>,
    name: &FullName,
    conn: &mut impl Wire,
) -> Result<InspectRow, Error> {
    let row = conn.inspect(&inspect).await;
    diagnosed(row, name, conn).await
}

/// Returns the full name, and the connection that holds the lock.
pub(crate) async fn resolve(
    lock: &Lock<'_>,
    conn: &mut impl Wire,
) -> Result<(FullName, Option<u64>), Error> {
    let mut name = lock.guess()?;
    let holder = conn.value(&UsedLock::holder(&name)).await;
    match diagnosed(holder, &name, conn).await? {
        Some(OTHER_DATABASE) => {}
        holder => return Ok((name, holder.and_then(|id| id.try_into().ok()))),
    }
    // The statement may have been prepared in another database than the connection has now, or in
    // none: its answer is only the next guess.
    let (database, ..) = inspect(&name, conn).await?;
    if database.is_some() {
        name = lock.correct(&name, database)?.unwrap_or(name);
    }
    loop {
        let (database, holder, _) = inspect_uncached(&name, conn).await?;
        match lock.correct(&name, database)? {
            Some(corrected) => name = corrected,
            None => return Ok((name, holder)),
        }
    }
}

/// MySQL counts characters: <https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html>.
const MYSQL_MAXIMUM: usize = 64;

/// MariaDB counts bytes: 64 times three; measured on 10.11.
const MARIADB_MAXIMUM: usize = 192;

pub(super) fn error_for(name: &FullName, error: ServerError) -> Error {
    let full = name.as_str();
    let characters = full.chars().count();
    let reason = match error.kind {
        ErrorKind::NameTooLong => format!(
            "it has {} bytes with the database prefix, and this server takes {MARIADB_MAXIMUM}: use \
             a shorter name, or `shortened`",
            name.as_bytes().len()
        ),
        ErrorKind::LockNameTooLong | ErrorKind::NameRefused
            if characters > MYSQL_MAXIMUM && !name.is_shortened() =>
        {
            format!(
                "it has {characters} characters with the database prefix, and this server takes \
                 {MYSQL_MAXIMUM}: use a shorter name, or `shortened`"
            )
        }
        ErrorKind::StrictMode => {
            return Error::Unsupported {
                what: format!("the named lock {full}"),
                remedy: format!(
                    "the server refuses it ({}); in a cluster, a strict mode has to allow locks, \
                     which are local to each node",
                    error.message()
                ),
            };
        }
        _ => return error.into_error(full),
    };
    Error::InvalidName { name: full.to_owned(), reason }
}
