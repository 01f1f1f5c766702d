//! The batches that begin and end a transaction under a lock, and the sentinel inside it.

use std::fmt::Write as _;

/// How many seconds a connection may be idle during a batch.
///
/// If `KILL QUERY` strikes between two statements of a batch, MySQL 9.7 and MariaDB 10.11 and 11.8
/// end it without an answer: they wait for a request, and the client for an answer, until
/// `wait_timeout`, which is eight hours by default.
const IDLE_SECONDS: u64 = 5;

/// A variable of the session, and the user variable that keeps its value during a scope or a batch.
pub(super) struct Saved {
    pub(super) copy: &'static str,
    pub(super) variable: &'static str,
    /// Whether it has the name of a character set, and not a number.
    pub(super) is_charset: bool,
}

/// Variables that are changed during each batch only.
const BATCH: [Saved; 2] = [
    Saved { copy: "@diesel_locks_idle", variable: "wait_timeout", is_charset: false },
    // In UTF-16 and UTF-32, messages of errors begin with a zero byte: Diesel takes them for empty,
    // and the error for none.
    Saved { copy: "@diesel_locks_results", variable: "character_set_results", is_charset: true },
];

/// Says which scope a connection is in, so that the end of it is not run on another connection.
const SCOPE: &str = "@diesel_locks_scope";

impl Saved {
    /// What `copy` is set to. Nothing is forgotten if a batch before this one never ended.
    pub(super) fn saved(&self) -> String {
        let Self { copy, variable, is_charset } = self;
        if *is_charset {
            // `character_set_results` may be NULL, and the copy says so with an empty text.
            format!("{copy} = COALESCE({copy}, @@{variable}, '')")
        } else {
            // As a number: MariaDB's `COALESCE` would turn `ON` into a 1, and MySQL takes no decimals.
            format!("{copy} = CAST(COALESCE({copy}, @@{variable} + 0) AS SIGNED)")
        }
    }

    fn put_back(&self) -> String {
        let Self { copy, variable, is_charset } = self;
        if *is_charset {
            format!("{variable} = IF({copy} IS NULL, @@{variable}, NULLIF({copy}, ''))")
        } else {
            format!("{variable} = CAST(COALESCE({copy}, @@{variable} + 0) AS SIGNED)")
        }
    }
}

/// Sets saved variables back to what they were; running it again changes nothing.
pub(super) fn put_back<'s>(saved: impl IntoIterator<Item = &'s Saved> + Clone) -> String {
    let mut sql = String::from("SET ");
    for saved in saved.clone() {
        let _ = write!(sql, "{}, ", saved.put_back());
    }
    for saved in saved {
        let _ = write!(sql, "{} = NULL, ", saved.copy);
    }
    sql.truncate(sql.len() - 2);
    sql
}

/// Goes before each batch: limits how long a batch can hang, and makes errors readable.
pub(super) fn begin_batch() -> String {
    let [idle, results] = BATCH;
    format!(
        "SET {}, {}, wait_timeout = {IDLE_SECONDS}, character_set_results = NULL",
        idle.saved(),
        results.saved()
    )
}

/// Ends what [`begin_batch`] began.
pub(crate) fn end_batch() -> String {
    put_back(&BATCH)
}

pub(super) fn batch_variables() -> [Saved; 2] {
    BATCH
}

/// A part of a `SET` that fails if any transaction is open, even one that Diesel never saw. MySQL
/// refuses the assignment (error 1568): without `SESSION` it is for the next transaction alone, and
/// gives it what it would have anyway. MariaDB refuses the value 2 (error 1231). Nothing of the
/// statement is done then.
///
/// On MariaDB a subquery of two rows would not do: if `KILL QUERY` strikes while it is evaluated, the
/// statement sometimes succeeds. Measured on 10.11.19.
pub(super) const REFUSE_OPEN: &str = "@diesel_locks = 0 \
     /*!50720 , @@transaction_read_only = @@SESSION.transaction_read_only */ \
     /*M!100000 , autocommit = IF(@@in_transaction, 2, @@autocommit) */";

pub(super) fn enter_scope(scope: u64) -> String {
    format!("{SCOPE} = {scope}")
}

/// Whether the connection is in this scope.
pub(crate) fn is_in_scope(scope: u64) -> String {
    format!("{SCOPE} <=> {scope}")
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

/// Begins a transaction where none is open.
///
/// Not `BEGIN`, which opens a block in MariaDB's `sql_mode = 'ORACLE'`.
pub(crate) fn begin(scope: u64) -> String {
    format!(
        "{}; SET {REFUSE_OPEN}, {}; START TRANSACTION; {}; {}",
        begin_batch(),
        enter_scope(scope),
        savepoint(scope),
        end_batch()
    )
}

/// Ends it, if the savepoint is still there: something that ended the transaction has removed it.
pub(crate) fn end(scope: u64, ending: Ending) -> String {
    format!("{}; {}; {}; {}", begin_batch(), release_savepoint(scope), ending.sql(), end_batch())
}
