//! `GET_LOCK`.

use std::time::Duration;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Double};

use super::{Named, guarded, into_nowhere, push_name};
use crate::name::FullName;
use crate::timeout::whole_seconds;

/// How long `GET_LOCK` is told to wait.
#[derive(Debug)]
enum ServerWait {
    Seconds(i64),
    /// The hint limits the wait on MySQL, which rounds the argument to whole seconds.
    Hinted {
        milliseconds: u32,
        seconds: f64,
        next_second: i64,
    },
}

/// `GET_LOCK`: one row where the lock was taken.
#[derive(Debug)]
pub(crate) struct Acquire<'n> {
    name: &'n FullName,
    wait: ServerWait,
}

impl<'n> Acquire<'n> {
    /// With the hint also a wait of whole seconds outlasts a session's `max_execution_time` on
    /// MySQL; a fraction always has it.
    pub(crate) fn new(name: &'n FullName, wait: Duration, hinted: bool) -> Self {
        let next_second = i64::try_from(whole_seconds(wait)).unwrap_or(i64::MAX);
        let wait = if wait.subsec_nanos() == 0 && !hinted {
            ServerWait::Seconds(next_second)
        } else {
            // Not 0, which would be no limit at all.
            let milliseconds = wait.as_nanos().div_ceil(1_000_000).max(1);
            ServerWait::Hinted {
                milliseconds: u32::try_from(milliseconds).unwrap_or(u32::MAX),
                seconds: wait.as_secs_f64(),
                next_second,
            }
        };
        Self { name, wait }
    }

    pub(crate) fn is_hinted(&self) -> bool {
        matches!(self.wait, ServerWait::Hinted { .. })
    }
}

impl QueryFragment<Mysql> for Acquire<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        match &self.wait {
            ServerWait::Seconds(_) => out.push_sql(concat!("SELECT ", into_nowhere!())),
            ServerWait::Hinted { milliseconds, .. } => {
                out.unsafe_to_cache_prepared();
                out.push_sql("SELECT /*+ MAX_EXECUTION_TIME(");
                out.push_sql(&milliseconds.to_string());
                out.push_sql(concat!(") */ ", into_nowhere!()));
            }
        }
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("GET_LOCK(");
            push_name(out.reborrow(), self.name)?;
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
        guarded(out.reborrow(), self.name.database(), call, "0")?;
        out.push_sql(" LIMIT 1");
        Ok(())
    }
}

impl Named for Acquire<'_> {
    type Any = Acquire<'static>;

    fn name(&self) -> &FullName {
        self.name
    }
}
