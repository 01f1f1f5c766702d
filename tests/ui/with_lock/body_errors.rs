use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[derive(Debug)]
struct AppError;

impl From<diesel::result::Error> for AppError {
    fn from(_: diesel::result::Error) -> Self {
        Self
    }
}

// The body's own errors are marked where they are, as without the attribute.

#[with_lock("nightly-{id}")]
fn wrong_tail(conn: &mut MysqlConnection, id: i32) -> QueryResult<String> {
    Ok(id)
}

#[with_lock("nightly")]
fn wrong_return(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
    if id > 1 {
        return id;
    }
    Ok(())
}

#[with_lock("nightly")]
fn wrong_question_mark(conn: &mut MysqlConnection) -> Result<i32, AppError> {
    Ok("1".parse::<i32>()?)
}

#[with_lock("nightly")]
fn no_tail(conn: &mut MysqlConnection) -> QueryResult<()> {
    println!("nothing");
}

#[with_lock("nightly")]
fn unknown_name(conn: &mut MysqlConnection) -> QueryResult<()> {
    repair(conn)
}

fn main() {}
