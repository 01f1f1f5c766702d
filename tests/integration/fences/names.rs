//! The rows of the tokens: one for each lock, whatever it is called and wherever its database is.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Binary;
use diesel_locks::Lock;

use crate::support::schema::Database;
use crate::support::server::{self, is_mysql};

fn draw(lock: Lock<'_>, conn: &mut MysqlConnection) -> u64 {
    let mut guard = lock.fenced().acquire(conn).unwrap();
    // The row is found by the same name.
    guard.transaction(|_| QueryResult::Ok(())).unwrap();
    let token = guard.fencing_token().unwrap();
    guard.release().unwrap();
    token
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Binary)]
    name: Vec<u8>,
}

fn rows(conn: &mut MysqlConnection) -> Vec<String> {
    let rows = diesel::sql_query("SELECT name FROM diesel_locks_fences ORDER BY name");
    let rows: Vec<Row> = rows.load(conn).unwrap();
    rows.into_iter().map(|row| String::from_utf8(row.name).unwrap()).collect()
}

#[test]
fn names_that_are_one_lock_share_their_tokens_and_others_do_not() {
    let db = Database::with_fences();
    let conn = &mut db.connect();
    let one = |a: &str, b: &str| {
        let mut other = db.connect();
        let conn = &mut db.connect();
        let held = Lock::new(a).acquire(conn).unwrap();
        let is_one = Lock::new(b).try_acquire(&mut other).unwrap().is_none();
        held.release().unwrap();
        is_one
    };
    for (a, b) in [
        ("a", "A"),
        ("größe", "GRÖSSE"),
        ("größe", "GRÖßE"),
        ("é", "É"),
        ("Ω", "ω"),
        ("\u{212a}", "k"),
        ("İ", "i"),
        ("a", "a "),
        ("e", "é"),
        ("ss", "ß"),
        ("Ა", "ა"),
    ] {
        conn.batch_execute("DELETE FROM diesel_locks_fences").unwrap();
        let (first, second) = (draw(Lock::new(a), conn), draw(Lock::new(b), conn));
        assert_eq!(first, 1);
        assert_eq!(second == 2, one(a, b), "{a:?} and {b:?}: {second}");
    }
    conn.batch_execute("DELETE FROM diesel_locks_fences").unwrap();
    draw(Lock::new("Größe"), conn);
    let folded = if is_mysql() { "größe" } else { "Größe" };
    assert_eq!(rows(conn), [format!("{}.{folded}", db.name())]);
}

#[test]
fn the_longest_names_and_shortened_ones_have_a_row() {
    let db = Database::with_fences();
    let conn = &mut db.connect();
    let prefix = db.name().len() + 1;
    // MySQL counts characters, and MariaDB bytes: three of each of these.
    let longest = "語".repeat(if is_mysql() { 64 - prefix } else { (192 - prefix) / 3 });
    let awkward = "it's `quoted`, \\ and \" 50%";
    for name in [longest.as_str(), awkward] {
        assert_eq!(draw(Lock::new(name), conn), 1, "{name}");
        assert_eq!(draw(Lock::new(name), conn), 2, "{name}");
    }
    let long = "Long".repeat(100);
    assert_eq!(draw(Lock::new(&long).shortened(), conn), 1);
    assert_eq!(draw(Lock::new(&long).shortened(), conn), 2);
    assert_eq!(draw(Lock::new(&format!("{long}.")).shortened(), conn), 1);
    assert_eq!(rows(conn).len(), 4);
}

#[test]
fn the_tokens_are_in_the_database_of_the_lock() {
    let (db, other) = (Database::with_fences(), Database::with_fences());
    let conn = &mut db.connect();
    assert_eq!(draw(Lock::new("lock"), conn), 1);
    assert_eq!(draw(Lock::new("lock").in_database(other.name()), conn), 1);
    assert_eq!(draw(Lock::new("lock"), &mut other.connect()), 2);
    assert_eq!(rows(&mut other.connect()), [other.full_name("lock")]);

    // After `USE`, whatever Diesel has prepared before.
    other.enter(conn);
    draw(Lock::new("lock").in_database(db.name()), conn);
    assert_eq!(rows(&mut db.connect()), [db.full_name("lock")]);

    let wide = Lock::new(db.name()).server_wide().fenced_in(other.name());
    let guard = wide.acquire(conn).unwrap();
    assert_eq!(guard.fencing_token(), Some(1));
    guard.release().unwrap();
    assert_eq!(rows(&mut other.connect()), [db.name().to_owned(), other.full_name("lock")]);
}

#[test]
fn many_databases_do_not_prepare_more_and_more_statements() {
    let databases: Vec<_> = (0..20).map(|_| Database::with_fences()).collect();
    let conn = &mut server::connect();
    for round in 1..=2 {
        for db in &databases {
            assert_eq!(draw(Lock::new("lock").in_database(db.name()), conn), round);
        }
    }
    let prepared = diesel::sql_query("SHOW SESSION STATUS LIKE 'Com_stmt_prepare'");
    let closed = diesel::sql_query("SHOW SESSION STATUS LIKE 'Com_stmt_close'");
    let count = |query: diesel::query_builder::SqlQuery, conn: &mut MysqlConnection| -> i64 {
        query.get_result::<Status>(conn).unwrap().value.parse().unwrap()
    };
    let open = count(prepared, conn) - count(closed, conn);
    // A draw and a check for each of sixteen, and what they share.
    assert!(open < 2 * 16 + 12, "{open}");
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = diesel::sql_types::Text, column_name = "Value")]
    value: String,
}
