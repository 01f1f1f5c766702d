use diesel::MysqlConnection;
use diesel_locks::with_lock;

#[with_lock("nightly")]
fn number(conn: &mut MysqlConnection) -> usize {
    1
}

#[with_lock("nightly", transaction)]
fn option(conn: &mut MysqlConnection) -> Option<String> {
    None
}

#[with_lock("outer")]
#[with_lock("inner")]
fn stacked(conn: &mut MysqlConnection) -> Vec<u8> {
    Vec::new()
}

#[with_lock("nightly")]
fn hidden(conn: &mut MysqlConnection) -> impl Iterator<Item = u8> {
    std::iter::empty()
}

fn main() {}
