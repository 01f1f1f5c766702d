#![deny(unused_must_use)]

use diesel::MysqlConnection;
use diesel_locks::{Error, Lock, TableLock};

diesel::table! { places (id) { id -> Integer, } }

fn named(conn: &mut MysqlConnection) -> Result<(), Error> {
    Lock::new("nightly").acquire(conn)?;
    Ok(())
}

fn tables(conn: &mut MysqlConnection) -> Result<(), Error> {
    TableLock::new().write::<places::table>().acquire(conn)?;
    Ok(())
}

fn main() {}
