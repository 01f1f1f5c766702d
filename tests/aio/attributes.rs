mod lints;

use std::time::Duration;

use diesel::QueryResult;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_locks::aio::Lock;
use diesel_locks::{Error, with_lock, with_table_lock};

use crate::support::{Database, connection_id};

#[with_lock("invoice-{id}", timeout = 2.5)]
async fn pay(conn: &mut AsyncMysqlConnection, id: u32) -> QueryResult<Option<u64>> {
    let name = format!("invoice-{id}");
    let holder = Lock::new(&name).holding_connection_id(conn).await?;
    if id == 2 {
        return Err(diesel::result::Error::NotFound);
    }
    Ok(holder)
}

#[with_lock("nightly", if_busy = Ok("busy"), transaction, conn = db)]
async fn nightly(mut db: Object<AsyncMysqlConnection>) -> Result<&'static str, anyhow::Error> {
    diesel::sql_query("DO 0").execute(&mut db).await?;
    let id = connection_id(&mut db).await;
    assert!(id > 0);
    Ok("done")
}

#[with_table_lock(write("orders"), timeout = 5)]
async fn fill(mut conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
    diesel::sql_query("INSERT INTO orders VALUES (1)").execute(&mut conn).await
}

#[with_lock("outer")]
#[with_lock("inner", conn = conn)]
async fn both<T: Send>(conn: &mut AsyncMysqlConnection, value: T) -> Result<T, Error> {
    assert!(Lock::new("outer").is_held(conn).await?);
    assert!(Lock::new("inner").is_held(conn).await?);
    Ok(value)
}

#[with_lock("unused")]
async fn unused(_conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("instrumented")]
#[tracing::instrument(skip(conn))]
async fn instrumented_below(conn: &mut AsyncMysqlConnection, name: &str) -> QueryResult<bool> {
    Lock::new(name).is_held(conn).await.map_err(Into::into)
}

#[tracing::instrument(skip(conn))]
#[with_lock("instrumented")]
async fn instrumented_above(conn: &mut AsyncMysqlConnection, name: &str) -> QueryResult<bool> {
    Ok(Lock::new(name).is_held(conn).await?)
}

#[tokio::test]
async fn a_function_is_instrumented_in_either_order() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    assert_eq!(instrumented_below(&mut conn, "instrumented").await, Ok(true));
    assert_eq!(instrumented_above(&mut conn, "instrumented").await, Ok(true));
    assert_eq!(instrumented_above(&mut conn, "other").await, Ok(false));
}

#[tokio::test]
async fn a_panic_in_the_body_releases_the_lock() {
    #[with_lock("held")]
    async fn panics(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
        diesel::sql_query("DO 0").execute(conn).await?;
        panic!("in the body");
    }

    let database = Database::create().await;
    let mut conn = database.connect().await;
    let panicked = tokio::spawn(async move { panics(&mut conn).await });
    assert!(panicked.await.unwrap_err().is_panic());
    let mut other = database.connect().await;
    Lock::new("held").acquire(&mut other).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_function_runs_under_its_lock() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let id = connection_id(&mut conn).await;
    assert_eq!(pay(&mut conn, 1).await, Ok(Some(id)));
    assert_eq!(pay(&mut conn, 2).await, Err(diesel::result::Error::NotFound));
    assert!(!Lock::new("invoice-1").is_held(&mut conn).await.unwrap());
    assert!(!Lock::new("invoice-2").is_held(&mut conn).await.unwrap());
    assert_eq!(both(&mut conn, 7).await.unwrap(), 7);
    unused(&mut conn).await.unwrap();
    assert_eq!(Lock::release_all(&mut conn).await.unwrap(), 0);
}

#[tokio::test]
async fn a_function_takes_a_pooled_connection_by_value() {
    let database = Database::create().await;
    let manager = AsyncDieselConnectionManager::<AsyncMysqlConnection>::new(database.url());
    let pool = Pool::builder(manager).max_size(1).build().unwrap();
    assert_eq!(nightly(pool.get().await.unwrap()).await.unwrap(), "done");
    let mut other = database.connect().await;
    let guard = Lock::new("nightly").acquire(&mut other).await.unwrap();
    let task = tokio::spawn(nightly(pool.get().await.unwrap()));
    assert_eq!(task.await.unwrap().unwrap(), "busy");
    guard.release().await.unwrap();
    assert_eq!(nightly(pool.get().await.unwrap()).await.unwrap(), "done");
}

#[tokio::test]
async fn a_function_runs_while_its_tables_are_locked() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    conn.batch_execute("CREATE TABLE orders (id INT PRIMARY KEY)").await.unwrap();
    assert_eq!(fill(&mut conn).await, Ok(1));
    assert!(fill(&mut conn).await.is_err(), "the same key again");
    assert_eq!(pay(&mut conn, 1).await.unwrap(), Some(connection_id(&mut conn).await));
}

#[tokio::test]
async fn a_dropped_future_releases_the_lock() {
    #[with_lock("held")]
    async fn hang(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
        let _ = &conn;
        std::future::pending().await
    }

    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let lock = Lock::new("held").timeout(Duration::from_secs(60));
    {
        let mut future = std::pin::pin!(hang(&mut one));
        while !lock.is_held(&mut two).await.unwrap() {
            assert!(futures_util::poll!(future.as_mut()).is_pending());
        }
    }
    lock.acquire(&mut two).await.unwrap().release().await.unwrap();
    assert!(diesel::sql_query("DO 0").execute(&mut one).await.is_err(), "it is closed");
}
