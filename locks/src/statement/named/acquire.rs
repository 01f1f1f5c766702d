//! `GET_LOCK`.

use std::time::Duration;

use diesel::mysql::Mysql;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Double};

use super::{Bound, LockFunction, push_checked, push_name};
use crate::name::FullName;
use crate::statement::{Text, Texts};
use crate::timeout::whole_seconds;

static TEXTS: Texts = Texts::new();

/// How long `GET_LOCK` is to wait.
#[derive(Debug)]
enum ServerWait {
    Seconds(i64),
    /// The hint ends the wait on MySQL, which rounds the argument to whole seconds.
    Hinted {
        milliseconds: u32,
        seconds: f64,
        next_second: i64,
    },
}

/// `GET_LOCK`, which returns 1 if the lock was acquired.
#[derive(Debug)]
pub(crate) struct Acquire<'n> {
    name: &'n FullName,
    wait: ServerWait,
    text: Text,
}

impl<'n> Acquire<'n> {
    /// With the hint a wait of whole seconds, too, outlasts a session's `max_execution_time` on
    /// MySQL; a fraction of a second always has it.
    ///
    /// A statement that is cached runs in the database in which it was prepared, on both servers.
    pub(crate) fn new(name: &'n FullName, wait: Duration, hinted: bool, cached: bool) -> Self {
        let next_second = i64::try_from(whole_seconds(wait)).unwrap_or(i64::MAX);
        let wait = if wait.subsec_nanos() == 0 && !hinted {
            ServerWait::Seconds(next_second)
        } else {
            // Not 0, which would be no timeout at all.
            let milliseconds = wait.as_nanos().div_ceil(1_000_000).max(1);
            ServerWait::Hinted {
                milliseconds: u32::try_from(milliseconds).unwrap_or(u32::MAX),
                seconds: wait.as_secs_f64(),
                next_second,
            }
        };
        let text = if cached { TEXTS.current() } else { TEXTS.uncached() };
        Self { name, wait, text }
    }

    /// The same statement, for a lock that is free.
    pub(crate) fn at_once<'m>(&self, name: &'m FullName) -> Acquire<'m> {
        let wait = match self.wait {
            ServerWait::Seconds(_) => ServerWait::Seconds(0),
            ServerWait::Hinted { milliseconds, .. } => {
                ServerWait::Hinted { milliseconds, seconds: 0.0, next_second: 0 }
            }
        };
        Acquire { name, wait, text: self.text }
    }

    pub(crate) fn is_hinted(&self) -> bool {
        matches!(self.wait, ServerWait::Hinted { .. })
    }
}

impl LockFunction for Acquire<'_> {
    type Any = Acquire<'static>;

    fn name(&self) -> &FullName {
        self.name
    }

    fn text(&self) -> Text {
        self.text
    }

    fn push_select(&self, out: &mut AstPass<'_, '_, Mysql>) {
        match &self.wait {
            ServerWait::Seconds(_) => out.push_sql("SELECT "),
            ServerWait::Hinted { milliseconds, .. } => {
                out.unsafe_to_cache_prepared();
                out.push_sql("SELECT /*+ MAX_EXECUTION_TIME(");
                out.push_sql(&milliseconds.to_string());
                out.push_sql(") */ ");
            }
        }
    }

    fn walk_call<'b>(&'b self, bound: Bound, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("GET_LOCK(");
            push_name(out.reborrow(), self.name, bound)?;
            out.push_sql(", ");
            match &self.wait {
                ServerWait::Seconds(seconds) => out.push_bind_param::<BigInt, _>(seconds)?,
                ServerWait::Hinted { seconds, next_second, .. } => {
                    out.push_sql("IF(VERSION() LIKE '%MariaDB%', ");
                    out.push_bind_param::<Double, _>(seconds)?;
                    out.push_sql(", ");
                    out.push_bind_param::<BigInt, _>(next_second)?;
                    out.push_sql(")");
                }
            }
            out.push_sql(")");
            Ok(())
        };
        push_checked(out, self.name, bound, call, "0")
    }
}
