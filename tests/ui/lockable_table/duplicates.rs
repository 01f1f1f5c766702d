use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Place;

#[derive(LockableTable)]
#[diesel(table_name = restaurants)]
#[lockable(parents(Place))]
#[lockable(parents(Place), crate = diesel_locks, crate = ::diesel_locks)]
struct Restaurant;

#[derive(LockableTable)]
#[diesel(table_name = restaurants)]
#[lockable(parents(Place, places::table, Place))]
struct Bar;

fn main() {}
