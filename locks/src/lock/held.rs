//! The conversation with the server: taking a named lock, letting it go, and asking for it.

use std::time::{Duration, Instant};

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::QueryFragment;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Unsigned};

use super::Lock;
use crate::error::Error;
use crate::fault::{Fault, State, insist};
use crate::name::FullName;
use crate::statement::Meaning;
use crate::statement::named::{self, Acquire, Look, LookRow, Named, Release, Typed};
use crate::timeout::{Stopped, Timeout, Wait};
use crate::trace::{self, Wanted};

/// A lock that some connection holds, under the name that it was taken by.
#[derive(Debug)]
pub(crate) struct HeldLock(FullName);

/// How one call of `GET_LOCK` ended.
enum Answer {
    Taken,
    /// Not free, not tried on a wrong guess, or interrupted.
    NotTaken,
    /// The limit in the hint: the server may have granted the lock at that very moment.
    CutAtLimit,
}

/// How a wait ended.
enum Outcome {
    Taken(HeldLock),
    Busy { name: FullName, holder: Option<u64> },
}

impl HeldLock {
    pub(crate) fn acquire(lock: &Lock<'_>, conn: &mut MysqlConnection) -> Result<Self, Error> {
        trace::acquire(
            &lock.wanted(lock.timeout),
            |_| "acquired",
            || match wait_for(lock, lock.timeout, conn)? {
                Outcome::Taken(held) => Ok(held),
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
                Outcome::Taken(held) => Ok(Some(held)),
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

fn wait_for(
    lock: &Lock<'_>,
    timeout: Timeout,
    conn: &mut MysqlConnection,
) -> Result<Outcome, Error> {
    let mut name = lock.guess()?;
    let mut wait = Wait::start(timeout);
    let mut told = wait.first();
    let mut hinted = false;
    loop {
        let asked = Instant::now();
        let acquire = Acquire::new(&name, told, hinted);
        let answer = call(&acquire, conn)?;
        if matches!(answer, Answer::Taken) {
            return Ok(Outcome::Taken(HeldLock(name.settle())));
        }

        let row = match look(&name, conn) {
            Ok(row) => row,
            Err(error) => {
                if matches!(answer, Answer::CutAtLimit) {
                    let _ = release_once(&name, conn);
                }
                return Err(error);
            }
        };
        if let Some(corrected) = lock.correct(&name, row.0)? {
            // Nothing was waited for.
            name = corrected;
            wait = Wait::start(timeout);
            told = wait.first();
            continue;
        }
        let holder = row.1;
        if matches!(answer, Answer::CutAtLimit) && holder == Some(row.2) {
            return Ok(Outcome::Taken(HeldLock(name.settle())));
        }
        match wait.stopped(told, asked) {
            Stopped::AtLimit => return Ok(Outcome::Busy { name, holder }),
            _ if matches!(answer, Answer::CutAtLimit) && !acquire.is_hinted() => {
                // The session's own limit, which the hint stands above.
                hinted = true;
                told = wait.rest();
            }
            Stopped::Early => told = wait.rest(),
            Stopped::Interrupted => return Err(Error::Interrupted { what: name.to_string() }),
        }
    }
}

fn call(acquire: &Acquire<'_>, conn: &mut MysqlConnection) -> Result<Answer, Error> {
    let name = acquire.name();
    let error = match execute(acquire, conn) {
        Ok(0) => return Ok(Answer::NotTaken),
        Ok(_) => return Ok(Answer::Taken),
        Err(error) => error,
    };
    let fault = Fault::of(error, conn);
    match fault.state {
        State::Known(Meaning::StatementLimit) => Ok(Answer::CutAtLimit),
        // The server may have granted the lock before it was interrupted.
        State::Known(Meaning::Interrupted) | State::Unknown => {
            let _ = release_once(name, conn);
            Err(error_for(name, fault))
        }
        _ => Err(error_for(name, fault)),
    }
}

/// Runs a statement as one of the type by which Diesel finds it in its cache.
fn execute<S>(statement: &S, conn: &mut MysqlConnection) -> QueryResult<usize>
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
fn release_once(name: &FullName, conn: &mut MysqlConnection) -> Result<bool, Error> {
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
    let as_text = named::release_as_text(name);
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

fn look(name: &FullName, conn: &mut MysqlConnection) -> Result<LookRow, Error> {
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
    insist(conn, |conn| {
        diesel::select(sql::<Unsigned<BigInt>>(named::RELEASE_ALL)).get_result(conn)
    })
    .map_err(Error::Diesel)
}

impl Lock<'_> {
    fn wanted(&self, timeout: Timeout) -> Wanted<'_> {
        Wanted { kind: "named lock", name: &self.name, timeout: timeout.limit() }
    }

    /// The full name, if the connection's database is the one that was seen last.
    fn guess(&self) -> Result<FullName, Error> {
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
    fn correct(
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
