//! Names that some character sets read as SQL: the last byte of a UTF-8 character and the quote
//! after it may be one character there.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock, TableLock};
use proptest::prelude::*;

use super::character_sets::{session, settings};
use crate::support::listings::Listings;
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{assert_all_free, depth, has_locked_tables, logged};

const INJECTED: &str = "INSERT INTO audit_log (message) VALUES (0x78); COMMIT; -- ";

/// Characters whose last bytes begin a character in some set, and some that do not.
const CHARACTERS: &str = "[鍵表é\u{7f}ソ能\u{b4}\u{b5}замö語\u{300e}a]{1,4}";

fn set_up() -> Database {
    let db = Database::with_tables();
    let quoted = "CREATE TABLE `鍵` (id INT); CREATE TABLE `größe` (id INT)";
    db.connect().batch_execute(quoted).unwrap();
    db
}

/// Names a table by each method in a session, and expects that nothing but the lock was run.
fn expect_no_injection(setting: &str, name: &str, db: &Database) {
    let mut conn = db.connect();
    conn.batch_execute(setting).unwrap();
    let found = session(&mut conn);
    let locks = [
        TableLock::new().write_table("audit_log").read_table_as("audit_log", name),
        TableLock::new().write_table("audit_log").write_table_as("places", name),
        TableLock::new().write_table("audit_log").write_table(name),
        TableLock::new().write_table("audit_log").read_table((name, "places")),
        TableLock::new().write_table("audit_log").read_table((db.name(), name)),
    ];
    for lock in locks {
        let what = format!("{name:?} after {setting}: {lock}");
        let locked = lock.with(&mut conn, |_| Ok::<_, Error>(()));
        // An alias that the server takes, or a table that does not exist.
        assert!(
            matches!(locked, Ok(()) | Err(Error::Diesel(_) | Error::InvalidName { .. })),
            "{what}: {locked:?}"
        );
        assert_eq!(logged(db), [""; 0], "{what}");
        assert_eq!(session(&mut conn), found, "{what}");
        assert_eq!(depth(&mut conn), Some(0), "{what}");
        assert!(!has_locked_tables(&mut conn), "{what}");
        // None of these reads the names as SQL.
        let _ = lock.blockers(&mut conn);
    }
    let lock = Lock::new(name);
    for lock in [lock, lock.server_wide(), lock.in_database(name)].map(Lock::shortened) {
        let result = lock.with(&mut conn, |_| Ok::<_, Error>(()));
        assert!(result.is_ok(), "{name:?} after {setting}: {result:?}");
        let _ = Lock::held_with_prefix(name, &mut conn);
    }
    assert_eq!(count_and_release_locks(&mut conn), 0, "{setting}");
    assert_eq!(logged(db), [""; 0], "{name:?} after {setting}");
    assert_all_free(db);
}

#[test]
fn no_alias_and_no_table_name_runs_sql_in_any_character_set() {
    let _listings = Listings::with_plugin();
    let db = set_up();
    for setting in settings() {
        for beginning in ["鍵", "é", "表", "ソ", "a", "\\"] {
            let name = format!("{beginning}` READ; UNLOCK TABLES; {INJECTED}");
            expect_no_injection(&setting, &name, &db);
        }
    }
}

#[test]
fn an_alias_is_the_one_that_was_written_in_every_character_set() {
    let db = set_up();
    for setting in settings() {
        for alias in ["鍵一", "größer", "表ソ能", "замок"] {
            let mut conn = db.connect();
            conn.batch_execute(&setting).unwrap();
            let lock = TableLock::new().write_table("鍵").read_table_as("größe", alias);
            let mut guard =
                lock.acquire(&mut conn).unwrap_or_else(|e| panic!("{setting}: {alias}: {e:?}"));
            let kept = session(&mut guard);
            // In UTF-8, the alias is found; a statement of the body is read in the session's own
            // set.
            guard.batch_execute("SET character_set_client = utf8mb4").unwrap();
            guard
                .batch_execute(&format!("DO (SELECT COUNT(*) FROM größe AS `{alias}`)"))
                .unwrap_or_else(|e| panic!("{setting}: {alias}: {e:?}"));
            guard.batch_execute("INSERT INTO `鍵` VALUES (1)").unwrap();
            assert_ne!(kept, "");
            guard.rollback().unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_name_and_the_character_set_nothing_else_is_run_and_one_lock_is_taken(
        setting in prop::sample::select(settings()),
        beginning in CHARACTERS,
        middle in "[`'\"\\\\;]{0,3}",
        ending in CHARACTERS,
        in_body: bool,
    ) {
        let _listings = Listings::with_plugin();
        let db = set_up();
        let name = format!("{beginning}{middle}{ending}` READ; UNLOCK TABLES; {INJECTED}");
        expect_no_injection(&setting, &name, &db);

        let (mut conn, mut other, mut admin) = (db.connect(), db.connect(), Admin::new());
        let id = connection_id(&mut conn);
        let short = format!("{beginning}{middle}{ending}");
        if !in_body {
            conn.batch_execute(&setting).unwrap();
        }
        let mut guard = Lock::new(&short).acquire(&mut conn).unwrap();
        if in_body {
            guard.batch_execute(&setting).unwrap();
        }
        prop_assert_eq!(admin.holder(&db.full_name(&short)), Some(id));
        prop_assert_eq!(Lock::new(&short).holding_connection_id(&mut guard).unwrap(), Some(id));
        prop_assert_eq!(Lock::new(&short).holding_connection_id(&mut other).unwrap(), Some(id));
        guard.release().unwrap();
        prop_assert_eq!(admin.holder(&db.full_name(&short)), None);
        let rows: i64 = audit_log::table.count().get_result(&mut other).unwrap();
        prop_assert_eq!(rows, 0);
    }
}
