use diesel::QueryResult;
use diesel_async::{
    AsyncConnection as _, AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
};
use diesel_locks::Error;
use diesel_locks::aio::TableLock;

use crate::support::{Admin, Database};

#[tokio::test]
async fn a_body_runs_while_the_tables_are_locked() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    conn.batch_execute("CREATE TABLE places (id INT PRIMARY KEY)").await.unwrap();
    let lock = TableLock::new().write_table("places");
    let inserted: QueryResult<usize> = lock
        .with(&mut conn, async |conn| {
            diesel::sql_query("INSERT INTO places VALUES (1), (2)").execute(conn).await
        })
        .await;
    assert_eq!(inserted, Ok(2));
    let mut guard = lock.acquire(&mut conn).await.unwrap();
    diesel::sql_query("INSERT INTO places VALUES (3)").execute(&mut guard).await.unwrap();
    guard.rollback().await.unwrap();
    let guard = lock.acquire(&mut conn).await.unwrap();
    drop(guard);
}

const TABLES: [&str; 2] = ["work", "prices"];

fn tables() -> TableLock {
    TABLES.into_iter().fold(TableLock::new(), TableLock::write_table)
}

async fn insert(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    conn.batch_execute("INSERT INTO work VALUES (1)").await
}

#[tokio::test]
async fn a_release_commits_and_a_rollback_does_not() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    let mut guard = tables().acquire(&mut conn).await.unwrap();
    insert(&mut guard).await.unwrap();
    guard.rollback().await.unwrap();
    assert_eq!(database.count(&mut admin).await, 0);
    let mut guard = tables().acquire(&mut conn).await.unwrap();
    insert(&mut guard).await.unwrap();
    guard.transaction(async |conn| insert(conn).await).await.unwrap();
    guard.release().await.unwrap();
    assert_eq!(database.count(&mut admin).await, 2);
    let failed: QueryResult<()> = tables()
        .with(&mut conn, async |conn| {
            insert(conn).await?;
            Err(diesel::result::Error::NotFound)
        })
        .await;
    assert_eq!(failed, Err(diesel::result::Error::NotFound));
    assert_eq!(database.count(&mut admin).await, 2);
    assert!(database.has_free_tables(&mut admin).await);
}

#[tokio::test]
async fn an_open_transaction_is_refused_and_left_alone() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    conn.batch_execute("BEGIN").await.unwrap();
    insert(&mut conn).await.unwrap();
    let refused = tables().acquire(&mut conn).await.map(drop);
    assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
    conn.batch_execute("COMMIT").await.unwrap();
    assert_eq!(database.count(&mut admin).await, 1);
    let done: QueryResult<()> = conn
        .transaction(async |conn| {
            insert(conn).await?;
            let refused = tables().acquire(conn).await.map(drop);
            assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
            Ok(())
        })
        .await;
    assert_eq!(done, Ok(()));
    conn.begin_test_transaction().await.unwrap();
    let refused = tables().acquire(&mut conn).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("test"), "{refused}");
    assert!(matches!(refused, Error::InTransaction { .. }), "{refused:?}");
    assert_eq!(database.count(&mut admin).await, 2);
}

#[tokio::test]
async fn a_lock_that_the_body_ended_is_reported() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    for ends in ["COMMIT", "UNLOCK TABLES", "BEGIN", "CREATE TABLE work (n INT)"] {
        let result: QueryResult<()> = tables()
            .with(&mut conn, async |conn| {
                // `CREATE TABLE` is refused, after it has committed.
                let _ = conn.batch_execute(ends).await;
                Ok(())
            })
            .await;
        let error = Error::from(result.unwrap_err());
        assert!(matches!(error, Error::TransactionEnded { .. }), "{ends}: {error:?}");
        assert!(database.has_free_tables(&mut admin).await, "{ends}");
    }
}

#[tokio::test]
async fn descriptions_that_lock_nothing_are_refused() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let refused = TableLock::new().acquire(&mut conn).await.map(drop);
    assert!(matches!(refused, Err(Error::NoTables)), "{refused:?}");
    let refused = TableLock::new().read_table("nul\0").acquire(&mut conn).await.map(drop);
    assert!(matches!(refused, Err(Error::InvalidName { .. })), "{refused:?}");
    let mut without = Admin::connect().await.conn;
    let refused = tables().acquire(&mut without).await.map(drop);
    assert!(matches!(refused, Err(Error::NoDatabase)), "{refused:?}");
    let blocking = diesel_locks::TableLock::from(tables());
    assert_eq!(blocking.clone().aio(), tables());
    assert_eq!(blocking.to_string(), tables().to_string());
}

#[tokio::test]
async fn an_owned_guard_gives_its_connection_back() {
    let database = Database::create().await;
    let pool = database.deadpool(1);
    let mut admin = Admin::connect().await;
    let mut guard = tables().acquire_owned(pool.get().await.unwrap()).await.unwrap();
    insert(&mut guard).await.unwrap();
    let guard = tokio::spawn(guard.release()).await.unwrap();
    drop(guard.unwrap());
    assert_eq!(database.count(&mut admin).await, 1);
    assert!(database.has_free_tables(&mut admin).await);
    drop(pool.get().await.unwrap());
}
