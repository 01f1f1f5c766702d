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
        "SET TRANSACTION READ WRITE; \
         SET {}, autocommit = 0, innodb_table_locks = 1{wait}; \
         {lock_tables}",
        saved.join(", ")
    )
}

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
    let back =
        SESSION.map(|(saved, variable)| format!("{variable} = {}", saved_or(saved, variable)));
    let forgotten = SESSION.map(|(saved, _)| format!("{saved} = NULL"));
    format!("SET {}, {}", back.join(", "), forgotten.join(", "))
}
