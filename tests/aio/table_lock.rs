use diesel::QueryResult;
use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_locks::aio::TableLock;

use crate::support::Database;

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
