//! Calls that are dropped while the server waits for another connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_locks::aio::{Lock, TableLock};
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::probes::{Probe, ask_all};
use crate::support::{
    Admin, Database, Drop, connection_id, keep, on_both_runtimes, polled, soon, until,
};

const LOCK: Lock = Lock::new("wanted").timeout(Duration::from_secs(3_000));

/// A lock that is free. But a transaction that another connection has open keeps its next token.
const DRAWN: Lock = Lock::new("drawn").timeout(Duration::from_secs(3_000)).fenced();

type Wait = for<'c> fn(&'c mut AsyncMysqlConnection) -> BoxFuture<'c, ()>;

macro_rules! waits {
    ($($name:ident($conn:ident) $body:block)*) => {
        $(fn $name(conn: &mut AsyncMysqlConnection) -> BoxFuture<'_, ()> {
            let $conn = conn;
            Box::pin(async move { $body })
        })*

        const WAITS: &[(&str, Wait)] = &[$((stringify!($name), $name)),*];
    };
}

async fn never(_: &mut AsyncMysqlConnection) -> QueryResult<()> {
    panic!("another connection has the lock")
}

fn tables() -> TableLock {
    TableLock::new().read_table("prices").write_table("work")
}

waits! {
    acquire(conn) {
        LOCK.acquire(conn).await.map(keep).unwrap();
        panic!("another connection has the lock")
    }
    acquire_without_a_timeout(conn) {
        LOCK.without_timeout().acquire(conn).await.map(keep).unwrap();
        panic!("another connection has the lock")
    }
    acquire_within_a_fraction_of_a_second(conn) {
        let lock = LOCK.timeout(Duration::from_millis(2_000_500));
        lock.acquire(conn).await.map(keep).unwrap();
        panic!("another connection has the lock")
    }
    with(conn) {
        LOCK.with(conn, never).await.unwrap();
    }
    transaction(conn) {
        LOCK.transaction(conn, never).await.unwrap();
    }
    acquire_a_set(conn) {
        let set = Lock::all(["outer", "wanted"]).timeout(Duration::from_secs(3_000));
        set.acquire(conn).await.map(keep).unwrap();
        panic!("another connection has the lock")
    }
    draw_a_fencing_token(conn) {
        DRAWN.acquire(conn).await.map(keep).unwrap();
        panic!("another connection has a transaction open")
    }
    lock_tables(conn) {
        let _ = tables().acquire(conn).await.unwrap();
        panic!("another connection has the tables")
    }
    lock_tables_with_a_timeout(conn) {
        tables().timeout(Duration::from_secs(3_000)).with(conn, never).await.unwrap();
    }
    wait_inside_a_lock(conn) {
        let outer = Lock::new("outer");
        let _ = outer.with(conn, async |conn| LOCK.with(conn, never).await).await;
    }
    wait_for_tables_inside_a_lock(conn) {
        let outer = Lock::new("outer");
        let _ = outer.transaction(conn, async |conn| {
            // Diesel's own query waits, in the body.
            conn.batch_execute("INSERT INTO work VALUES (1)").await
        }).await;
    }
}

/// What other connections hold.
struct Scene {
    database: Database,
    admin: Admin,
    holder: AsyncMysqlConnection,
    busy: AsyncMysqlConnection,
    drawer: AsyncMysqlConnection,
}

impl Scene {
    async fn set() -> Self {
        let database = super::database().await;
        let mut scene = Self {
            admin: Admin::connect().await,
            holder: database.connect().await,
            busy: database.connect().await,
            drawer: database.connect().await,
            database,
        };
        super::probes::BUSY.acquire(&mut scene.busy).await.unwrap().leak();
        let lock = "SET autocommit = 0; LOCK TABLES work WRITE, prices WRITE";
        scene.holder.batch_execute(lock).await.unwrap();
        LOCK.acquire(&mut scene.holder).await.unwrap().leak();
        DRAWN.acquire(&mut scene.drawer).await.unwrap().release().await.unwrap();
        let open = "START TRANSACTION; SELECT token FROM diesel_locks_fences FOR UPDATE";
        scene.drawer.batch_execute(open).await.unwrap();
        scene
    }

    /// Drops the call after this many polls, or when the server waits. Returns whether it waited.
    async fn cancel(&mut self, name: &str, wait: Wait, polls: usize, drop: Drop) -> bool {
        let mut conn = self.database.connect().await;
        let id = connection_id(&mut conn).await;
        Probe::warm_up_select(&mut conn).await;
        let what = format!("{name}, dropped {drop:?} after {polls} polls");
        let admin = &mut self.admin;
        let (waits, waiting) = oneshot::channel();
        let dropped = AtomicBool::new(false);
        let call = async {
            let was_waiting = tokio::select! {
                done = polled(polls, drop, wait(&mut conn)) => {
                    assert!(done.is_none(), "{what}: returned");
                    false
                }
                _ = waiting => true,
            };
            dropped.store(true, Ordering::Relaxed);
            was_waiting
        };
        // Never cancelled itself.
        let watch = async {
            until(&format!("{what}: waits"), async || {
                admin.is_waiting(id).await || dropped.load(Ordering::Relaxed)
            })
            .await;
            let _ = waits.send(());
        };
        let (waited, ()) = tokio::join!(call, watch);
        until(&format!("{what}: waits no more"), async || !admin.is_waiting(id).await).await;
        admin.until_gone(id).await;
        for lock in ["outer", "drawn"] {
            admin.until_free(&self.database.full_name(lock)).await;
        }
        drop_or_use(conn, id, polls, self).await;
        waited
    }
}

/// The owner of the connection uses it again, or not.
async fn drop_or_use(mut conn: AsyncMysqlConnection, id: u64, polls: usize, scene: &mut Scene) {
    let first = [Probe::Batch, Probe::CachedSelect, Probe::AcquireBusy][polls % 3];
    if polls % 4 > 0 {
        let asked = ask_all(first, &mut conn, id, &scene.database, &mut scene.admin);
        soon("using the connection again", asked).await;
    }
}

async fn cancel_every_wait(drop: Drop) {
    let mut scene = Scene::set().await;
    let mut points = 0;
    for (name, wait) in WAITS {
        let mut polls = 1;
        while !scene.cancel(name, *wait, polls, drop).await {
            polls += 1;
        }
        println!("{name}: {polls} polls, {drop:?}");
        points += polls;
    }
    println!("{points} points, {drop:?}");
    // The one that holds has not lost anything, and no other comes after it.
    let id = connection_id(&mut scene.holder).await;
    let full_name = scene.database.full_name("wanted");
    assert_eq!(scene.admin.holder(&full_name).await, Some(id));
    LOCK.release(&mut scene.holder).await.unwrap();
    scene.holder.batch_execute("ROLLBACK; UNLOCK TABLES").await.unwrap();
    assert_eq!(scene.admin.holder(&full_name).await, None);
    assert!(scene.database.has_free_tables(&mut scene.admin).await);
    assert_eq!(scene.database.count(&mut scene.admin).await, 0);
}

on_both_runtimes! {
    async fn a_wait_whose_future_is_dropped_ends_at_the_server() {
        cancel_every_wait(Drop::AtOnce).await;
    }
}
