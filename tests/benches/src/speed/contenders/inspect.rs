//! Whether a lock is held, and by which connection.

use std::rc::Rc;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_locks::Lock;

use super::{Contender, connect};
use crate::raw::{Raw, Statement, Value};

const NAME: &str = "inspected";
const LOCK: Lock = Lock::new(NAME);

diesel::define_sql_function! {
    fn is_used_lock(name: Text) -> Nullable<Unsigned<BigInt>>;
}

/// All but the last one look at the lock of another connection. The first one is the floor.
pub(crate) fn inspect(url: &str, database: &str) -> Vec<Contender> {
    let full = format!("{database}.{NAME}");
    let held = Rc::new(LOCK.acquire_owned(connect(url)).unwrap());
    let until_dropped = || Rc::clone(&held);
    vec![
        {
            let (conn, held) = (Raw::connect(url), until_dropped());
            let name = [Value::Text(full.clone())];
            let mut holder = Statement::prepare(&conn, "SELECT IS_USED_LOCK(?)", &name);
            Contender::new("C client, `SELECT IS_USED_LOCK`", move || {
                let _ = &held;
                assert!(holder.run() > 0);
            })
        },
        {
            let (mut conn, held) = (connect(url), until_dropped());
            Contender::new("Diesel, typed `select(is_used_lock(…))`", move || {
                let _ = &held;
                let holder: Option<u64> =
                    diesel::select(is_used_lock(&full)).get_result(&mut conn).unwrap();
                assert!(holder.is_some());
            })
        },
        {
            let (mut conn, held) = (connect(url), until_dropped());
            Contender::new("`Lock::is_held`", move || {
                let _ = &held;
                assert!(LOCK.is_held(&mut conn).unwrap());
            })
        },
        {
            let (mut conn, held) = (connect(url), until_dropped());
            Contender::new("`Lock::holding_connection_id`", move || {
                let _ = &held;
                assert!(LOCK.holding_connection_id(&mut conn).unwrap().is_some());
            })
        },
        {
            let own = Lock::new("inspected by its guard");
            let mut guard = own.acquire_owned(connect(url)).unwrap();
            Contender::new("`LockGuard::is_still_held`", move || {
                assert!(guard.is_still_held().unwrap());
            })
        },
    ]
}
