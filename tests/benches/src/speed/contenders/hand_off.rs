//! A named lock on its way from one connection to the next: from the call that releases it to the
//! return of the call that waited for it.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use diesel::mysql::MysqlConnection;
use diesel_locks::{Lock, LockGuard};

use super::{Contender, connect};
use crate::raw::{Raw, Statement, Value};
use crate::server::{Admin, connection_id};

const NAME: &str = "hand-off";
const LOCK: Lock = Lock::new(NAME);

/// The first one is the floor.
pub(crate) fn hand_off(url: &str, database: &str) -> Vec<Contender> {
    vec![
        contender::<RawClient>("C client, `SELECT GET_LOCK`", url, database),
        contender::<Library>("`acquire` and `release`", url, database),
    ]
}

trait Client {
    fn connect(url: &str, database: &str) -> Self;
    fn id(&mut self) -> u64;
    fn acquire(&mut self);
    fn release(&mut self);
}

fn contender<C: Client + 'static>(name: &'static str, url: &str, database: &str) -> Contender {
    let (begin, turns) = channel::<()>();
    let (id_out, id) = channel();
    let (acquired_out, acquired) = channel();
    let (url_of_waiter, database_of_waiter) = (url.to_owned(), database.to_owned());
    // Ends with the contender, which drops `begin`.
    thread::spawn(move || {
        let mut waiter = C::connect(&url_of_waiter, &database_of_waiter);
        id_out.send(waiter.id()).expect("the contender waits for it");
        while turns.recv().is_ok() {
            waiter.acquire();
            let now = Instant::now();
            waiter.release();
            acquired_out.send(now).expect("the contender waits for it");
        }
    });
    let id = id.recv().expect("the waiter has connected");
    let (mut holder, mut admin) = (C::connect(url, database), Admin::new());
    Contender::timed(name, move |times| {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            holder.acquire();
            begin.send(()).expect("the waiter lives");
            while !admin.is_waiting(id) {
                thread::yield_now();
            }
            let released = Instant::now();
            holder.release();
            total += acquired.recv().expect("the waiter lives") - released;
        }
        total
    })
}

struct RawClient {
    id: u64,
    acquire: Statement,
    release: Statement,
}

impl Client for RawClient {
    fn connect(url: &str, database: &str) -> Self {
        let conn = Raw::connect(url);
        let id = Statement::prepare(&conn, "SELECT CONNECTION_ID()", &[]).run();
        let name = Value::Text(format!("{database}.{NAME}"));
        let values = [name.clone(), Value::Number(10)];
        Self {
            id: id.try_into().expect("not negative"),
            acquire: Statement::prepare(&conn, "SELECT GET_LOCK(?, ?)", &values),
            release: Statement::prepare(&conn, "SELECT RELEASE_LOCK(?)", &[name]),
        }
    }

    fn id(&mut self) -> u64 {
        self.id
    }

    fn acquire(&mut self) {
        assert_eq!(self.acquire.run(), 1);
    }

    fn release(&mut self) {
        assert_eq!(self.release.run(), 1);
    }
}

enum Library {
    Free(Option<MysqlConnection>),
    Held(Option<LockGuard<MysqlConnection>>),
}

impl Client for Library {
    fn connect(url: &str, _: &str) -> Self {
        Self::Free(Some(connect(url)))
    }

    fn id(&mut self) -> u64 {
        let Self::Free(Some(conn)) = self else { panic!("held") };
        connection_id(conn)
    }

    fn acquire(&mut self) {
        let Self::Free(conn) = self else { panic!("held") };
        *self = Self::Held(Some(LOCK.acquire_owned(conn.take().unwrap()).unwrap()));
    }

    fn release(&mut self) {
        let Self::Held(guard) = self else { panic!("free") };
        *self = Self::Free(Some(guard.take().unwrap().release().unwrap()));
    }
}
