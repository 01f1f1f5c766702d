use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
#[diesel(table_name = "places")]
struct Place;

#[derive(LockableTable)]
#[diesel(table_name)]
struct Restaurant;

#[derive(LockableTable)]
#[diesel(table_name = )]
struct Bar;

#[derive(LockableTable)]
#[diesel(table_name(restaurants))]
struct Cafe;

#[derive(LockableTable)]
#[diesel(table_name = restaurants::)]
struct Pub;

fn main() {}
