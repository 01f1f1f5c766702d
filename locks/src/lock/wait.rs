//! Waiting for a named lock: `GET_LOCK`, as often as it ends before it should.

use std::time::Instant;

use diesel::mysql::MysqlConnection;

use super::Lock;
use super::ask::{error_for, execute, look, release_once};
use crate::error::Error;
use crate::fault::{Fault, State};
use crate::name::FullName;
use crate::statement::Meaning;
use crate::statement::named::{Acquire, Named};
use crate::timeout::{Stopped, Timeout, Wait};

/// How one call of `GET_LOCK` ended.
enum Answer {
    Taken,
    /// Not free, not tried on a wrong guess, or interrupted.
    NotTaken,
    /// The limit in the hint: the server may have granted the lock at that very moment.
    CutAtLimit,
}

/// How a wait ended, under the name that was waited for.
pub(super) enum Outcome {
    Taken(FullName),
    Busy { name: FullName, holder: Option<u64> },
}

pub(super) fn wait_for(
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
            return Ok(Outcome::Taken(name.settle()));
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
            return Ok(Outcome::Taken(name.settle()));
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
