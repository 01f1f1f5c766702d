//! Tables under aliases: self-joins, updates of several tables, and names that collide.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, TableLock, with_table_lock};

use crate::support::proxy::Proxy;
use crate::support::schema::{Database, customers, places, restaurants};
use crate::support::server;
use crate::support::table_checks::{
    Customer, Place, Restaurant, assert_all_free, depth, has_locked_tables, has_open_transaction,
    is_writable, session,
};

fn with_rows() -> Database {
    let db = Database::with_tables();
    db.connect()
        .batch_execute(
            "INSERT INTO places (id, name) VALUES (1, 'here'), (2, 'there'), (3, 'here'); \
             INSERT INTO restaurants (place_id, seats) VALUES (1, 10), (2, 20); \
             INSERT INTO customers (name, restaurant_id) VALUES ('Ann', 1), ('Bob', 2), ('Eve', 1)",
        )
        .unwrap();
    db
}

#[test]
fn every_table_is_written_into_the_statement_under_its_alias() {
    let lock = TableLock::new()
        .read_as::<Place>("p")
        .write_as::<Restaurant>("r")
        .read_table_as("legacy_log", "l")
        .write_table_as(("other_db", "log"), "o")
        .write_table_as("legacy_log", "w`");
    assert_eq!(
        lock.to_string(),
        "LOCK TABLES `places` AS `p` READ, `restaurants` AS `r` WRITE, `legacy_log` AS `l` READ, \
         `other_db`.`log` AS `o` WRITE, `legacy_log` AS `w``` WRITE"
    );
    // The higher level wins, as for tables without an alias.
    let lock = TableLock::new().read_as::<Place>("p").write_table_as("places", "p");
    assert_eq!(lock.to_string(), "LOCK TABLES `places` AS `p` WRITE");
}

#[test]
fn a_self_join_works_under_its_aliases() {
    let db = with_rows();
    let mut conn = db.connect();
    let (a, b) = diesel::alias!(places as a, places as b);
    let twins = |conn: &mut MysqlConnection| {
        a.inner_join(b.on(a.field(places::name).eq(b.field(places::name))))
            .filter(a.field(places::id).lt(b.field(places::id)))
            .select((a.field(places::id), b.field(places::id)))
            .load::<(i32, i32)>(conn)
    };
    for lock in [
        TableLock::new().read_as::<Place>("a").read_as::<Place>("b"),
        TableLock::new().write_as::<Place>("a").read_as::<places::table>("b"),
        TableLock::new().read_table_as("places", "a").write_table_as((db.name(), "places"), "b"),
    ] {
        assert_eq!(lock.with(&mut conn, |conn| twins(conn)), Ok(vec![(1, 3)]), "{lock}");
        // Without its alias the table is not locked.
        let refused = lock.with(&mut conn, |conn| places::table.count().get_result::<i64>(conn));
        assert!(matches!(refused, Err(DieselError::DatabaseError(..))), "{lock}: {refused:?}");
    }
    let plain = TableLock::new().read::<Place>().with(&mut conn, |conn| twins(conn));
    assert!(plain.is_err());
    assert_all_free(&db);
}

#[test]
fn an_update_of_several_tables_works_under_its_aliases() {
    #[with_table_lock(write(Restaurant as "r"), read(Customer as "c", Place as "p"))]
    fn attribute(conn: &mut MysqlConnection, update: &str) -> QueryResult<()> {
        conn.batch_execute(update)
    }
    let update = "UPDATE restaurants AS r JOIN places AS p ON p.id = r.place_id \
                  SET r.seats = r.seats + (SELECT COUNT(*) FROM customers AS c \
                  WHERE c.restaurant_id = r.place_id) WHERE p.name = 'here'";
    let db = with_rows();
    let mut conn = db.connect();
    let lock = TableLock::new()
        .write_as::<Restaurant>("r")
        .read_table_as("customers", "c")
        .read_as::<Place>("p");
    lock.with(&mut conn, |conn| {
        assert!(!is_writable(&db, "restaurants") && !is_writable(&db, "customers"));
        conn.batch_execute(update)
    })
    .unwrap();
    attribute(&mut conn, update).unwrap();
    let seats = restaurants::table.order(restaurants::place_id).select(restaurants::seats);
    assert_eq!(seats.load::<i32>(&mut conn), Ok(vec![14, 20]));
    assert_all_free(&db);
}

#[test]
fn a_table_is_written_under_one_alias_and_read_under_another() {
    let db = with_rows();
    let mut conn = db.connect();
    let lock = TableLock::new().write_table_as("customers", "c").read::<Customer>();
    lock.with(&mut conn, |conn| {
        conn.batch_execute("UPDATE customers AS c SET c.name = 'Max' WHERE c.name = 'Ann'")?;
        let names = customers::table.order(customers::id).select(customers::name);
        assert_eq!(names.load::<String>(conn), Ok(["Max", "Bob", "Eve"].map(String::from).into()));
        // Under its own name it is locked for reading alone.
        assert!(conn.batch_execute("UPDATE customers SET name = ''").is_err());
        QueryResult::Ok(())
    })
    .unwrap();
    assert_all_free(&db);
}

#[test]
fn two_tables_of_one_name_are_refused_before_anything_is_sent() {
    let db = with_rows();
    let proxy = Proxy::new();
    let mut conn = db.connect_through(&proxy);
    let new = TableLock::new;
    let locks = [
        new().read::<Place>().write_as::<Customer>("places"),
        new().write_as::<Customer>("places").read::<Place>(),
        new().read_as::<Place>("places").write_as::<Restaurant>("places"),
        new().read_table_as("customers", "places").write_table_as("restaurants", "places"),
        new().read_table("places").read_table_as("audit_log", "places"),
    ];
    for lock in locks {
        let mut refused = None;
        proxy.expect("two tables of one name", 0, || {
            refused = lock.acquire(&mut conn).map(drop).err();
        });
        let refused = refused.unwrap();
        assert!(matches!(&refused, Error::InvalidName { name, .. } if name == "places"), "{lock}");
        assert!(refused.to_string().contains("another alias"), "{refused}");
    }
}

#[test]
fn two_spellings_of_one_table_are_a_clear_error_of_the_server() {
    let db = with_rows();
    let mut conn = db.connect();
    let found = session(&mut conn);
    for lock in [
        TableLock::new().write_table("places").read_table((db.name(), "places")),
        TableLock::new().write::<Place>().write_table((db.name(), "places")),
        TableLock::new().read_as::<Place>("p").write_table_as((db.name(), "customers"), "p"),
    ] {
        let error = lock.acquire(&mut conn).map(drop).unwrap_err();
        assert!(
            matches!(&error, Error::InvalidName { name, .. } if name.contains("places")),
            "{error:?}"
        );
        assert!(error.to_string().contains("another alias"), "{error}");
        assert_eq!((session(&mut conn), depth(&mut conn)), (found, Some(0)));
        assert!(!has_open_transaction(&mut conn));
        assert!(!has_locked_tables(&mut conn));
        assert_all_free(&db);
    }
    // An alias tells them apart, and so do two databases.
    let lock = TableLock::new().write_table("places").read_table_as((db.name(), "places"), "p");
    lock.acquire(&mut conn).unwrap().release().unwrap();
    let other = Database::with_tables();
    let lock = TableLock::new().write_table("places").read_table((other.name(), "places"));
    lock.acquire(&mut conn).unwrap().release().unwrap();
}

#[test]
fn aliases_need_no_default_database() {
    let db = with_rows();
    let mut conn = server::connect();
    let lock = TableLock::new().read_table_as((db.name(), "places"), "p");
    let query = format!("SELECT COUNT(*) FROM `{}`.places AS p", db.name());
    lock.with(&mut conn, |conn| conn.batch_execute(&query)).unwrap();
    let refused = TableLock::new().read_as::<Place>("p").acquire(&mut conn).map(drop);
    assert!(matches!(refused, Err(Error::NoDatabase)), "{refused:?}");
}
