//! A thread that kills the queries of one connection again and again.

use std::hint::spin_loop;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;

use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id};
use crate::support::storms::StopOnDrop;

/// A thread that kills the queries of a connection again and again, except while it is held off.
pub(crate) struct Storm {
    /// The connection to kill queries of.
    target: AtomicU64,
    killing: Mutex<()>,
    /// A mutex is not fair: without this the killer would lock it again before any other thread.
    calm: AtomicBool,
}

impl Storm {
    pub(crate) fn during<T>(target: u64, body: impl FnOnce(&Storm) -> T) -> T {
        let (target, killing) = (AtomicU64::new(target), Mutex::new(()));
        let storm = Self { target, killing, calm: AtomicBool::new(false) };
        let over = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                let mut admin = Admin::new();
                let mut round = 0;
                while !over.load(Ordering::SeqCst) {
                    if storm.calm.load(Ordering::SeqCst) {
                        thread::yield_now();
                        continue;
                    }
                    // Many kills in one request, at the pace of the server and not of the network;
                    // but not the same pace each time, and with gaps in which calls succeed.
                    round += 1;
                    if let Ok(_killing) = storm.killing.lock() {
                        let target = storm.target();
                        let kill = format!("KILL QUERY {target}; DO SLEEP(0.0000{});", round % 10);
                        // The target may be gone.
                        let _ = admin.0.batch_execute(&kill.repeat(8));
                    }
                    for _ in 0..(round % 31) * 2_000 {
                        spin_loop();
                    }
                }
            });
            let _end = StopOnDrop(&over);
            body(&storm)
        })
    }

    pub(crate) fn target(&self) -> u64 {
        self.target.load(Ordering::SeqCst)
    }

    /// Holds the killer off while the body runs, after a kill that was already sent has had its
    /// effect.
    pub(crate) fn calm<T>(
        &self,
        conn: &mut MysqlConnection,
        body: impl FnOnce(&mut MysqlConnection) -> T,
    ) -> T {
        self.calm.store(true, Ordering::SeqCst);
        let held_off = self.killing.lock().unwrap();
        for _ in 0..2 {
            let _ = conn.batch_execute("DO 0");
        }
        let result = body(conn);
        drop(held_off);
        self.calm.store(false, Ordering::SeqCst);
        result
    }

    /// Replaces a connection that the library has closed because of too many kills. The server then
    /// frees its locks.
    pub(crate) fn replace_if_broken(&self, conn: &mut MysqlConnection, db: &Database) -> bool {
        if !conn.is_broken() {
            return false;
        }
        Admin::new().until_free(&db.full_name("lock"));
        *conn = db.connect();
        self.set_target(connection_id(conn));
        true
    }

    pub(crate) fn set_target(&self, id: u64) {
        self.target.store(id, Ordering::SeqCst);
    }
}
