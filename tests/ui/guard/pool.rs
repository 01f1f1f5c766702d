use diesel::MysqlConnection;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel_locks::{Error, Lock};

fn nightly(mut pool: Pool<ConnectionManager<MysqlConnection>>) -> Result<(), Error> {
    Lock::new("nightly").with(&mut pool, |_pool| Ok(()))
}

fn main() {}
