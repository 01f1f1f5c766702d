//! Sessions in every character set: a lock is one lock, and everything can be inspected.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Unsigned};
use diesel_locks::{Error, Lock, Server, TableLock};

use crate::support::listings::Listings;
use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};

/// A character set and its default collation.
const SETS: [(&str, &str); 8] = [
    ("latin1", "latin1_swedish_ci"),
    ("gbk", "gbk_chinese_ci"),
    ("big5", "big5_chinese_ci"),
    ("sjis", "sjis_japanese_ci"),
    ("cp932", "cp932_japanese_ci"),
    ("gb18030", "gb18030_chinese_ci"),
    ("utf16", "utf16_general_ci"),
    ("utf32", "utf32_general_ci"),
];

/// What a session may set to each of them.
const VARIABLES: [&str; 6] = [
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
    "NAMES",
    "character_set_results, connection",
];

fn setting((set, collation): (&str, &str), variable: &str) -> Option<String> {
    // MariaDB has no such set, and neither server takes these two from a client.
    let missing = set == "gb18030" && !server::is_mysql();
    let is_client = ["character_set_client", "NAMES"].contains(&variable);
    if missing || (is_client && set.starts_with("utf")) {
        return None;
    }
    Some(match variable {
        "collation_connection" => format!("SET collation_connection = {collation}"),
        "NAMES" => format!("SET NAMES {set}"),
        "character_set_results, connection" => {
            format!("SET character_set_results = {set}, character_set_connection = {set}")
        }
        _ => format!("SET {variable} = {set}"),
    })
}

pub(crate) fn settings() -> Vec<String> {
    let each = SETS.iter().flat_map(|set| VARIABLES.iter().map(|variable| (*set, *variable)));
    each.filter_map(|(set, variable)| setting(set, variable)).collect()
}

/// Returns the session's variables, as bytes: its results may be in any character set.
pub(crate) fn session(conn: &mut MysqlConnection) -> String {
    let variables = sql::<Binary>(
        "CAST(CONVERT(CONCAT_WS('|', @@character_set_client, @@character_set_connection, \
         COALESCE(@@character_set_results, 'NULL'), @@collation_connection, @@autocommit, \
         @@innodb_table_locks, @@lock_wait_timeout, @@innodb_lock_wait_timeout, @@wait_timeout) \
         USING utf8mb4) AS BINARY)",
    );
    let bytes: Vec<u8> = diesel::select(variables).get_result(conn).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A lock, and the name that it has for the server.
struct Named<'n> {
    lock: Lock<'n>,
    full: String,
    shortened: bool,
}

impl Named<'_> {
    /// Returns the holder, by plain SQL.
    fn holder(&self, admin: &mut Admin) -> Option<u64> {
        if !self.shortened {
            return admin.holder(&self.full);
        }
        let holder = sql::<Nullable<Unsigned<BigInt>>>("CAST(IS_USED_LOCK(CONCAT(LEFT(")
            .bind::<Text, _>(&self.full)
            .sql(", 23), '-', LEFT(SHA2(")
            .bind::<Text, _>(&self.full)
            .sql(", 256), 40))) AS UNSIGNED)");
        diesel::select(holder).get_result(&mut admin.0).unwrap()
    }
}

/// Takes the lock in a session, and sees it from another one in UTF-8.
#[track_caller]
fn expect_one_lock(what: &str, named: &Named<'_>, setting: &str, set_in_body: bool, db: &Database) {
    let (mut conn, mut other) = (server::connect(), server::connect());
    let mut admin = Admin::new();
    db.enter(&mut conn);
    db.enter(&mut other);
    let (id, other_id) = (connection_id(&mut conn), connection_id(&mut other));
    let what = format!("{what} after {setting}, in the body: {set_in_body}");
    if !set_in_body {
        conn.batch_execute(setting).unwrap();
    }
    let found = session(&mut conn);
    let lock = named.lock;
    let body = |conn: &mut MysqlConnection| -> Result<(), Error> {
        if set_in_body {
            conn.batch_execute(setting).map_err(Error::from)?;
        }
        let found = session(conn);
        assert_eq!(named.holder(&mut admin), Some(id), "{what}");
        assert_eq!(lock.holding_connection_id(&mut other)?, Some(id), "{what}");
        assert!(lock.try_acquire(&mut other)?.is_none(), "{what}");
        assert_eq!(lock.holding_connection_id(conn)?, Some(id), "{what}");
        assert_eq!(lock.holder(conn)?.map(|holder| holder.process.id), Some(id), "{what}");
        lock.acquire(conn)?.release()?;
        assert_eq!(session(conn), found, "{what}");
        Ok(())
    };
    lock.with(&mut conn, body).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(named.holder(&mut admin), None, "{what}");
    if !set_in_body {
        assert_eq!(session(&mut conn), found, "{what}");
    }

    let held = lock.acquire(&mut other).unwrap();
    assert!(lock.try_acquire(&mut conn).unwrap().is_none(), "{what}");
    assert_eq!(lock.holding_connection_id(&mut conn).unwrap(), Some(other_id), "{what}");
    assert_eq!(lock.holder(&mut conn).unwrap().unwrap().process.id, other_id, "{what}");
    let timeout = lock.timeout(Duration::from_millis(5)).acquire(&mut conn).map(drop);
    assert!(
        matches!(timeout, Err(Error::Timeout { holder: Some(holder), .. }) if holder == other_id),
        "{what}: {timeout:?}"
    );
    assert!(matches!(lock.release(&mut conn), Err(Error::NotHeld { .. })), "{what}");
    held.release().unwrap();
    lock.transaction(&mut conn, |_| Ok::<_, Error>(())).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    assert_eq!(count_and_release_locks(&mut conn), 0, "{what}");
}

#[test]
fn a_lock_is_one_lock_in_every_character_set() {
    let base = Database::new();
    let db = Database::named(&format!("{}größe鍵", base.name()));
    let (elsewhere, everywhere) =
        (format!("データ{}", base.name()), format!("замок{}", base.name()));
    let long = "größe-鍵-表-замок-".repeat(12);
    let name = "größe-鍵-表";
    let locks = [
        Named { lock: Lock::new(name), full: db.full_name(name), shortened: false },
        Named {
            lock: Lock::new(name).in_database(&elsewhere),
            full: format!("{elsewhere}.{name}"),
            shortened: false,
        },
        Named {
            lock: Lock::new(&everywhere).server_wide(),
            full: everywhere.clone(),
            shortened: false,
        },
        Named { lock: Lock::new(&long).shortened(), full: db.full_name(&long), shortened: true },
        Named {
            lock: Lock::new(&long).in_database(&elsewhere).shortened(),
            full: format!("{elsewhere}.{long}"),
            shortened: true,
        },
    ];
    for setting in settings() {
        for set_in_body in [false, true] {
            for (i, named) in locks.iter().enumerate() {
                expect_one_lock(&format!("lock {i}"), named, &setting, set_in_body, &db);
            }
        }
    }
}

#[test]
fn servers_and_locks_are_inspected_in_every_character_set() {
    let _listings = Listings::with_plugin();
    let base = Database::new();
    let db = Database::named(&format!("{}größe鍵", base.name()));
    let mut holder = server::connect();
    db.enter(&mut holder);
    holder.batch_execute("CREATE TABLE größe鍵 (id INT)").unwrap();
    let id = connection_id(&mut holder);
    let plain = Server::inspect(&mut holder).unwrap();
    let _held = Lock::new("größe-鍵").acquire(&mut holder).unwrap();
    for setting in settings() {
        let mut conn = server::connect();
        db.enter(&mut conn);
        conn.batch_execute(&setting).unwrap();
        let found = session(&mut conn);
        let seen = Server::inspect(&mut conn).unwrap_or_else(|e| panic!("{setting}: {e:?}"));
        assert_eq!(format!("{seen:?}"), format!("{plain:?}"), "{setting}");
        let held = Lock::held_with_prefix("größe-", &mut conn);
        match held {
            Ok(held) => {
                assert_eq!(held.into_iter().collect::<Vec<_>>(), [("größe-鍵".to_owned(), id)]);
            }
            Err(Error::Unsupported { .. }) => {}
            Err(error) => panic!("{setting}: {error:?}"),
        }
        match Lock::new("größe-鍵").waiters(&mut conn) {
            Ok(waiters) => assert_eq!(waiters, [], "{setting}"),
            Err(Error::Unsupported { .. }) => {}
            Err(error) => panic!("{setting}: {error:?}"),
        }
        match TableLock::new().write_table("größe鍵").blockers(&mut conn) {
            Ok(blockers) => assert_eq!(blockers, [], "{setting}"),
            Err(Error::Unsupported { .. }) => {}
            Err(error) => panic!("{setting}: {error:?}"),
        }
        assert_eq!(session(&mut conn), found, "{setting}");
    }
}
