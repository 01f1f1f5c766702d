//! The batches that begin and end a transaction under a lock, and the sentinel inside it.
//!
//! Each statement of a batch costs the server as much as a round trip costs on a socket, so there are
//! as few as possible. Each assignment costs MySQL a few percent of a table lock, so several values
//! share one user variable.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;

use super::{Statement, Text, Texts, cached_by_text};

/// A transaction under a lock, or a lock on tables, from its beginning to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScopeId {
    /// From 1 to [`LAST`](Self::LAST). A billion scopes later another one has it, too.
    pub(crate) number: u64,
    /// Ends the name of the savepoint. No other open scope has it.
    pub(crate) savepoint: u64,
}

impl ScopeId {
    /// The last number.
    pub(crate) const LAST: u64 = (1 << 30) - 1;
}

/// One of the batches of a scope.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Batch {
    Begin(ScopeId),
    End(ScopeId),
}

impl Batch {
    /// Fits into 31 bits.
    fn number(self) -> u64 {
        match self {
            Self::Begin(scope) => scope.number << 1,
            Self::End(scope) => scope.number << 1 | 1,
        }
    }
}

/// A variable of the session, and the user variable that keeps its value for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved {
    pub(super) copy: &'static str,
    pub(super) variable: &'static str,
}

/// The number of the batch that has saved these variables, 32 bits, and its `wait_timeout`.
const IDLE: &str = "@diesel_locks_idle";

/// How long the server waits for a request before it closes the connection, as it was before the
/// batch. Goes with the next one.
const SAVED_IDLE: &str = "@diesel_locks_idle & 4294967295";

/// In UTF-16 and UTF-32, messages of errors begin with a zero byte: Diesel takes them for empty, and
/// the error for none.
const RESULTS: Saved = Saved { copy: "@diesel_locks_results", variable: "character_set_results" };

/// How many seconds a connection may be idle during a batch.
///
/// If `KILL QUERY` strikes between two statements of a batch, MySQL 9.7 and MariaDB 10.11 and 11.8
/// end it without an answer: they wait for a request, and the client for an answer, until
/// `wait_timeout`, which is eight hours by default.
const IDLE_SECONDS: u64 = 5;

/// Says which scope a connection is in, so that the end of it is not run on another connection. It
/// is NULL outside of scopes.
///
/// Under a transaction it is minus twice the scope's number. Under a table lock it is twice the
/// number, and what the session was: see [`enter_table_scope`].
pub(super) const SCOPE: &str = "@diesel_locks_scope";

/// The bit of [`SCOPE`] from which on `innodb_table_locks` is kept.
const TABLE_LOCKS_BIT: u64 = 40;

/// Assignments that save a variable that may not be saved by a batch.
pub(super) fn save(Saved { copy, variable }: Saved) -> String {
    format!("{copy} = @@{variable}")
}

/// An assignment that sets a saved variable back.
pub(super) fn put_back(Saved { copy, variable }: Saved) -> String {
    format!("{variable} = {copy}")
}

/// Assignments that save variables for longer than a batch.
pub(super) fn save_all(variables: &[Saved]) -> String {
    variables.iter().map(|saved| save(*saved)).collect::<Vec<_>>().join(", ")
}

/// Assignments that put back what may have been saved so, and forget it.
pub(super) fn put_back_if_saved(variables: &[Saved]) -> String {
    let back = variables.iter().map(|Saved { copy, variable }| {
        if variable.starts_with("character_set") {
            format!("{variable} = COALESCE({copy}, @@{variable}), {copy} = NULL")
        } else {
            // As a number: MySQL takes no decimals.
            format!("{variable} = CAST(COALESCE({copy}, @@{variable}) AS SIGNED), {copy} = NULL")
        }
    });
    back.collect::<Vec<_>>().join(", ")
}

/// The character set in which names are read.
pub(super) const CLIENT: Saved =
    Saved { copy: "@diesel_locks_client", variable: "character_set_client" };

/// Goes before each batch: limits how long a batch can hang, and makes errors readable.
pub(super) fn begin_batch(batch: Batch) -> String {
    let Saved { copy, variable } = RESULTS;
    format!(
        "SET {IDLE} = {} + @@wait_timeout, {copy} = @@{variable}, \
         wait_timeout = {IDLE_SECONDS}, {variable} = NULL",
        batch.number() << 32
    )
}

/// Assignments that go after each batch.
pub(super) fn end_batch() -> String {
    format!("wait_timeout = {SAVED_IDLE}, {}", put_back(RESULTS))
}

/// The same after a batch that failed, if it had begun; running it again changes nothing.
pub(crate) fn restore_batch(batch: Batch) -> String {
    let (begun, results) = (has_begun(batch), restored_results(batch));
    // As a number: MySQL takes no decimals.
    format!(
        "SET wait_timeout = CAST(IF({begun}, {SAVED_IDLE}, @@wait_timeout) AS SIGNED), {results}"
    )
}

fn has_begun(batch: Batch) -> String {
    format!("{IDLE} >> 32 = {}", batch.number())
}

fn restored_results(batch: Batch) -> String {
    let Saved { copy, variable } = RESULTS;
    format!("{variable} = IF({}, {copy}, @@{variable})", has_begun(batch))
}

/// Assignments that fail if a transaction is open, even one that Diesel never saw. Nothing of their
/// `SET` is done then. They go after another assignment.
///
/// MySQL refuses the first one (error 1568): without `SESSION` it is for the next transaction alone,
/// and gives it what it would have anyway. MariaDB refuses the value 2 or 3 (error 1231). On MariaDB
/// 10.11 an expression that fails by its value, such as a subquery of two rows, would not do: if
/// `KILL QUERY` strikes while it is evaluated, the assignments go on.
pub(super) const REFUSE_OPEN: &str = "/*!50720 , @@transaction_read_only = @@SESSION.transaction_read_only */ \
     /*M!100000 , autocommit = 2 * @@in_transaction + @@autocommit */";

/// The same, and switches autocommit off. Also fails if the session is still in a scope, because a
/// guard was forgotten.
pub(super) fn refuse_open_and_switch_off() -> String {
    format!(
        "autocommit = 2 * ({SCOPE} IS NOT NULL /*M!100000 OR @@in_transaction */) \
         /*!50720 , @@transaction_read_only = @@SESSION.transaction_read_only */"
    )
}

/// Fails if a transaction is open.
pub(crate) fn probe_open() -> String {
    format!("SET @diesel_locks = 0 {REFUSE_OPEN}")
}

/// Assignments that enter a scope whose tables are locked, and keep `autocommit` and
/// `innodb_table_locks`, which are changed under it.
pub(super) fn enter_table_scope(scope: ScopeId) -> String {
    format!(
        "innodb_table_locks = 1, {SCOPE} = {} + @@autocommit \
         + (@@innodb_table_locks << {TABLE_LOCKS_BIT})",
        scope.number << 1
    )
}

/// Assignments that put both back.
pub(super) fn leave_table_scope() -> String {
    format!("autocommit = {SCOPE} & 1, innodb_table_locks = {SCOPE} >> {TABLE_LOCKS_BIT}")
}

/// The same if the connection is in such a scope; running it again after `SCOPE = NULL` changes
/// nothing.
pub(super) fn leave_any_table_scope() -> String {
    // As numbers: in MariaDB's `IF`, `ON` would be a text, and MySQL takes no decimals.
    format!(
        "autocommit = CAST(IF({SCOPE} > 0, {SCOPE} & 1, @@autocommit + 0) AS SIGNED), \
         innodb_table_locks = CAST(IF({SCOPE} > 0, {SCOPE} >> {TABLE_LOCKS_BIT}, \
         @@innodb_table_locks + 0) AS SIGNED)"
    )
}

/// Whether the connection is in this scope.
pub(crate) fn is_in_scope(scope: ScopeId) -> String {
    format!("ABS({SCOPE}) >> 1 & {} <=> {}", ScopeId::LAST, scope.number)
}

/// MySQL keeps a digest of every statement that it has seen, the names of savepoints included. So
/// names are used again.
pub(super) fn savepoint(scope: ScopeId) -> String {
    format!("SAVEPOINT diesel_locks_{}", scope.savepoint)
}

pub(super) fn release_savepoint(scope: ScopeId) -> String {
    format!("RELEASE {}", savepoint(scope))
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

/// The copy of the session's idle limit, where that is changed for longer than a batch.
pub(super) const LONG_IDLE: Saved =
    Saved { copy: "@diesel_locks_long_idle", variable: "wait_timeout" };

/// The session's own `autocommit`, during a fenced transaction.
const AUTOCOMMIT: &str = "@diesel_locks_autocommit";

/// Begins a transaction where none is open.
///
/// Not `BEGIN`, which opens a block in MariaDB's `sql_mode = 'ORACLE'`.
pub(crate) fn begin(scope: ScopeId) -> String {
    format!(
        "{}; SET {SCOPE} = -{} {REFUSE_OPEN}; START TRANSACTION; {}; SET {}",
        begin_batch(Batch::Begin(scope)),
        scope.number << 1,
        savepoint(scope),
        end_batch()
    )
}

/// Ends it, if the savepoint is still there: something that ended the transaction has removed it.
pub(crate) fn end(scope: ScopeId, ending: Ending) -> String {
    format!(
        "{}; {}; {}; SET {}, {SCOPE} = NULL",
        begin_batch(Batch::End(scope)),
        release_savepoint(scope),
        ending.sql(),
        end_batch()
    )
}

/// Begins a fenced transaction, in which the session may be idle for so many seconds.
///
/// Without autocommit: a node of a Galera cluster may roll a transaction back and not report it (MariaDB
/// 10.11.19), and what follows would then be committed statement by statement, unfenced.
pub(crate) fn begin_fenced(scope: ScopeId, idle: Option<u64>) -> String {
    let (saved, idle) = match idle {
        Some(seconds) => {
            // The batch has changed the variable before.
            (format!("{} = {SAVED_IDLE}, ", LONG_IDLE.copy), format!(", wait_timeout = {seconds}"))
        }
        None => (String::new(), String::new()),
    };
    format!(
        "{}; SET {saved}{AUTOCOMMIT} = @@autocommit, {}, {SCOPE} = -{}; START TRANSACTION; {}; \
         SET {}{idle}",
        begin_batch(Batch::Begin(scope)),
        refuse_open_and_switch_off(),
        scope.number << 1,
        savepoint(scope),
        end_batch()
    )
}

/// Rolls a fenced transaction back, if the savepoint is still there.
pub(crate) fn roll_back_fenced(scope: ScopeId) -> String {
    let long = LONG_IDLE.copy;
    format!(
        "{}; {}; {ROLLBACK}; \
         SET wait_timeout = CAST(COALESCE({long}, {SAVED_IDLE}) AS SIGNED), \
         {long} = NULL, {}, autocommit = {AUTOCOMMIT}, {AUTOCOMMIT} = NULL, {SCOPE} = NULL",
        begin_batch(Batch::End(scope)),
        release_savepoint(scope),
        put_back(RESULTS)
    )
}

/// Ends a fenced transaction up to the commit, which is then sent alone, and [`LeaveFenced`].
pub(crate) fn end_fenced(scope: ScopeId) -> String {
    format!("{}; {}; SET {}", begin_batch(Batch::End(scope)), release_savepoint(scope), end_batch())
}

/// The commit of a fenced transaction, which is sent alone.
///
/// A node of a Galera cluster (MariaDB 10.11.19) that refuses a commit does not report it if the commit
/// is in a batch, and not its last statement: of 363 commits that were reported as done, 16 were not,
/// while two nodes wrote the same row. Of 1,713 that were sent alone, none.
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

/// Puts back what a fenced transaction has changed, after its commit; running it again changes nothing.
#[derive(Debug)]
pub(crate) struct LeaveFenced(Text);

impl LeaveFenced {
    pub(crate) const SQL: &str = "SET \
         wait_timeout = CAST(COALESCE(@diesel_locks_long_idle, @@wait_timeout) AS SIGNED), \
         @diesel_locks_long_idle = NULL, \
         autocommit = CAST(COALESCE(@diesel_locks_autocommit, @@autocommit + 0) AS SIGNED), \
         @diesel_locks_autocommit = NULL, @diesel_locks_scope = NULL";

    pub(crate) fn new() -> Self {
        static TEXTS: Texts = Texts::new();
        Self(TEXTS.current())
    }
}

impl QueryFragment<Mysql> for LeaveFenced {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(Self::SQL);
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

/// The same after a failed batch; running it again changes nothing.
pub(crate) fn leave_fenced_scope(batch: Batch) -> String {
    let (begun, results, long) = (has_begun(batch), restored_results(batch), LONG_IDLE.copy);
    format!(
        "SET wait_timeout = CAST(COALESCE({long}, IF({begun}, {SAVED_IDLE}, @@wait_timeout)) \
         AS SIGNED), {results}, {long} = NULL, \
         autocommit = CAST(COALESCE({AUTOCOMMIT}, @@autocommit + 0) AS SIGNED), \
         {AUTOCOMMIT} = NULL, {SCOPE} = NULL"
    )
}

/// Leaves the scope after a failed batch; running it again changes nothing.
pub(crate) fn leave_scope(batch: Batch) -> String {
    format!("{}, {SCOPE} = NULL", restore_batch(batch))
}
