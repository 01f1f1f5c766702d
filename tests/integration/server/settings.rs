//! A server whose administrator has changed its settings: every call works as usual, or returns an
//! error that says why it cannot.

mod scene;

use std::time::Duration;

use diesel::mysql::MysqlConnection;
use diesel::r2d2::R2D2Connection;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, TableLock};

use self::scene::{LOCK, Scene};
use crate::support::schema::audit_log;
use crate::support::server::{self, connection_id};
use crate::support::table_checks::{depth, has_locked_tables, has_open_transaction, log};
use crate::support::watchdog;

/// The setting, its reset, and the user that connects.
const EVERYWHERE: &[(&str, &str, &str)] = &[
    ("autocommit = 0", "autocommit = 1", "root"),
    ("sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'", "sql_mode = DEFAULT", "root"),
    ("lc_messages = 'de_DE'", "lc_messages = 'en_US'", "root"),
    ("TRANSACTION READ ONLY", "TRANSACTION READ WRITE", "root"),
    (
        "TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "root",
    ),
    ("lock_wait_timeout = 1", "lock_wait_timeout = DEFAULT", "root"),
    ("read_only = 1", "read_only = 0", "app"),
];

const OF_MYSQL: &[(&str, &str, &str)] = &[
    ("max_execution_time = 1000", "max_execution_time = 0", "root"),
    ("super_read_only = 1", "read_only = 0", "root"),
];

const OF_MARIADB: &[(&str, &str, &str)] = &[
    ("max_statement_time = 1", "max_statement_time = 0", "root"),
    ("sql_mode = 'ORACLE'", "sql_mode = DEFAULT", "root"),
];

#[test]
fn every_call_works_under_an_administrators_settings() {
    watchdog(|| {
        let Some(mut scene) = Scene::new() else { return };
        let own = if server::is_mysql() { OF_MYSQL } else { OF_MARIADB };
        for (setting, back, user) in EVERYWHERE.iter().chain(own) {
            // On MySQL this applies only to a `SELECT` without a hint.
            let cuts_waits = setting.starts_with("max_statement_time");
            scene.under(setting, back, |scene| {
                scene.expect_all_calls_to_work(setting, user, cuts_waits);
            });
        }
    });
}

#[test]
fn an_idle_holder_that_the_server_disconnects_gets_an_error() {
    watchdog(|| {
        let Some(mut scene) = Scene::new() else { return };
        scene.under("wait_timeout = 3", "wait_timeout = DEFAULT", |scene| {
            let pool = scene.server.pool(2);
            let (mut conn, mut owner) = (scene.server.connect("shop"), pool.get().unwrap());
            let id = connection_id(&mut owner);
            let guard = LOCK.acquire_owned(owner).unwrap();
            let mut tables =
                TableLock::new().write::<audit_log::table>().acquire(&mut conn).unwrap();
            let tables_id = connection_id(&mut tables);
            log(&mut tables, "lost").unwrap();
            scene.admin.until_free("shop.lock");
            scene.admin.until_gone(id);
            scene.admin.until_gone(tables_id);

            let lost = guard.release().map(drop);
            assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
            let lost = tables.release().map(drop);
            assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
            assert!(conn.is_broken());
            assert_eq!(scene.rows(), 0);
            LOCK.acquire_owned(pool.get().unwrap()).unwrap().release().unwrap();
            let ids = (0..2).map(|_| connection_id(&mut pool.get().unwrap()));
            assert!(ids.into_iter().all(|other| other != id));
        });
    });
}

/// With `completion_type`, a plain `COMMIT` or `ROLLBACK` begins another transaction or closes the
/// connection.
#[test]
fn completion_type_changes_nothing() {
    watchdog(|| {
        let Some(mut scene) = Scene::new() else { return };
        for completion in ["CHAIN", "RELEASE"] {
            let setting = format!("completion_type = '{completion}'");
            scene.under(&setting, "completion_type = 'NO_CHAIN'", |scene| {
                let mut conn = scene.server.connect("shop");
                let id = connection_id(&mut conn);
                let tables = TableLock::new().write::<audit_log::table>();
                let mut rows = scene.rows();
                let mut expect = |scene: &mut Scene, conn: &mut MysqlConnection, written| {
                    rows += written;
                    assert_eq!(scene.rows(), rows, "{completion}");
                    assert!(!conn.is_broken(), "{completion}");
                    assert_eq!(connection_id(conn), id, "{completion}");
                    assert_eq!(depth(conn), Some(0), "{completion}");
                    assert!(!has_open_transaction(conn), "{completion}");
                    assert!(!has_locked_tables(conn), "{completion}");
                    assert_eq!(scene.admin.holder("shop.lock"), None, "{completion}");
                };
                for _ in 0..2 {
                    LOCK.transaction(&mut conn, |conn| log(conn, "named")).unwrap();
                    expect(scene, &mut conn, 1);
                    let failed = LOCK.transaction(&mut conn, |conn| {
                        log(conn, "rolled back")?;
                        Err::<(), _>(DieselError::NotFound)
                    });
                    assert_eq!(failed, Err(DieselError::NotFound), "{completion}");
                    expect(scene, &mut conn, 0);

                    tables.with(&mut conn, |conn| log(conn, "table")).unwrap();
                    expect(scene, &mut conn, 1);
                    let mut guard = tables.acquire(&mut conn).unwrap();
                    log(&mut guard, "rolled back").unwrap();
                    guard.rollback().unwrap();
                    expect(scene, &mut conn, 0);
                }
                let timeout = Duration::from_secs(5);
                let mut other = scene.server.connect("shop");
                tables.timeout(timeout).acquire(&mut other).unwrap().release().unwrap();
            });
        }
    });
}
