use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
#[lockable(parents(Place))]
struct Place;

#[derive(LockableTable)]
#[lockable(parents(Place, Self))]
struct Restaurant;

fn main() {}
