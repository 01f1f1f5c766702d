//! Models with more than one table, as Diesel's `Insertable` and `Queryable` allow.
#![allow(dead_code, reason = "the models are only types here")]

use diesel::prelude::*;
use diesel_locks::{LockableTable, TableLock};

diesel::table! { users (id) { id -> Integer, } }
diesel::table! { archived_users (id) { id -> Integer, } }
diesel::table! { people (id) { id -> Integer, } }

#[derive(LockableTable)]
#[diesel(table_name = people)]
struct Person;

#[derive(Insertable, Queryable, LockableTable)]
#[diesel(table_name = users)]
#[diesel(table_name = archived_users, check_for_backend(diesel::mysql::Mysql))]
#[lockable(parents(Person))]
struct User {
    id: i32,
}

#[derive(LockableTable)]
#[diesel(table_name = users)]
#[diesel(table_name = users)]
struct Twice;

#[test]
fn a_model_of_several_tables_locks_all_of_them() {
    let lock = TableLock::new().write::<User>();
    let expected = "LOCK TABLES `users` WRITE, `archived_users` WRITE, `people` WRITE";
    assert_eq!(lock.to_string(), expected);
    assert_eq!(TableLock::new().read::<Twice>().to_string(), "LOCK TABLES `users` READ");
}
