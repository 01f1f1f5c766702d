//! Functions under locks whose parts come out of `macro_rules!`.

use diesel::prelude::*;
use diesel_locks::{Lock, with_lock, with_table_lock};

use crate::support::schema::{Database, audit_log, places};
use crate::support::server::connection_id;

fn holds(conn: &mut MysqlConnection) -> QueryResult<bool> {
    let id = connection_id(conn);
    Ok(Lock::new("lock").holding_connection_id(conn)? == Some(id))
}

macro_rules! of_parts {
    ($(#[$attribute:meta])* $vis:vis $name:ident, $conn:ident: $ty:ty, $output:ty, $body:block) => {
        #[with_lock("lock", conn = $conn)]
        $(#[$attribute])*
        $vis fn $name($conn: $ty) -> $output $body
    };
}

of_parts!(pub(crate) block, db: &mut MysqlConnection, QueryResult<bool>, { holds(db) });
of_parts!(#[inline] one_line, conn: &mut MysqlConnection, QueryResult<bool>, {
    holds(conn)
});

macro_rules! whole_item {
    ($function:item) => {
        #[with_lock("lock")]
        $function
    };
}

whole_item! {
    fn item(conn: &mut MysqlConnection) -> QueryResult<bool> {
        holds(conn)
    }
}

macro_rules! named_inside {
    ($name:ident, $lock:literal, $timeout:expr, $body:expr) => {
        #[with_lock($lock, timeout = $timeout)]
        fn $name(conn: &mut MysqlConnection) -> QueryResult<bool> {
            let body: fn(&mut MysqlConnection) -> QueryResult<bool> = $body;
            body(conn)
        }
    };
}

named_inside!(of_a_closure, "lock", 1 + 1, |conn| holds(conn));

macro_rules! named_by_the_caller {
    ($name:ident, $conn:ident) => {
        #[with_lock("lock", conn = conn)]
        fn $name($conn: &mut MysqlConnection) -> QueryResult<bool> {
            holds($conn)
        }
    };
}

named_by_the_caller!(of_the_caller, conn);

struct Repository {
    conn: MysqlConnection,
    others: Vec<MysqlConnection>,
}

macro_rules! method {
    ($name:ident, $this:ident, $conn:expr, $table:ty, $alias:literal, $body:block) => {
        impl Repository {
            #[with_lock("lock", conn = $conn, if_busy = Ok(false))]
            #[with_table_lock(read($table as $alias, $table), conn = ($conn))]
            fn $name(&mut $this) -> QueryResult<bool> $body
        }
    };
}

method!(of_a_field, self, self.conn, places::table, "p", { holds(&mut self.conn) });
method!(of_an_index, self, &mut self.others[0], audit_log::table, "a", {
    holds(&mut self.others[0])
});

macro_rules! field_of {
    ($name:ident, $this:ident, $base:expr) => {
        impl Repository {
            #[with_lock("lock", conn = $base.conn)]
            fn $name(&mut $this) -> QueryResult<bool> {
                holds(&mut $base.conn)
            }
        }
    };
}

field_of!(of_a_base, self, self);

#[test]
fn they_hold_their_locks() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    assert!(block(&mut conn).unwrap());
    assert!(one_line(&mut conn).unwrap());
    assert!(item(&mut conn).unwrap());
    assert!(of_a_closure(&mut conn).unwrap());
    assert!(of_the_caller(&mut conn).unwrap());
    let mut repository = Repository { conn, others: vec![db.connect()] };
    assert!(repository.of_a_field().unwrap());
    assert!(repository.of_an_index().unwrap());
    assert!(repository.of_a_base().unwrap());
}
