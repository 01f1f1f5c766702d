use diesel::prelude::*;
use diesel_locks::Lock;

fn nightly<C: Connection>(conn: &mut C) -> QueryResult<()> {
    Lock::new("nightly").with(conn, |_conn| Ok(()))
}

fn main() {}
