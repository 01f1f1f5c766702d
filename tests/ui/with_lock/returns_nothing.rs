use diesel::MysqlConnection;
use diesel_locks::with_lock;

#[with_lock("nightly")]
fn nothing(conn: &mut MysqlConnection) {
    println!("no second error here");
}

#[with_lock("nightly")]
fn unit(conn: &mut MysqlConnection) -> () {}

#[with_lock("nightly")]
fn never(conn: &mut MysqlConnection) -> ! {
    loop {}
}

fn main() {}
