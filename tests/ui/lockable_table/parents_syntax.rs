use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
#[lockable(parents())]
struct Place;

#[derive(LockableTable)]
#[lockable(parents)]
struct Restaurant;

#[derive(LockableTable)]
#[diesel(table_name = places)]
#[lockable(parents = Restaurant)]
struct Bar;

#[derive(LockableTable)]
#[diesel(table_name = places)]
#[lockable(parents("restaurants", &Restaurant, Restaurant Place))]
struct Cafe;

fn main() {}
