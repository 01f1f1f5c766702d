use diesel::r2d2::{ConnectionManager, Pool};
use diesel::MysqlConnection;
use diesel_locks::{Error, Lock, LockGuard};

type MysqlPool = Pool<ConnectionManager<MysqlConnection>>;

fn hold<'p>(pool: &'p MysqlPool) -> Result<LockGuard<&'p mut MysqlConnection>, Error> {
    let mut conn = pool.get().unwrap();
    // The right form is `acquire_owned`.
    Lock::new("invoices").acquire(&mut conn)
}

fn main() {}
