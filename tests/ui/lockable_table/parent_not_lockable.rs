use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

struct Place;

#[derive(LockableTable)]
#[lockable(parents(Place))]
struct Restaurant;

#[derive(LockableTable)]
#[diesel(table_name = restaurants)]
#[lockable(parents(Palace))]
struct Bar;

fn main() {}
