//! One named lock after the other in two databases, as in a process with two pools.

use diesel::mysql::MysqlConnection;
use diesel_locks::Lock;

use super::{Contender, connect};

const LOCK: Lock = Lock::new("in turn");

/// Returns the first one stays in one database.
pub(crate) fn databases(url: &str, database: &str) -> Vec<Contender> {
    let other = other(database);
    let both = || [connect(url), connect(&url.replacen(database, &other, 1))];
    vec![
        {
            let mut conn = connect(url);
            Contender::new("`acquire` and `release` in one database", move || {
                pair(LOCK, &mut conn);
            })
        },
        {
            let mut conns = both();
            Contender::new("the same, in two databases in turn", move || {
                conns.reverse();
                pair(LOCK, &mut conns[0]);
            })
        },
        {
            let mut conns = both();
            let mut databases = [database.to_owned(), other.clone()];
            Contender::new("the same, by `in_database`", move || {
                conns.reverse();
                databases.reverse();
                pair(LOCK.in_database(&databases[0]), &mut conns[0]);
            })
        },
    ]
}

/// Returns the name of the second database.
pub(crate) fn other(database: &str) -> String {
    format!("{database}_2")
}

fn pair(lock: Lock<'_>, conn: &mut MysqlConnection) {
    lock.acquire(conn).unwrap().release().unwrap();
}
