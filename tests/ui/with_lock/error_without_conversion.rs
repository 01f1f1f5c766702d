use diesel::MysqlConnection;
use diesel_locks::with_lock;

enum AppError {
    Refused,
}

#[with_lock("nightly")]
fn app(conn: &mut MysqlConnection) -> Result<(), AppError> {
    Err(AppError::Refused)
}

#[with_lock("nightly")]
fn generic<E>(conn: &mut MysqlConnection, error: E) -> Result<(), E> {
    Err(error)
}

fn main() {}
