//! Draws and checks that are killed: nothing is left held, and no token is drawn twice.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::R2D2Connection;
use diesel_locks::{Error, Lock};

use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::storms::{StopOnDrop, tries};
use crate::support::table_checks::session;
use crate::support::watchdog;

const LOCK: Lock = Lock::new("lock").fenced();

#[test]
fn killed_draws_leave_no_lock_and_no_setting_and_tokens_still_grow() {
    watchdog(|| {
        let db = Database::with_fences();
        let mut conn = db.connect();
        conn.batch_execute("SET autocommit = 0").unwrap();
        let found = session(&mut conn);
        let target = AtomicU64::new(connection_id(&mut conn));
        let over = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                let mut admin = Admin::new();
                let mut round = 0;
                while !over.load(Ordering::SeqCst) {
                    round += 1;
                    admin.kill_query(target.load(Ordering::SeqCst));
                    let pause = format!("DO SLEEP(0.000{})", round % 10);
                    admin.0.batch_execute(&pause).unwrap();
                }
            });
            let stop = StopOnDrop(&over);
            let (mut last, mut killed) = (0, 0);
            for n in tries(600, Duration::from_secs(5)) {
                match LOCK.acquire(&mut conn) {
                    Ok(guard) => {
                        let token = guard.fencing_token().unwrap();
                        assert!(token > last, "try {n}: {token} after {last}");
                        last = token;
                    }
                    Err(error) => {
                        killed += 1;
                        let plausible = matches!(
                            error,
                            Error::Interrupted { .. } | Error::Diesel(_) | Error::ConnectionLost(_)
                        );
                        assert!(plausible, "try {n}: {error:?}");
                    }
                }
                if conn.is_broken() {
                    Admin::new().until_free(&db.full_name("lock"));
                    conn = db.connect();
                    conn.batch_execute("SET autocommit = 0").unwrap();
                    target.store(connection_id(&mut conn), Ordering::SeqCst);
                }
            }
            drop(stop);
            println!("{last} tokens, {killed} killed");
        });
        // A kill may still be on its way.
        for _ in 0..2 {
            let _ = conn.batch_execute("DO 0");
        }
        assert_eq!(count_and_release_locks(&mut conn), 0);
        assert_eq!(session(&mut conn), found);
    });
}
