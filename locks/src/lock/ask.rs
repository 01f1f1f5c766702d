//! What is said to the server about a named lock, one statement at a time.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::QueryFragment;
use diesel::result::QueryResult;

use super::Lock;
use crate::error::Error;
use crate::fault::{Fault, State, insist};
use crate::name::FullName;
use crate::statement::Meaning;
use crate::statement::named::{Look, LookRow, Named, Release, Typed, release_as_text};

/// Runs a statement as one of the type by which Diesel finds it in its cache.
pub(super) fn execute<S>(statement: &S, conn: &mut MysqlConnection) -> QueryResult<usize>
where
    S: Named + QueryFragment<Mysql>,
{
    let name = statement.name();
    match (name.database().is_some(), name.is_shortened()) {
        (false, false) => Typed::<_, false, false>(statement).execute(conn),
        (false, true) => Typed::<_, false, true>(statement).execute(conn),
        (true, false) => Typed::<_, true, false>(statement).execute(conn),
        (true, true) => Typed::<_, true, true>(statement).execute(conn),
    }
}

/// Whether the connection held the lock until now.
pub(super) fn release_once(name: &FullName, conn: &mut MysqlConnection) -> Result<bool, Error> {
    let release = Release(name);
    let error = match execute(&release, conn) {
        Ok(rows) => return Ok(rows == 1),
        Err(error) => error,
    };
    let fault = Fault::of(error, conn);
    match fault.state {
        State::Gone
        | State::Known(Meaning::NameRefused | Meaning::LockNameTooLong | Meaning::NameTooLong) => {
            return Err(error_for(name, fault));
        }
        _ => {}
    }
    // Interrupted, perhaps after it was released. If it is still held, it was so to the end.
    if let Ok(1) = execute(&release, conn) {
        return Ok(true);
    }
    let as_text = release_as_text(name);
    insist(conn, |conn| conn.batch_execute(&as_text)).map_err(Error::Diesel)?;
    Err(error_for(name, fault))
}

/// MySQL counts characters: <https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html>.
const MYSQL_LIMIT: usize = 64;

/// MariaDB counts bytes: 64 times three; measured on 10.11.
const MARIADB_LIMIT: usize = 192;

pub(super) fn error_for(name: &FullName, fault: Fault) -> Error {
    let text = name.as_string();
    let characters = text.chars().count();
    let reason = match fault.state {
        State::Known(Meaning::NameTooLong) => format!(
            "it has {} bytes with the database prefix, and this server takes {MARIADB_LIMIT}",
            text.len()
        ),
        State::Known(Meaning::LockNameTooLong | Meaning::NameRefused)
            if characters > MYSQL_LIMIT && !name.is_shortened() =>
        {
            format!(
                "it has {characters} characters with the database prefix, \
                 and this server takes {MYSQL_LIMIT}"
            )
        }
        _ => return fault.into_error(text),
    };
    Error::InvalidName { name: text.clone(), reason }
}

pub(super) fn look(name: &FullName, conn: &mut MysqlConnection) -> Result<LookRow, Error> {
    Look::new(name).get_result(conn).map_err(|error| {
        Look::retire();
        error_for(name, Fault::of(error, conn))
    })
}

/// The full name, and who holds the lock.
pub(super) fn settled(
    lock: &Lock<'_>,
    conn: &mut MysqlConnection,
) -> Result<(FullName, Option<u64>), Error> {
    let mut name = lock.guess()?;
    loop {
        let (database, holder, _) = look(&name, conn)?;
        match lock.correct(&name, database)? {
            Some(corrected) => name = corrected,
            None => return Ok((name, holder)),
        }
    }
}

impl Lock<'_> {
    /// The full name, if the connection's database is the one that was seen last.
    pub(super) fn guess(&self) -> Result<FullName, Error> {
        let refused = |reason: &str| Error::InvalidName {
            name: self.name.to_owned(),
            reason: reason.to_owned(),
        };
        if self.name.is_empty() {
            return Err(refused("it is empty"));
        }
        if self.name.contains('\0') {
            return Err(refused("it contains a NUL character"));
        }
        Ok(if self.server_wide {
            FullName::server_wide(self.name, self.shortened)
        } else {
            FullName::guess(self.name, self.shortened)
        })
    }

    /// The full name for the database that the server named, if the guess was another.
    pub(super) fn correct(
        &self,
        guess: &FullName,
        database: Option<String>,
    ) -> Result<Option<FullName>, Error> {
        let Some(guessed) = guess.database() else {
            return Ok(None);
        };
        let database = database.ok_or(Error::NoDatabase)?;
        if guessed == database {
            return Ok(None);
        }
        FullName::remember_database(&database);
        Ok(Some(FullName::in_database(&database, self.name, self.shortened)))
    }
}
