use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

mod schema {
    pub mod views {}
}

#[derive(LockableTable)]
#[diesel(table_name = schema::places)]
struct Place;

#[derive(LockableTable)]
#[diesel(table_name = schema::views)]
struct View;

#[derive(LockableTable)]
struct Cafe;

fn main() {}
