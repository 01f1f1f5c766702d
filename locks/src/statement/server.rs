//! The server itself: its variables, and where it lists locks.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{Binary, Bool, Nullable};

use super::{Statement, Text, Texts, cached_by_text};

/// A fact and its value. As bytes: what a session has chosen for its results does not apply to
/// them, and not all that a server lists is text.
pub(crate) type VariableRow = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Variables that are no variables; with a space, so that they cannot be taken for one.
pub(crate) mod pseudo {
    pub(crate) const PLUGIN: &str = "the plugin";
    pub(crate) const READABLE: &str = "a table";
    pub(crate) const INSTRUMENT: &str = "the instrument";
    pub(crate) const CONSUMER: &str = "the consumer";
    pub(crate) const MEMBER: &str = "a member";
}

macro_rules! variables {
    () => {
        "('version', 'version_comment', 'innodb_table_locks', 'innodb_deadlock_detect', \
          'lower_case_table_names', 'log_bin', 'binlog_format', 'read_only', 'super_read_only', \
          'innodb_read_only', 'performance_schema', 'wsrep_on', 'group_replication_group_name', \
          'group_replication_single_primary_mode')"
    };
}

/// What every user may read. Each server runs its own of the two comments, so that one statement
/// serves both. <https://dev.mysql.com/doc/refman/8.4/en/comments.html>,
/// <https://mariadb.com/docs/server/reference/sql-structure/comment-syntax>
const PLAIN: &str = concat!(
    "SELECT CAST(VARIABLE_NAME AS BINARY), CAST(VARIABLE_VALUE AS BINARY) FROM \
     /*!80000 performance_schema.global_variables */ \
     /*M!100000 information_schema.GLOBAL_VARIABLES */ WHERE VARIABLE_NAME IN ",
    variables!(),
    " UNION ALL SELECT _binary 'the plugin', CAST(PLUGIN_NAME AS BINARY) \
      FROM information_schema.PLUGINS \
      WHERE PLUGIN_NAME = 'METADATA_LOCK_INFO' AND PLUGIN_STATUS = 'ACTIVE' \
      UNION ALL SELECT _binary 'always a row', _binary ''"
);

/// Which tables the user may read: they are in this list. On MySQL it comes from tables of InnoDB,
/// and with autocommit off a query of it begins a transaction.
const READABLE: &str = " UNION ALL SELECT _binary 'a table', CAST(TABLE_NAME AS BINARY) \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'performance_schema' \
     AND TABLE_NAME IN ('metadata_locks', 'threads', 'setup_instruments', 'setup_consumers')";

/// What only users with privileges on `performance_schema` may read. The privileges for a whole
/// statement are checked before any of it is run, so this is another one.
const PRIVILEGED: &str = " UNION ALL SELECT _binary 'a table', _binary 'metadata_locks' \
     FROM (SELECT COUNT(*) FROM performance_schema.metadata_locks WHERE FALSE) AS readable \
     UNION ALL SELECT _binary 'a table', _binary 'threads' \
     FROM (SELECT COUNT(*) FROM performance_schema.threads WHERE FALSE) AS readable \
     UNION ALL SELECT _binary 'a table', _binary 'setup_instruments' \
     UNION ALL SELECT _binary 'a table', _binary 'setup_consumers' \
     UNION ALL SELECT _binary 'the instrument', \
     CAST(ENABLED AS BINARY) FROM performance_schema.setup_instruments \
     WHERE NAME = 'wait/lock/metadata/sql/mdl' \
     UNION ALL SELECT _binary 'the consumer', CAST(ENABLED AS BINARY) \
     FROM performance_schema.setup_consumers WHERE NAME = 'global_instrumentation' \
     /*!80000 UNION ALL SELECT _binary 'a member', \
     CAST(CONCAT(IF(MEMBER_ID = @@server_uuid, 'this', 'other'), ' ', MEMBER_STATE, ' ', MEMBER_ROLE) \
     AS BINARY) FROM performance_schema.replication_group_members */";

/// A session's `sql_select_limit` may be smaller than the answer.
pub(crate) const ALL_ROWS: &str = " LIMIT 18446744073709551615";

/// Works where the others do not: while tables are locked, without `performance_schema`, and on
/// third-party servers.
const SHOW: &str = concat!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ", variables!());

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Privileged,
    Unprivileged,
    /// Without what begins a transaction.
    Plain,
    VariablesOnly,
}

static TEXTS: Texts = Texts::new();

/// What server this is. Cached, to cost one round trip.
#[derive(Debug)]
pub(crate) struct InspectServer {
    extent: Extent,
    text: Text,
    retires: bool,
}

impl InspectServer {
    /// To be run before it is known whether the user has the privileges. A missing one is reported
    /// when the statement is prepared, so Diesel never caches it, and its text need not be retired.
    /// After any other failure the caller retires the text that is returned.
    pub(crate) fn guess() -> (Self, Text) {
        let guess = Self { retires: false, ..Self::privileged() };
        let text = guess.text;
        (guess, text)
    }

    pub(crate) fn privileged() -> Self {
        Self { extent: Extent::Privileged, text: TEXTS.current(), retires: true }
    }

    pub(crate) fn unprivileged() -> Self {
        Self { extent: Extent::Unprivileged, text: TEXTS.current(), retires: true }
    }

    pub(crate) fn plain() -> Self {
        Self { extent: Extent::Plain, text: TEXTS.current(), retires: true }
    }

    pub(crate) fn variables_only() -> Self {
        Self { extent: Extent::VariablesOnly, text: TEXTS.uncached(), retires: true }
    }
}

impl QueryFragment<Mysql> for InspectServer {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        match self.extent {
            Extent::Privileged => {
                out.push_sql(PLAIN);
                out.push_sql(PRIVILEGED);
                out.push_sql(ALL_ROWS);
            }
            Extent::Unprivileged => {
                out.push_sql(PLAIN);
                out.push_sql(READABLE);
                out.push_sql(ALL_ROWS);
            }
            Extent::Plain => {
                out.push_sql(PLAIN);
                out.push_sql(ALL_ROWS);
            }
            Extent::VariablesOnly => out.push_sql(SHOW),
        }
        self.text.push_end(&mut out);
        Ok(())
    }
}

impl Query for InspectServer {
    type SqlType = (Nullable<Binary>, Nullable<Binary>);
}

impl Statement for InspectServer {
    fn text(&self) -> Option<Text> {
        self.retires.then_some(self.text)
    }
}

/// Whether autocommit is on. This query begins no transaction.
#[derive(Debug)]
pub(crate) struct Autocommit(Text);

impl Autocommit {
    pub(crate) fn new() -> Self {
        static TEXTS: Texts = Texts::new();
        Self(TEXTS.current())
    }
}

impl QueryFragment<Mysql> for Autocommit {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT @@autocommit = 1 LIMIT 1");
        self.0.push_end(&mut out);
        Ok(())
    }
}

impl Query for Autocommit {
    type SqlType = Bool;
}

impl Statement for Autocommit {
    fn text(&self) -> Option<Text> {
        Some(self.0)
    }
}

cached_by_text!(InspectServer, Autocommit);
