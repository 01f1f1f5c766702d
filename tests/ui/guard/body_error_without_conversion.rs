use diesel::MysqlConnection;
use diesel_locks::Lock;

struct Refused;

fn pay(conn: &mut MysqlConnection) -> Result<(), Refused> {
    Lock::new("invoices").with(conn, |_| Err(Refused))
}

fn generic<E>(conn: &mut MysqlConnection, error: E) -> Result<(), E> {
    Lock::new("invoices").with(conn, |_| Err(error))
}

fn main() {}
