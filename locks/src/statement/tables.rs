//! Table locks: the batches that begin and end them.

/// Begins a transaction and locks tables in the one order in which InnoDB keeps both: autocommit
/// off, no `BEGIN` (which would release the tables).
/// <https://dev.mysql.com/doc/refman/8.4/en/lock-tables.html>
///
/// What the session was is not forgotten if a guard before this one was never ended.
pub(crate) fn begin(lock_tables: &str, wait_seconds: Option<u64>) -> String {
    // The second one is for locks that InnoDB holds without a metadata lock: where a transaction
    // elsewhere has checked a foreign key, or was prepared by XA.
    let wait = wait_seconds.map_or_else(String::new, |n| {
        format!(", lock_wait_timeout = {n}, innodb_lock_wait_timeout = {n}")
    });
    let saved = SESSION.map(|(saved, variable)| format!("{saved} = {}", saved_or(saved, variable)));
    format!(
        "{}; SET TRANSACTION READ WRITE; \
         SET {}, autocommit = 0, innodb_table_locks = 1{wait}; \
         {lock_tables}; {}",
        limit_idle(),
        saved.join(", "),
        restore_idle()
    )
}

/// Unlocks and puts the session back.
pub(crate) fn end() -> String {
    format!("{}; {UNLOCK}; {}", limit_idle(), restore())
}

/// Before each batch: how long the server waits for the next request before it closes the
/// connection.
///
/// If `KILL QUERY` strikes between two statements of a batch, MySQL 9.7 and MariaDB 10.11 and 11.8
/// end it without an answer: they wait for a request, and the client for an answer, until
/// `wait_timeout`, which is eight hours by default. This makes it five seconds.
fn limit_idle() -> String {
    let (saved, variable) = IDLE;
    format!("SET {saved} = {}, {variable} = 5", saved_or(saved, variable))
}

/// Ends what [`limit_idle`] began; running it again changes nothing.
pub(crate) fn restore_idle() -> String {
    put_back(&[IDLE])
}

const IDLE: (&str, &str) = ("@diesel_locks_idle", "wait_timeout");

/// Where a session's variables are saved meanwhile.
const SESSION: [(&str, &str); 4] = [
    ("@diesel_locks_autocommit", "autocommit"),
    ("@diesel_locks_table_locks", "innodb_table_locks"),
    ("@diesel_locks_wait", "lock_wait_timeout"),
    ("@diesel_locks_innodb_wait", "innodb_lock_wait_timeout"),
];

/// As a number: MariaDB's `COALESCE` would make `ON` of a 1, and MySQL takes no decimals.
fn saved_or(saved: &str, variable: &str) -> String {
    format!("CAST(COALESCE({saved}, @@{variable} + 0) AS SIGNED)")
}

/// What to select to learn whether the session's variables were changed and are still to be put
/// back, and which limit is in force.
pub(crate) const STATE: (&str, &str) =
    ("@diesel_locks_autocommit IS NOT NULL", "CAST(@@lock_wait_timeout AS UNSIGNED) LIMIT 1");

/// Unlocks. Commits, where the transaction was not ended before.
pub(crate) const UNLOCK: &str = "UNLOCK TABLES";

/// Puts the session back to what it was; running it again changes nothing.
pub(crate) fn restore() -> String {
    let [a, b, c, d] = SESSION;
    put_back(&[a, b, c, d, IDLE])
}

fn put_back(variables: &[(&str, &str)]) -> String {
    let back = variables
        .iter()
        .map(|(saved, variable)| format!("{variable} = {}", saved_or(saved, variable)));
    let forgotten = variables.iter().map(|(saved, _)| format!("{saved} = NULL"));
    format!("SET {}", back.chain(forgotten).collect::<Vec<_>>().join(", "))
}
