use diesel::MysqlConnection;
use diesel_locks::with_lock;

#[with_lock("{user.id}", tries = 3, timeout = -1)]
#[with_lock("", timeout = 1, timeout = 2)]
async fn nightly(db: &MysqlConnection) {}

fn main() {}
