//! The batches that begin and end a transaction under a lock, and the sentinel inside it.
//!
//! Each statement of a batch costs the server as much as a round trip costs on a socket, so there
//! are as few as possible. Each assignment costs MySQL a few percent of a table lock, so several
//! values share one user variable.

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

/// The number of the batch that has saved these variables, 32 bits, and its `wait_timeout`. Minus
/// the scope's number after a transaction's end: see [`is_in_scope`].
const IDLE: &str = "@diesel_locks_idle";

/// How long the server waits for a request before it closes the connection, as it was before the
/// batch. Goes with the next one.
const SAVED_IDLE: &str = "@diesel_locks_idle & 4294967295";

/// In UTF-16 and UTF-32, messages of errors begin with a zero byte: Diesel takes them for empty,
/// and the error for none.
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
/// It is twice the scope's number, and what the session was: see [`enter_table_scope`] and
/// [`begin`]. It is negative under a transaction, and positive under a table lock.
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
/// MySQL refuses the first one (error 1568): without `SESSION` it is for the next transaction
/// alone, and gives it what it would have anyway. MariaDB refuses the value 2 or 3 (error 1231). On
/// MariaDB 10.11 an expression that fails by its value, such as a subquery of two rows, would not
/// do: if `KILL QUERY` strikes while it is evaluated, the assignments go on.
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

/// Returns whether the connection is in this scope, or has just left it by the last statement of
/// [`end`]: if a node of a Galera cluster refuses the commit, that statement fails, but has done
/// everything else.
pub(crate) fn is_in_scope(scope: ScopeId) -> String {
    let number = scope.number;
    format!("(ABS({SCOPE}) >> 1 & {} <=> {number} OR {IDLE} <=> -{number})", ScopeId::LAST)
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

/// Ends a transaction without a commit, whatever the session's `completion_type` says.
pub(crate) const ROLLBACK: &str = "ROLLBACK AND NO CHAIN NO RELEASE";

/// Unlocks tables. Commits, where the transaction was not ended before.
pub(crate) const UNLOCK: &str = "UNLOCK TABLES";

/// The copy of the session's idle limit, where that is changed for longer than a batch.
pub(super) const LONG_IDLE: Saved =
    Saved { copy: "@diesel_locks_long_idle", variable: "wait_timeout" };

/// Begins a transaction where none is open. If `idle` is given, the server closes the connection
/// once it has heard nothing for so many seconds.
///
/// Not `BEGIN`, which opens a block in MariaDB's `sql_mode = 'ORACLE'`.
///
/// Without autocommit, for two reasons. If the server rolls the transaction back before its end
/// (after a deadlock, or on a node of a Galera cluster, which may not report it), what follows
/// would be committed statement by statement. And [`end`] commits by switching autocommit on.
pub(crate) fn begin(scope: ScopeId, idle: Option<u64>) -> String {
    let (saved, idle) = match idle {
        Some(seconds) => {
            // The batch has changed the variable before.
            (format!(", {} = {SAVED_IDLE}", LONG_IDLE.copy), format!(", wait_timeout = {seconds}"))
        }
        None => (String::new(), String::new()),
    };
    format!(
        "{}; SET {}, {SCOPE} = -({} + @@autocommit){saved}; START TRANSACTION; {}; SET {}{idle}",
        begin_batch(Batch::Begin(scope)),
        refuse_open_and_switch_off(),
        scope.number << 1,
        savepoint(scope),
        end_batch()
    )
}

/// Ends it, if the savepoint is still there: something that ended the transaction has removed it.
///
/// Commits by `SET autocommit = 1`, which saves a statement, and which reports a commit that a node
/// of a Galera cluster refuses. MariaDB 10.11.19 does not report it for a `COMMIT` in a batch,
/// unless that is the last statement: of 1,507 that were reported as done while two nodes wrote the
/// same row, 253 were not. Of 944 commits by `SET`, none.
pub(crate) fn end(scope: ScopeId, ending: Ending, idle: Option<u64>) -> String {
    let end = match ending {
        Ending::Commit => "SET autocommit = 1".to_owned(),
        Ending::RollBack => format!("{ROLLBACK}; SET @diesel_locks = 0"),
    };
    let idle = idle.map_or_else(String::new, |_| {
        let long = LONG_IDLE.copy;
        format!(", wait_timeout = {long}, {long} = NULL")
    });
    format!(
        "{}; {}; {end}, autocommit = -{SCOPE} & 1, {}{idle}, {IDLE} = -{}, {SCOPE} = NULL",
        begin_batch(Batch::End(scope)),
        release_savepoint(scope),
        end_batch(),
        scope.number
    )
}

/// Leaves the scope after a failed batch; running it again changes nothing.
pub(crate) fn leave_scope(batch: Batch) -> String {
    let (begun, results, long) = (has_begun(batch), restored_results(batch), LONG_IDLE.copy);
    // As numbers: MySQL takes no decimals.
    format!(
        "SET wait_timeout = CAST(COALESCE({long}, IF({begun}, {SAVED_IDLE}, @@wait_timeout)) \
         AS SIGNED), {results}, {long} = NULL, \
         autocommit = CAST(IF({SCOPE} < 0, -{SCOPE} & 1, @@autocommit + 0) AS SIGNED), {SCOPE} = NULL"
    )
}
