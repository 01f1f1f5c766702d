use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection as _;
use diesel_locks::Error;
use diesel_locks::aio::Lock;

use crate::support::{Admin, Database, connection_id, keep, soon};

const LOCK: Lock = Lock::new("wanted");

#[tokio::test]
async fn a_wait_that_is_killed_is_interrupted_and_the_connection_goes_on() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut two).await;
    let mut admin = Admin::connect().await;
    for lock in [LOCK, LOCK.timeout(std::time::Duration::from_millis(30_500))] {
        for _ in 0..2 {
            let guard = lock.acquire(&mut one).await.unwrap();
            let kill = async {
                admin.until_waiting(id).await;
                admin.kill_query(id).await;
            };
            let acquire = async { lock.acquire(&mut two).await.map(keep) };
            let (killed, ()) = soon("a killed wait", async { tokio::join!(acquire, kill) }).await;
            assert!(matches!(killed, Err(Error::Interrupted { .. })), "{killed:?}");
            guard.release().await.unwrap();
            assert_eq!(admin.holder(&database.full_name("wanted")).await, None);
            assert_eq!(connection_id(&mut two).await, id);
            LOCK.acquire(&mut two).await.unwrap().release().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_killed_while_it_waits_is_lost() {
    let database = Database::create().await;
    let pool = database.bb8(1).await;
    let mut one = database.connect().await;
    let mut admin = Admin::connect().await;
    LOCK.acquire(&mut one).await.unwrap().leak();
    let mut two = pool.get().await.unwrap();
    let id = connection_id(&mut two).await;
    let kill = async {
        admin.until_waiting(id).await;
        admin.kill_connection(id).await;
    };
    let acquire = async { LOCK.acquire(&mut two).await.map(keep) };
    let (killed, ()) = soon("a killed wait", async { tokio::join!(acquire, kill) }).await;
    assert!(matches!(killed, Err(Error::ConnectionLost(_))), "{killed:?}");
    drop(two);
    assert_ne!(connection_id(&mut pool.get().await.unwrap()).await, id, "the pool has another");
}

#[tokio::test]
async fn a_connection_that_is_killed_under_a_lock_has_lost_it() {
    let database = Database::create().await;
    let mut admin = Admin::connect().await;
    for transaction in [false, true] {
        let mut conn = database.connect().await;
        let id = connection_id(&mut conn).await;
        let body = async |conn: &mut diesel_async::AsyncMysqlConnection| -> QueryResult<()> {
            conn.batch_execute("INSERT INTO work VALUES (1)").await?;
            admin.kill_connection(id).await;
            admin.until_gone(id).await;
            Ok(())
        };
        let result: QueryResult<()> = if transaction {
            LOCK.transaction(&mut conn, body).await
        } else {
            LOCK.with(&mut conn, body).await
        };
        let error = Error::from(result.unwrap_err());
        assert!(matches!(error, Error::ConnectionLost(_)), "{error:?}");
        assert_eq!(admin.holder(&database.full_name("wanted")).await, None);
    }
    assert_eq!(database.count(&mut admin).await, 1, "of the body without a transaction");
}

#[tokio::test]
async fn a_query_that_is_killed_in_the_body_fails_and_the_lock_is_released() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let id = connection_id(&mut conn).await;
    let mut admin = Admin::connect().await;
    let kill = async {
        admin.until_running(id, "%SLEEP%").await;
        admin.kill_query(id).await;
    };
    let with = LOCK.transaction(&mut conn, async |conn| -> QueryResult<()> {
        conn.batch_execute("INSERT INTO work SELECT SLEEP(100)").await?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    let (result, ()) = soon("a killed query", async { tokio::join!(with, kill) }).await;
    result.unwrap_err();
    assert_eq!(admin.holder(&database.full_name("wanted")).await, None);
    assert_eq!(database.count(&mut admin).await, 0);
    assert_eq!(connection_id(&mut conn).await, id);
}
