//! Fencing tokens: the table that keeps them, drawing one, and checking one.

use std::sync::{PoisonError, RwLock};

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Unsigned};

use super::named::{Bound, push_name};
use super::transaction::{CLIENT, REFUSE_OPEN, Saved, put_back_if_saved, save_all};
use super::{Statement, Text, Texts, cached_by_text, never_cached};
use crate::name::FullName;

/// The name is as many bytes as either server takes for a lock. Not text: the collations that both
/// servers have take `a` and `a ` for the same, and these are two locks.
pub(crate) const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS diesel_locks_fences (\
     name VARBINARY(192) NOT NULL PRIMARY KEY, \
     token BIGINT UNSIGNED NOT NULL, \
     checks BIGINT UNSIGNED NOT NULL DEFAULT 0\
     ) ENGINE = InnoDB";

/// The row of a lock in the table of a database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FenceRow<'f> {
    pub(crate) database: &'f str,
    pub(crate) name: &'f FullName,
}

impl<'f> FenceRow<'f> {
    /// Always with the database: both servers run a prepared statement in the one in which it was
    /// prepared.
    fn push_table(self, out: &mut AstPass<'_, '_, Mysql>) -> QueryResult<()> {
        out.push_identifier(self.database)?;
        out.push_sql(".diesel_locks_fences");
        Ok(())
    }

    /// Returns the key: the full name in UTF-8. MySQL folds the names of locks in the way of this
    /// collation, so that `A` and `a` are one lock. Compared for every character on 9.7.
    fn push_key(&'f self, mut out: AstPass<'_, 'f, Mysql>) -> QueryResult<()> {
        out.push_sql("CAST(/*!50720 LOWER( */ CONVERT(");
        push_name(out.reborrow(), self.name, Bound::Digits)?;
        out.push_sql(" USING utf8mb4) /*!50720 COLLATE utf8mb4_general_ci) */ AS BINARY)");
        Ok(())
    }

    fn text(self, texts: &'static Texts) -> Text {
        if has_cached_text(self.database) { texts.current() } else { texts.uncached() }
    }
}

/// How many databases have statements that Diesel caches: each has its own texts.
const MOST_DATABASES: usize = 16;

fn has_cached_text(database: &str) -> bool {
    static DATABASES: RwLock<Vec<String>> = RwLock::new(Vec::new());
    let is_known = |databases: &[String]| databases.iter().any(|known| known == database);
    if is_known(&DATABASES.read().unwrap_or_else(PoisonError::into_inner)) {
        return true;
    }
    let mut databases = DATABASES.write().unwrap_or_else(PoisonError::into_inner);
    let has_room = is_known(&databases) || databases.len() < MOST_DATABASES;
    if has_room && !is_known(&databases) {
        databases.push(database.to_owned());
    }
    has_room
}

/// Prepares the session for a draw: fails if a transaction is open, and switches autocommit on.
///
/// The draw has a number, so that what was saved for an earlier one is never put back.
#[derive(Debug)]
pub(crate) struct BeginDraw {
    draw: i64,
    text: Text,
}

impl BeginDraw {
    pub(crate) fn new(draw: i64) -> Self {
        static TEXTS: Texts = Texts::new();
        Self { draw, text: TEXTS.current() }
    }
}

impl QueryFragment<Mysql> for BeginDraw {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SET @diesel_locks = 0 ");
        out.push_sql(REFUSE_OPEN);
        out.push_sql(
            ", @diesel_locks_draw_autocommit = @@autocommit, autocommit = 1, \
             @diesel_locks_draw_id = LAST_INSERT_ID(), @diesel_locks_draw = ",
        );
        out.push_bind_param::<BigInt, _>(&self.draw)?;
        self.text.push_end(&mut out);
        Ok(())
    }
}

impl Statement for BeginDraw {
    fn text(&self) -> Option<Text> {
        Some(self.text)
    }
}

/// Draws the next token: one row for the first of a name, and two for every later one.
///
/// Without a wait it fails at once if a transaction has the row locked, and leaves the session's
/// own timeouts alone. MySQL cannot set `innodb_lock_wait_timeout` for one statement, but has
/// `NOWAIT` for rows that exist: the first draw of a name writes none there, and has to be repeated
/// with a wait.
#[derive(Debug)]
pub(crate) struct Draw<'f> {
    row: FenceRow<'f>,
    waits: bool,
    text: Text,
}

impl<'f> Draw<'f> {
    pub(crate) fn at_once(row: FenceRow<'f>) -> Self {
        static TEXTS: Texts = Texts::new();
        Self { row, waits: false, text: row.text(&TEXTS) }
    }

    /// Waits as long as the session does.
    pub(crate) fn waiting(row: FenceRow<'f>) -> Self {
        static TEXTS: Texts = Texts::new();
        Self { row, waits: true, text: TEXTS.uncached() }
    }
}

impl QueryFragment<Mysql> for Draw<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        if !self.waits {
            out.push_sql(
                "/*M!100000 SET STATEMENT innodb_lock_wait_timeout = 0, lock_wait_timeout = 0 FOR */ ",
            );
        }
        out.push_sql("INSERT ");
        if !self.waits {
            out.push_sql("/*+ SET_VAR(lock_wait_timeout = 1) */ ");
        }
        out.push_sql("INTO ");
        self.row.push_table(&mut out)?;
        out.push_sql(" (name, token, checks) SELECT k.name, LAST_INSERT_ID(1), 0 FROM (SELECT ");
        self.row.push_key(out.reborrow())?;
        out.push_sql(" AS name) AS k ");
        if !self.waits {
            out.push_sql("/*!80001 JOIN ");
            self.row.push_table(&mut out)?;
            out.push_sql(" AS old ON old.name = k.name FOR UPDATE OF old NOWAIT */ ");
        }
        out.push_sql("ON DUPLICATE KEY UPDATE token = LAST_INSERT_ID(");
        self.row.push_table(&mut out)?;
        out.push_sql(".token + 1)");
        self.text.push_end(&mut out);
        Ok(())
    }
}

impl Statement for Draw<'_> {
    fn text(&self) -> Option<Text> {
        Some(self.text)
    }
}

/// Reads the token, and puts the session's own `LAST_INSERT_ID()` back.
#[derive(Debug)]
pub(crate) struct ReadDraw(Text);

impl ReadDraw {
    pub(crate) fn new() -> Self {
        static TEXTS: Texts = Texts::new();
        Self(TEXTS.current())
    }
}

/// The token, the number of the draw, whether autocommit was on before, the restored ID.
pub(crate) type DrawRow = (Option<u64>, Option<i64>, Option<i64>, Option<u64>);

impl QueryFragment<Mysql> for ReadDraw {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(
            "SELECT CAST(LAST_INSERT_ID() AS UNSIGNED), CAST(@diesel_locks_draw AS SIGNED), \
             CAST(@diesel_locks_draw_autocommit AS SIGNED), \
             CAST(LAST_INSERT_ID(@diesel_locks_draw_id) AS UNSIGNED) LIMIT 1",
        );
        self.0.push_end(&mut out);
        Ok(())
    }
}

impl Query for ReadDraw {
    type SqlType = (
        Nullable<Unsigned<BigInt>>,
        Nullable<BigInt>,
        Nullable<BigInt>,
        Nullable<Unsigned<BigInt>>,
    );
}

impl Statement for ReadDraw {
    fn text(&self) -> Option<Text> {
        Some(self.0)
    }

    #[cfg(feature = "async")]
    fn is_numbered(&self) -> bool {
        true
    }
}

/// Puts autocommit back to what it was before the draw; running it again changes nothing.
pub(crate) fn end_draw(draw: i64) -> String {
    format!(
        "SET autocommit = CAST(IF(@diesel_locks_draw <=> {draw}, @diesel_locks_draw_autocommit, \
         @@autocommit + 0) AS SIGNED), @diesel_locks_draw = NULL"
    )
}

/// The timeouts under which a draw waits.
const WAITS: [Saved; 2] = [
    Saved { copy: "@diesel_locks_draw_wait", variable: "lock_wait_timeout" },
    Saved { copy: "@diesel_locks_draw_innodb_wait", variable: "innodb_lock_wait_timeout" },
];

pub(crate) fn begin_wait(seconds: u64) -> String {
    let waits = format!("lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}");
    format!("SET {}, {waits}", save_all(&WAITS))
}

/// Running it again changes nothing.
pub(crate) fn end_wait() -> String {
    format!("SET {}", put_back_if_saved(&WAITS))
}

/// The session reads the name of the database in UTF-8 from here on.
pub(crate) fn begin_name() -> String {
    format!("SET {}, character_set_client = utf8mb4", save_all(&[CLIENT]))
}

/// Running it again changes nothing.
pub(crate) fn end_name() -> String {
    format!("SET {}", put_back_if_saved(&[CLIENT]))
}

/// Writes the token's row, which commits only if no later one was drawn: one row if so far there is
/// none. The row changes each time: clusters do not certify a write of the same value.
#[derive(Debug)]
pub(crate) struct Check<'f> {
    row: FenceRow<'f>,
    token: u64,
    text: Text,
}

impl<'f> Check<'f> {
    pub(crate) fn new(row: FenceRow<'f>, token: u64) -> Self {
        static TEXTS: Texts = Texts::new();
        Self { row, token, text: row.text(&TEXTS) }
    }
}

impl QueryFragment<Mysql> for Check<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        self.row.push_table(&mut out)?;
        out.push_sql(" SET checks = checks + 1 WHERE name = ");
        self.row.push_key(out.reborrow())?;
        out.push_sql(" AND token = ");
        out.push_bind_param::<Unsigned<BigInt>, _>(&self.token)?;
        self.text.push_end(&mut out);
        Ok(())
    }
}

impl Statement for Check<'_> {
    fn text(&self) -> Option<Text> {
        Some(self.text)
    }
}

/// The last token of a name, as it was committed last.
#[derive(Debug)]
pub(crate) struct LastToken<'f>(pub(crate) FenceRow<'f>);

impl QueryFragment<Mysql> for LastToken<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("SELECT CAST(MAX(token) AS UNSIGNED) FROM ");
        self.0.push_table(&mut out)?;
        out.push_sql(" WHERE name = ");
        self.0.push_key(out.reborrow())?;
        out.push_sql(" LIMIT 1 LOCK IN SHARE MODE");
        Ok(())
    }
}

impl Query for LastToken<'_> {
    type SqlType = Nullable<Unsigned<BigInt>>;
}

cached_by_text!(BeginDraw, Draw<'_>, ReadDraw, Check<'_>);
never_cached!(LastToken<'_>);
