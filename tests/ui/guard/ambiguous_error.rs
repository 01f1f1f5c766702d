use diesel::prelude::*;
use diesel_locks::Lock;

fn nightly(conn: &mut MysqlConnection) -> Result<(), Box<dyn std::error::Error>> {
    Lock::new("nightly").with(conn, |_conn| Ok(()))?;
    Ok(())
}

fn main() {}
