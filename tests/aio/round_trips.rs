//! Round trips, counted by a proxy: a promise of the documentation.

use std::time::Duration;

use diesel::QueryResult;
use diesel_async::AsyncMysqlConnection;
use diesel_locks::aio::{Lock, TableLock, inspect_server};

use crate::support::{Database, Proxy, alone};

const LOCK: Lock = Lock::new("counted");

/// A call of which only a part is counted.
struct Counter<'p> {
    proxy: &'p Proxy,
    counted: Option<usize>,
    requests: Vec<String>,
}

impl Counter<'_> {
    fn start(&self) {
        self.proxy.take();
    }

    fn stop(&mut self) {
        self.requests = self.proxy.take();
        self.counted = Some(self.requests.len());
    }
}

/// Runs the call twice, and counts the second time: on a connection that has done the same before.
async fn expect(
    what: &str,
    most: usize,
    conn: &mut AsyncMysqlConnection,
    proxy: &Proxy,
    mut call: impl AsyncFnMut(&mut AsyncMysqlConnection, &mut Counter<'_>),
) {
    let mut counter = Counter { proxy, counted: None, requests: Vec::new() };
    for _ in 0..2 {
        call(conn, &mut counter).await;
    }
    let trips = counter.counted.unwrap();
    println!("{what}: {trips} round trips");
    assert!(trips <= most, "{what}: {trips} instead of {most}: {:#?}", counter.requests);
}

fn tables() -> TableLock {
    TableLock::new().write_table("work").read_table("prices")
}

alone! {
    async fn a_named_lock_takes_a_round_trip_for_each_call() {
        let (database, proxy) = (Database::create().await, Proxy::start().await);
        let mut conn = database.connect_through(&proxy).await;
        let (conn, lock) = (&mut conn, LOCK);
        expect("acquire", 1, conn, &proxy, async |conn, counter| {
            counter.start();
            let guard = lock.acquire(conn).await.unwrap();
            counter.stop();
            guard.release().await.unwrap();
        })
        .await;
        expect("release", 1, conn, &proxy, async |conn, counter| {
            let guard = lock.acquire(conn).await.unwrap();
            counter.start();
            guard.release().await.unwrap();
            counter.stop();
        })
        .await;
        expect("try_acquire", 1, conn, &proxy, async |conn, counter| {
            counter.start();
            let guard = lock.try_acquire(conn).await.unwrap().unwrap();
            counter.stop();
            guard.release().await.unwrap();
        })
        .await;
        expect("with", 2, conn, &proxy, async |conn, counter| {
            counter.start();
            let done: QueryResult<()> = lock.with(conn, async |_| Ok(())).await;
            counter.stop();
            done.unwrap();
        })
        .await;
        expect("acquire, a fraction of a second", 2, conn, &proxy, async |conn, counter| {
            counter.start();
            let guard = lock.timeout(Duration::from_millis(1_500)).acquire(conn).await.unwrap();
            counter.stop();
            guard.release().await.unwrap();
        })
        .await;
        expect("is_held", 1, conn, &proxy, async |conn, counter| {
            counter.start();
            assert!(!lock.is_held(conn).await.unwrap());
            counter.stop();
        })
        .await;
        expect("holding_connection_id", 1, conn, &proxy, async |conn, counter| {
            counter.start();
            assert_eq!(lock.holding_connection_id(conn).await.unwrap(), None);
            counter.stop();
        })
        .await;
        expect("is_still_held", 1, conn, &proxy, async |conn, counter| {
            let mut guard = lock.acquire(conn).await.unwrap();
            counter.start();
            assert!(guard.is_still_held().await.unwrap());
            counter.stop();
            guard.release().await.unwrap();
        })
        .await;
        expect("release of a leaked lock", 1, conn, &proxy, async |conn, counter| {
            let conn = lock.acquire(conn).await.unwrap().leak();
            counter.start();
            lock.release(conn).await.unwrap();
            counter.stop();
        })
        .await;
    }

    async fn a_transaction_takes_five_and_one_of_a_guard_four() {
        let (database, proxy) = (Database::create().await, Proxy::start().await);
        let mut conn = database.connect_through(&proxy).await;
        let (conn, lock) = (&mut conn, LOCK);
        expect("transaction", 5, conn, &proxy, async |conn, counter| {
            counter.start();
            let done: QueryResult<()> = lock.transaction(conn, async |_| Ok(())).await;
            counter.stop();
            done.unwrap();
        })
        .await;
        expect("transaction that fails", 5, conn, &proxy, async |conn, counter| {
            counter.start();
            let failed: QueryResult<()> =
                lock.transaction(conn, async |_| Err(diesel::result::Error::NotFound)).await;
            counter.stop();
            failed.unwrap_err();
        })
        .await;
        expect("transaction of a guard", 4, conn, &proxy, async |conn, counter| {
            let mut guard = lock.acquire(conn).await.unwrap();
            counter.start();
            let done: QueryResult<()> = guard.transaction(async |_| Ok(())).await;
            counter.stop();
            done.unwrap();
            guard.release().await.unwrap();
        })
        .await;
    }

    async fn a_table_lock_takes_two_and_two() {
        let (database, proxy) = (Database::create().await, Proxy::start().await);
        let mut conn = database.connect_through(&proxy).await;
        let conn = &mut conn;
        for lock in [tables(), tables().timeout(Duration::from_secs(9))] {
            expect("lock tables", 2, conn, &proxy, async |conn, counter| {
                counter.start();
                let guard = lock.acquire(conn).await.unwrap();
                counter.stop();
                guard.release().await.unwrap();
            })
            .await;
            expect("release tables", 2, conn, &proxy, async |conn, counter| {
                let guard = lock.acquire(conn).await.unwrap();
                counter.start();
                guard.release().await.unwrap();
                counter.stop();
            })
            .await;
            expect("roll back tables", 2, conn, &proxy, async |conn, counter| {
                let guard = lock.acquire(conn).await.unwrap();
                counter.start();
                guard.rollback().await.unwrap();
                counter.stop();
            })
            .await;
        }
    }

    async fn the_server_is_inspected_in_two() {
        let (database, proxy) = (Database::create().await, Proxy::start().await);
        let mut conn = database.connect_through(&proxy).await;
        expect("inspect_server", 2, &mut conn, &proxy, async |conn, counter| {
            counter.start();
            inspect_server(conn).await.unwrap();
            counter.stop();
        })
        .await;
    }
}

alone! {
    async fn keeping_a_lock_alive_costs_one_round_trip_to_begin_and_two_to_end() {
        let (database, proxy) = (Database::create().await, Proxy::start().await);
        let mut conn = database.connect_through(&proxy).await;
        LOCK.acquire(&mut conn).await.unwrap().release().await.unwrap();
        let guard = LOCK.acquire_owned(Box::new(conn)).await.unwrap();
        proxy.take();
        let kept = guard.keep_alive(Duration::from_secs(3_000)).await.unwrap();
        let (begin, _) = (proxy.take(), kept.release().await.unwrap());
        let end = proxy.take();
        assert_eq!((begin.len(), end.len()), (1, 2), "{begin:#?}, {end:#?}");
    }
}
