//! Migrations that several connections start at once.

use std::error::Error;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_locks::{Error as LockError, Lock, with_lock};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::support::schema::Database;
use crate::support::server::{self, count_and_release_locks};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../examples/replicas/migrations");
const LOCK: Lock = Lock::new("schema-migrations").timeout(Duration::from_secs(300));

type Migrated = Result<Vec<String>, Box<dyn Error + Send + Sync>>;

fn by_closure(conn: &mut MysqlConnection) -> Migrated {
    LOCK.with(conn, |conn| {
        let versions = conn.run_pending_migrations(MIGRATIONS)?;
        Ok(versions.iter().map(ToString::to_string).collect())
    })
}

fn by_guard(conn: &mut MysqlConnection) -> Migrated {
    let mut guard = LOCK.acquire(conn)?;
    let versions = guard.run_pending_migrations(MIGRATIONS)?;
    let versions = versions.iter().map(ToString::to_string).collect();
    guard.release()?;
    Ok(versions)
}

#[with_lock("schema-migrations", timeout = 300)]
fn by_attribute(conn: &mut PooledConnection<ConnectionManager<MysqlConnection>>) -> Migrated {
    let versions = conn.run_pending_migrations(MIGRATIONS)?;
    Ok(versions.iter().map(ToString::to_string).collect())
}

#[test]
fn migrations_that_start_at_once_run_once() {
    const EACH: usize = 3;
    let db = Database::new();
    let pool = db.pool(EACH.try_into().unwrap());
    let start = Barrier::new(3 * EACH);
    let mut migrated: Vec<String> = thread::scope(|threads| {
        let running: Vec<_> = (0..3 * EACH)
            .map(|number| {
                let (db, pool, start) = (&db, &pool, &start);
                threads.spawn(move || {
                    if number % 3 == 2 {
                        let mut conn = pool.get().unwrap();
                        start.wait();
                        return by_attribute(&mut conn).unwrap();
                    }
                    let mut conn = db.connect();
                    start.wait();
                    let run = if number % 3 == 0 { by_closure } else { by_guard };
                    let migrated = run(&mut conn).unwrap();
                    assert_eq!(count_and_release_locks(&mut conn), 0);
                    migrated
                })
            })
            .collect();
        running.into_iter().flat_map(|running| running.join().unwrap()).collect()
    });
    migrated.sort_unstable();
    assert_eq!(migrated, ["20260110000000", "20260220000000", "20260330000000"]);
}

#[test]
fn the_errors_of_the_lock_are_found_in_those_of_the_migrations() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let held = LOCK.acquire(&mut other).unwrap();
    let busy: Result<(), Box<dyn Error + Send + Sync>> = LOCK
        .timeout(Duration::ZERO)
        .with(&mut conn, |conn| conn.run_pending_migrations(MIGRATIONS).map(drop));
    let busy = busy.unwrap_err();
    assert!(matches!(LockError::find(&*busy), Some(LockError::Timeout { .. })), "{busy}");
    held.release().unwrap();

    let without_database = by_closure(&mut server::connect()).unwrap_err();
    let found = LockError::find(&*without_database);
    assert!(matches!(found, Some(LockError::NoDatabase)), "{without_database}");

    // A migration that fails releases the lock, and the next one goes on.
    conn.batch_execute("CREATE TABLE invoices (id INT PRIMARY KEY)").unwrap();
    by_closure(&mut conn).unwrap_err();
    assert_eq!(count_and_release_locks(&mut conn), 0);
    conn.batch_execute("ALTER TABLE invoices ADD customer_id INT, ADD cents INT").unwrap();
    assert_eq!(by_guard(&mut conn).unwrap(), ["20260330000000"]);
}
