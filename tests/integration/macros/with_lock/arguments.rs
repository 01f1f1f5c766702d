//! The name, the connection and the other arguments of a function under a named lock.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use diesel::prelude::*;
use diesel_locks::{Lock, with_lock};

use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};

use super::{Pooled, holds};

#[test]
fn the_name_follows_format_and_is_evaluated_once() {
    struct Order {
        id: i32,
    }

    fn next(count: &AtomicU32) -> u32 {
        count.fetch_add(1, Ordering::SeqCst)
    }

    #[with_lock("{}-{part:0>3}-{{{0}}}-{n}", order.id, n = next(count))]
    fn held(
        conn: &mut MysqlConnection,
        order: &Order,
        part: impl Display,
        count: &AtomicU32,
    ) -> QueryResult<bool> {
        Ok(holds(conn, "7-00x-{7}-0"))
    }

    #[with_lock("literal {{braces}}")]
    fn braces(conn: &mut MysqlConnection) -> QueryResult<bool> {
        Ok(holds(conn, "literal {braces}"))
    }

    let db = Database::new();
    let mut conn = db.connect();
    let count = AtomicU32::new(0);
    assert!(held(&mut conn, &Order { id: 7 }, 'x', &count).unwrap());
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(braces(&mut conn).unwrap());
}

#[test]
fn the_name_is_evaluated_before_waiting() {
    static NAMED: AtomicBool = AtomicBool::new(false);

    fn name() -> &'static str {
        NAMED.store(true, Ordering::SeqCst);
        "waited for"
    }

    #[with_lock("{}", name())]
    fn wait(conn: &mut MysqlConnection) -> QueryResult<()> {
        connection_id(conn);
        Ok(())
    }

    let db = Database::new();
    let (mut holder, mut waiter, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut waiter);
    let guard = Lock::new("waited for").acquire(&mut holder).unwrap();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| wait(&mut waiter));
        admin.until_waiting(id);
        assert!(NAMED.load(Ordering::SeqCst));
        guard.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_method_may_lock_with_its_own_connection() {
    struct Repository<Conn> {
        conn: Conn,
        id: i32,
        timeout: Duration,
    }

    impl Repository<MysqlConnection> {
        #[with_lock("repository-{}", self.id, conn = self.conn, timeout = self.timeout)]
        fn own(&mut self) -> QueryResult<bool> {
            let name = format!("repository-{}", self.id);
            self.id += 1;
            Ok(holds(&mut self.conn, &name))
        }
    }

    impl Repository<&mut MysqlConnection> {
        #[with_lock("repository-{}", self.id, conn = self.conn)]
        fn borrowed(&mut self) -> QueryResult<bool> {
            Ok(holds(self.conn, "repository-2"))
        }

        #[with_lock("repository-{}", self.id)]
        fn given(&self, conn: &mut MysqlConnection) -> QueryResult<bool> {
            Ok(holds(conn, "repository-2"))
        }
    }

    let db = Database::new();
    let timeout = Duration::from_millis(100);
    let mut own = Repository { conn: db.connect(), id: 1, timeout };
    assert!(own.own().unwrap());
    assert_eq!(count_and_release_locks(&mut own.conn), 0);
    let mut borrowed = Repository { conn: &mut own.conn, id: own.id, timeout };
    assert!(borrowed.borrowed().unwrap());
    assert!(borrowed.given(&mut db.connect()).unwrap());
}

#[test]
fn a_pooled_connection_may_be_borrowed_or_owned() {
    #[with_lock("pooled")]
    fn borrowed(conn: &mut Pooled) -> QueryResult<bool> {
        Ok(holds(conn, "pooled"))
    }

    #[with_lock("pooled")]
    fn owned(mut conn: Pooled) -> QueryResult<bool> {
        Ok(holds(&mut conn, "pooled"))
    }

    let db = Database::new();
    let pool = db.pool(2);
    assert!(borrowed(&mut pool.get().unwrap()).unwrap());
    assert!(owned(pool.get().unwrap()).unwrap());
    let mut connections = [pool.get().unwrap(), pool.get().unwrap()];
    assert!(connections.iter_mut().all(|conn| count_and_release_locks(conn) == 0));
}

#[test]
fn arguments_of_any_shape_work() {
    #[with_lock("{name}-{first}")]
    fn shapes<'a, T>(
        conn: &mut MysqlConnection,
        (first, _): (i32, i32),
        [kept, ..]: &'a mut [T; 2],
        name: impl Display,
    ) -> QueryResult<(&'a mut T, bool)>
    where
        T: Display,
    {
        Ok((kept, holds(conn, "name-1")))
    }

    #[with_lock("hidden-{}", N)]
    fn hidden<const N: usize>(
        conn: &mut MysqlConnection,
    ) -> QueryResult<impl FnOnce() -> bool + use<N>> {
        let held = holds(conn, "hidden-3");
        Ok(move || held)
    }

    let db = Database::new();
    let mut conn = db.connect();
    let mut list = [1, 2];
    let (kept, held) = shapes(&mut conn, (1, 2), &mut list, "name").unwrap();
    assert!(held);
    *kept = 3;
    assert_eq!(list, [3, 2]);
    assert!(hidden::<3>(&mut conn).unwrap()());
}

#[test]
fn the_connection_may_be_moved_in_the_body() {
    struct Keeper<'c>(&'c mut MysqlConnection);

    #[with_lock("moved")]
    fn moved(conn: &mut MysqlConnection) -> QueryResult<bool> {
        let keeper = Keeper(conn);
        Ok(holds(keeper.0, "moved"))
    }

    let db = Database::new();
    let mut conn = db.connect();
    assert!(moved(&mut conn).unwrap());
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_server_wide_lock_has_no_prefix() {
    let db = Database::new();
    let name = format!("{}-wide", db.name());

    #[with_lock("{name}", server_wide)]
    fn wide(conn: &mut MysqlConnection, name: &str) -> QueryResult<bool> {
        let id = connection_id(conn);
        Ok(Admin::new().holder(name) == Some(id))
    }

    assert!(wide(&mut db.connect(), &name).unwrap());
}
