use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

struct User {
    id: i32,
}

#[with_lock("invoice-{user.id}")]
fn field(conn: &mut MysqlConnection, user: User) -> QueryResult<()> {
    Ok(())
}

#[with_lock("{}-{user.id:04}-{ids[0]}", user.id, timeout = 5)]
fn several(conn: &mut MysqlConnection, user: User, ids: &[i32]) -> QueryResult<()> {
    Ok(())
}

// These are reported by `format!` itself, at the literal.

#[with_lock("invoice-{")]
fn bracket(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("invoice-{}")]
fn missing(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("invoice-{user}")]
fn not_display(conn: &mut MysqlConnection, user: User) -> QueryResult<()> {
    Ok(())
}

fn main() {}
