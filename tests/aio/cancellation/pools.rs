//! Connections of pools, and boxes, on which calls are cancelled.

use diesel_async::AsyncMysqlConnection;
use diesel_async::pooled_connection::{bb8, deadpool};
use diesel_locks::aio::{LockGuard, TableLock};
use futures_util::future::BoxFuture;

use super::calls::{CALLS, FREE, write};
use super::kept_connections::Scene;
use crate::support::{
    Database, Drop, Listings, connection_id, number, on_both_runtimes, polled, soon,
};

/// Where a connection comes from, and goes to.
trait Source {
    type Conn: std::ops::DerefMut<Target = AsyncMysqlConnection> + Send + 'static;

    async fn new(database: &Database) -> Self;

    async fn get(&self) -> Self::Conn;
}

/// With room for one connection, so that the next to come would get what the last one left.
impl Source for bb8::Pool<AsyncMysqlConnection> {
    type Conn = bb8::PooledConnection<'static, AsyncMysqlConnection>;

    async fn new(database: &Database) -> Self {
        database.bb8(1).await
    }

    async fn get(&self) -> Self::Conn {
        self.get_owned().await.unwrap()
    }
}

impl Source for deadpool::Pool<AsyncMysqlConnection> {
    type Conn = deadpool::Object<AsyncMysqlConnection>;

    async fn new(database: &Database) -> Self {
        database.deadpool(1)
    }

    async fn get(&self) -> Self::Conn {
        deadpool::Pool::get(self).await.unwrap()
    }
}

struct Boxes(url::Url);

impl Source for Boxes {
    type Conn = Box<AsyncMysqlConnection>;

    async fn new(database: &Database) -> Self {
        Self(database.url())
    }

    async fn get(&self) -> Self::Conn {
        let connected =
            <AsyncMysqlConnection as diesel_async::AsyncConnection>::establish(self.0.as_str());
        Box::new(connected.await.unwrap())
    }
}

/// Calls that take the connection itself.
type OwnedCall<Conn> = fn(Conn) -> BoxFuture<'static, ()>;

fn owned_calls<Conn>() -> [(&'static str, OwnedCall<Conn>); 5]
where
    Conn: std::ops::DerefMut<Target = AsyncMysqlConnection> + Send + 'static,
{
    [
        ("acquire_owned", |conn| {
            Box::pin(async move {
                let mut guard = FREE.acquire_owned(conn).await.map_err(drop).unwrap();
                assert!(guard.is_still_held().await.unwrap());
                guard.release().await.unwrap();
            })
        }),
        ("try_acquire_owned", |conn| {
            Box::pin(async move {
                let guard = FREE.try_acquire_owned(conn).await.map_err(drop).unwrap();
                let mut guard = guard.unwrap();
                let done: diesel::QueryResult<()> = guard.transaction(write).await;
                done.unwrap();
                guard.release().await.unwrap();
            })
        }),
        ("acquire_owned in a task", |conn| {
            Box::pin(async move {
                let guard = FREE.acquire_owned(conn).await.map_err(drop).unwrap();
                let release = tokio::spawn(LockGuard::release(guard));
                release.await.unwrap().unwrap();
            })
        }),
        ("leak", |conn| {
            Box::pin(async move {
                let guard = FREE.acquire_owned(conn).await.map_err(drop).unwrap();
                let mut conn = guard.leak();
                // From here on nothing dooms it but the call.
                FREE.release(&mut conn).await.unwrap();
            })
        }),
        ("lock_tables_owned", |conn| {
            Box::pin(async move {
                let tables = TableLock::new().write_table("work");
                let mut guard = tables.acquire_owned(conn).await.map_err(drop).unwrap();
                write(&mut guard).await.unwrap();
                guard.release().await.unwrap();
            })
        }),
    ]
}

/// The next user of the pool gets a connection that works, and holds nothing.
async fn expect_clean<S: Source>(what: &str, source: &S, scene: &mut Scene) {
    let mut conn = soon(&format!("{what}: the next connection"), source.get()).await;
    let id = connection_id(&mut conn).await;
    scene.expect_nothing_held(what, id).await;
    assert_eq!(number("17", &mut conn).await, Ok(17), "{what}");
    assert!(!FREE.is_held(&mut conn).await.unwrap(), "{what}");
}

async fn cancel_every_call<S: Source>() {
    Listings::load().await;
    let mut scene = Scene::set().await;
    let source = S::new(&scene.database).await;
    let mut points = 0;
    for (i, (name, call)) in CALLS.iter().enumerate() {
        let drop = Drop::BOTH[i % 2];
        for polls in 1.. {
            let mut conn = source.get().await;
            let what = format!("{name}, dropped {drop:?} after {polls} polls");
            let done = soon(&what, polled(polls, drop, call(&mut conn))).await;
            std::mem::drop(conn);
            expect_clean(&what, &source, &mut scene).await;
            points += 1;
            if done.is_some() {
                break;
            }
        }
    }
    for (name, call) in owned_calls() {
        for drop in Drop::BOTH {
            for polls in 1.. {
                let what = format!("{name}, dropped {drop:?} after {polls} polls");
                let call = call(source.get().await);
                let done = soon(&what, polled(polls, drop, call)).await;
                expect_clean(&what, &source, &mut scene).await;
                points += 1;
                if done.is_some() {
                    break;
                }
            }
        }
    }
    println!("{points} points");
}

on_both_runtimes! {
    async fn bb8_gets_no_connection_back_on_which_a_call_was_cancelled() {
        cancel_every_call::<bb8::Pool<AsyncMysqlConnection>>().await;
    }

    async fn deadpool_gives_no_connection_out_on_which_a_call_was_cancelled() {
        cancel_every_call::<deadpool::Pool<AsyncMysqlConnection>>().await;
    }

    async fn a_box_that_is_dropped_with_a_call_holds_nothing() {
        cancel_every_call::<Boxes>().await;
    }
}
