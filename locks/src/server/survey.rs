//! The conversation with the server about itself.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::RunQueryDsl;
use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use super::facts::Facts;
use crate::error::Error;
use crate::fault::{Fault, State};
use crate::statement::Meaning;
use crate::statement::server::{FactRow, Survey};

/// Whether the user that asked last may not read `performance_schema`: the guess for the next one,
/// so that either kind of user is asked for once.
static REFUSED: AtomicBool = AtomicBool::new(false);

pub(crate) fn survey(conn: &mut MysqlConnection) -> Result<Facts, Error> {
    let mut failed = false;
    if !REFUSED.load(Ordering::Relaxed) {
        match load(Survey::privileged(), conn) {
            Ok(facts) if facts.is_complete() => return Ok(facts),
            Ok(_) => {}
            // Why shows in what follows.
            Err(_) => failed = true,
        }
    }
    let tables_locked = match ask(Survey::of_everybody, conn) {
        Ok(facts) if facts.is_complete() => {
            // One that lacks a privilege is never cached.
            if failed && facts.is_readable() {
                Survey::retire();
            }
            return more(facts, conn);
        }
        // `performance_schema` is off on MySQL, and has no variables.
        Ok(_) => {
            if failed {
                Survey::retire();
            }
            false
        }
        Err(fault) => match fault.state {
            State::Known(Meaning::TableNotLocked) => true,
            // A server of others, which has no such tables.
            State::Known(Meaning::Other) => false,
            // The rest alone would say that the server does not tell what it does tell.
            _ => return Err(fault.into_error(WHAT)),
        },
    };
    match load(Survey::variables_only(), conn) {
        Ok(facts) => Ok(facts.on_connection(tables_locked)),
        Err(error) => Err(Fault::of(error, conn).into_error(WHAT)),
    }
}

const WHAT: &str = "the inspection of the server";

/// What the privileged may ask, if this user is one.
fn more(facts: Facts, conn: &mut MysqlConnection) -> Result<Facts, Error> {
    let readable = facts.is_readable();
    REFUSED.store(!readable, Ordering::Relaxed);
    if !readable {
        return Ok(facts);
    }
    ask(Survey::privileged, conn).or_else(|fault| match fault.state {
        State::Known(Meaning::TableNotLocked) => Ok(facts.on_connection(true)),
        // A privilege that does not reach as far as the others.
        State::Known(Meaning::Other) => Ok(facts.without_privilege()),
        _ => Err(fault.into_error(WHAT)),
    })
}

/// Asks once more what is refused: MySQL also refuses what is killed while it waits to look a
/// privilege up.
fn ask(survey: fn() -> Survey, conn: &mut MysqlConnection) -> Result<Facts, Fault> {
    let mut attempt = || {
        load(survey(), conn).map_err(|error| {
            Survey::retire();
            Fault::of(error, conn)
        })
    };
    match attempt() {
        Err(fault) if fault.state == State::Known(Meaning::Other) => attempt(),
        done => done,
    }
}

fn load(survey: Survey, conn: &mut MysqlConnection) -> Result<Facts, DieselError> {
    survey.load::<FactRow>(conn).map(Facts::read)
}
