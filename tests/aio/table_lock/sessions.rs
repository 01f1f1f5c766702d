use std::time::Duration;

use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_locks::Error;
use diesel_locks::aio::TableLock;

use crate::support::{Admin, Database, number};

/// What a lock changes while it is held.
const VARIABLES: [&str; 8] = [
    "@@autocommit",
    "@@innodb_table_locks",
    "@@lock_wait_timeout",
    "@@innodb_lock_wait_timeout",
    "@@wait_timeout",
    "CRC32(COALESCE(@@character_set_results, ''))",
    "CRC32(@@character_set_client)",
    "@@unique_checks",
];

async fn session(conn: &mut AsyncMysqlConnection) -> Vec<u64> {
    let mut values = Vec::new();
    for variable in VARIABLES {
        values.push(number(variable, conn).await.unwrap());
    }
    values
}

#[tokio::test]
async fn the_session_is_as_it_was_after_every_end() {
    let database = Database::create().await;
    for set in [
        "DO 0",
        "SET autocommit = 0, innodb_table_locks = 0, lock_wait_timeout = 7, wait_timeout = 77",
        "SET innodb_table_locks = 0, innodb_lock_wait_timeout = 9, character_set_results = NULL",
        "SET character_set_client = latin1, character_set_results = latin1",
    ] {
        let mut conn = database.connect().await;
        conn.batch_execute(set).await.unwrap();
        let before = session(&mut conn).await;
        // With autocommit off, that has begun a transaction.
        conn.batch_execute("ROLLBACK").await.unwrap();
        for lock in [tables(), tables().timeout(Duration::from_secs(20))] {
            let guard = lock.acquire(&mut conn).await.unwrap();
            guard.release().await.unwrap();
            let guard = lock.acquire(&mut conn).await.unwrap();
            guard.rollback().await.unwrap();
            let mut guard = lock.acquire(&mut conn).await.unwrap();
            guard.batch_execute("COMMIT").await.unwrap();
            let ended = guard.release().await.map(drop);
            assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{set}: {ended:?}");
            let unknown = lock.write_table("unknown").acquire(&mut conn).await.map(drop);
            assert!(matches!(unknown, Err(Error::Diesel(_))), "{set}: {unknown:?}");
            assert_eq!(session(&mut conn).await, before, "{set}");
            conn.batch_execute("ROLLBACK").await.unwrap();
            let mut admin = Admin::connect().await;
            assert!(database.has_free_tables(&mut admin).await, "{set}");
        }
    }
}

fn tables() -> TableLock {
    TableLock::new().write_table("work").read_table("prices").read_table_as("prices", "o")
}
