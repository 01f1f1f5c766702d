//! The batches that begin and end a transaction under a lock, and the sentinel inside it.
//!
//! Each statement of a batch costs the server as much as a round trip costs on a socket, so there are
//! as few as possible.

use std::fmt::Write as _;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;

use super::{Statement, Text, Texts, cached_by_text};

/// A variable of the session, and the user variable that keeps its value for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved {
    pub(super) copy: &'static str,
    pub(super) variable: &'static str,
}

/// How long the server waits for a request before it closes the connection.
const IDLE: Saved = Saved { copy: "@diesel_locks_idle", variable: "wait_timeout" };

/// In UTF-16 and UTF-32, messages of errors begin with a zero byte: Diesel takes them for empty, and
/// the error for none.
const RESULTS: Saved = Saved { copy: "@diesel_locks_results", variable: "character_set_results" };

/// The character set in which names are read.
pub(super) const CLIENT: Saved =
    Saved { copy: "@diesel_locks_client", variable: "character_set_client" };

/// While tables are locked, and in fenced transactions.
pub(super) const AUTOCOMMIT: Saved =
    Saved { copy: "@diesel_locks_autocommit", variable: "autocommit" };

/// Variables that are changed during each batch only.
pub(super) const BATCH: [Saved; 2] = [IDLE, RESULTS];

/// How many seconds a connection may be idle during a batch.
///
/// If `KILL QUERY` strikes between two statements of a batch, MySQL 9.7 and MariaDB 10.11 and 11.8
/// end it without an answer: they wait for a request, and the client for an answer, until
/// `wait_timeout`, which is eight hours by default.
const IDLE_SECONDS: u64 = 5;

/// Says which scope a connection is in, so that the end of it is not run on another connection. It
/// is NULL outside of scopes, and less than zero where only the commit is to come.
pub(super) const SCOPE: &str = "@diesel_locks_scope";

/// Assignments that save variables.
pub(super) fn save(variables: &[Saved]) -> String {
    assignments(variables, |saved| format!("{} = @@{}", saved.copy, saved.variable))
}

/// Assignments that set saved variables back, and forget what was saved.
pub(super) fn put_back(variables: &[Saved]) -> String {
    let back = assignments(variables, |saved| format!("{} = {}", saved.variable, saved.copy));
    let forgotten = assignments(variables, |saved| format!("{} = NULL", saved.copy));
    format!("{back}, {forgotten}")
}

/// The same for what may not have been saved: then nothing is changed.
pub(super) fn put_back_if_saved(variables: &[Saved]) -> String {
    let back = assignments(variables, |Saved { copy, variable }| {
        if variable.starts_with("character_set") {
            format!("{variable} = COALESCE({copy}, @@{variable})")
        } else {
            // As a number: MariaDB's `COALESCE` would turn `ON` into a 1, and MySQL takes no decimals.
            format!("{variable} = CAST(COALESCE({copy}, @@{variable} + 0) AS SIGNED)")
        }
    });
    let forgotten = assignments(variables, |saved| format!("{} = NULL", saved.copy));
    format!("{back}, {forgotten}")
}

fn assignments(variables: &[Saved], assignment: impl Fn(&Saved) -> String) -> String {
    let mut sql = String::new();
    for saved in variables {
        if !sql.is_empty() {
            sql.push_str(", ");
        }
        // Writing to a string cannot fail.
        let _ = write!(sql, "{}", assignment(saved));
    }
    sql
}

/// Goes before each batch: limits how long a batch can hang, and makes errors readable.
pub(super) fn begin_batch() -> String {
    format!("SET {}, wait_timeout = {IDLE_SECONDS}, character_set_results = NULL", save(&BATCH))
}

/// Ends what [`begin_batch`] began, after a batch that failed; running it again changes nothing.
pub(crate) fn end_batch() -> String {
    format!("SET {}", put_back_if_saved(&BATCH))
}

/// Assignments that fail if a transaction is open, even one that Diesel never saw. Nothing of their
/// `SET` is done then.
///
/// MySQL refuses the first one (error 1568): without `SESSION` it is for the next transaction alone,
/// and gives it what it would have anyway. MariaDB refuses the value 2 (error 1231). On MariaDB 10.11
/// an expression that fails by its value, such as a subquery of two rows, would not do: if `KILL QUERY`
/// strikes while it is evaluated, the assignments go on.
pub(super) const REFUSE_OPEN: &str = "@diesel_locks = 0 \
     /*!50720 , @@transaction_read_only = @@SESSION.transaction_read_only */ \
     /*M!100000 , autocommit = IF(@@in_transaction, 2, @@autocommit) */";

/// The same, and switches autocommit off. Also fails if the session is still in a scope, because a
/// guard was forgotten.
pub(super) fn refuse_open_and_switch_off() -> String {
    format!(
        "autocommit = IF({SCOPE} > 0 /*M!100000 OR @@in_transaction */, 2, 0) \
         /*!50720 , @@transaction_read_only = @@SESSION.transaction_read_only */"
    )
}

/// Fails if a transaction is open.
pub(crate) fn probe_open() -> String {
    format!("SET {REFUSE_OPEN}")
}

pub(super) fn enter_scope(scope: u64) -> String {
    format!("{SCOPE} = {scope}")
}

/// Whether the connection is in this scope.
pub(crate) fn is_in_scope(scope: u64) -> String {
    format!("ABS({SCOPE}) <=> {scope}")
}

pub(super) fn savepoint(scope: u64) -> String {
    format!("SAVEPOINT diesel_locks_{scope}")
}

pub(super) fn release_savepoint(scope: u64) -> String {
    format!("RELEASE SAVEPOINT diesel_locks_{scope}")
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Commit,
    RollBack,
}

impl Ending {
    /// Whatever the session's `completion_type` says.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Commit => "COMMIT AND NO CHAIN NO RELEASE",
            Self::RollBack => ROLLBACK,
        }
    }
}

/// Ends a transaction without a commit, whatever the session's `completion_type` says.
pub(crate) const ROLLBACK: &str = "ROLLBACK AND NO CHAIN NO RELEASE";

/// Unlocks tables. Commits, where the transaction was not ended before.
pub(crate) const UNLOCK: &str = "UNLOCK TABLES";

/// The idle limit of the session, where it is changed for longer than a batch.
pub(super) const LONG_IDLE: [Saved; 1] =
    [Saved { copy: "@diesel_locks_long_idle", variable: "wait_timeout" }];

/// Begins a transaction where none is open.
///
/// Not `BEGIN`, which opens a block in MariaDB's `sql_mode = 'ORACLE'`.
pub(crate) fn begin(scope: u64) -> String {
    format!(
        "{}; SET {REFUSE_OPEN}, {}; START TRANSACTION; {}; SET {}",
        begin_batch(),
        enter_scope(scope),
        savepoint(scope),
        put_back(&BATCH)
    )
}

/// Begins a fenced transaction, in which the session may be idle for so many seconds.
///
/// Without autocommit: a node of a Galera cluster may roll a transaction back and not report it (MariaDB
/// 10.11.19), and what follows would then be committed statement by statement, unfenced.
pub(crate) fn begin_fenced(scope: u64, idle: Option<u64>) -> String {
    let (saved, idle) = match idle {
        Some(seconds) => {
            // The batch has changed the variable before.
            let saved = format!("{} = {}, ", LONG_IDLE[0].copy, IDLE.copy);
            (saved, format!(", wait_timeout = {seconds}"))
        }
        None => (String::new(), String::new()),
    };
    format!(
        "{}; SET {saved}{}, {}, {}; START TRANSACTION; {}; SET {}{idle}",
        begin_batch(),
        save(&[AUTOCOMMIT]),
        refuse_open_and_switch_off(),
        enter_scope(scope),
        savepoint(scope),
        put_back(&BATCH)
    )
}

/// Ends it, if the savepoint is still there: something that ended the transaction has removed it.
pub(crate) fn end(scope: u64, ending: Ending) -> String {
    format!(
        "{}; {}; {}; SET {}, {SCOPE} = NULL",
        begin_batch(),
        release_savepoint(scope),
        ending.sql(),
        put_back(&BATCH)
    )
}

/// Rolls a fenced transaction back, in the same way.
pub(crate) fn roll_back_fenced(scope: u64) -> String {
    let (long, idle) = (LONG_IDLE[0].copy, IDLE.copy);
    format!(
        "{}; {}; {ROLLBACK}; \
         SET wait_timeout = CAST(COALESCE({long}, {idle}) AS SIGNED), {long} = NULL, {idle} = NULL, \
         {}, {SCOPE} = NULL",
        begin_batch(),
        release_savepoint(scope),
        put_back(&[RESULTS, AUTOCOMMIT])
    )
}

/// The same up to the commit, which is then sent alone.
pub(crate) fn end_fenced(scope: u64) -> String {
    format!(
        "{}; {}; SET {}, {SCOPE} = -{scope}",
        begin_batch(),
        release_savepoint(scope),
        put_back(&BATCH)
    )
}

/// The commit of a fenced transaction, which is sent alone.
///
/// A node of a Galera cluster (MariaDB 10.11.19) that refuses a commit does not report it if the commit
/// is in a batch, and not its last statement: 16 of 363 commits that were reported as done were not, while
/// two nodes wrote the same row. Of 674 that were sent alone, none.
#[derive(Debug)]
pub(crate) struct Commit(Text);

impl Commit {
    pub(crate) fn new() -> Self {
        static TEXTS: Texts = Texts::new();
        Self(TEXTS.current())
    }
}

impl QueryFragment<Mysql> for Commit {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(Ending::Commit.sql());
        self.0.push_end(&mut out);
        Ok(())
    }
}

impl Statement for Commit {
    fn text(&self) -> Option<Text> {
        Some(self.0)
    }
}

/// Leaves the scope after a failure; running it again changes nothing.
pub(crate) fn leave_scope() -> String {
    format!("{}, {SCOPE} = NULL", end_batch())
}

/// Puts back what a fenced transaction has changed, after its commit.
#[derive(Debug)]
pub(crate) struct LeaveFenced(Text);

impl LeaveFenced {
    pub(crate) fn new() -> Self {
        static TEXTS: Texts = Texts::new();
        Self(TEXTS.current())
    }
}

impl QueryFragment<Mysql> for LeaveFenced {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(&leave_fenced_scope());
        self.0.push_end(&mut out);
        Ok(())
    }
}

impl Statement for LeaveFenced {
    fn text(&self) -> Option<Text> {
        Some(self.0)
    }
}

cached_by_text!(Commit, LeaveFenced);

/// Leaves the scope of a fenced transaction; running it again changes nothing.
pub(crate) fn leave_fenced_scope() -> String {
    let (long, idle) = (LONG_IDLE[0].copy, IDLE.copy);
    format!(
        "SET wait_timeout = CAST(COALESCE({long}, {idle}, @@wait_timeout + 0) AS SIGNED), \
         {long} = NULL, {idle} = NULL, {}, {SCOPE} = NULL",
        put_back_if_saved(&[RESULTS, AUTOCOMMIT])
    )
}
