use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
#[lockable]
struct Place;

#[derive(LockableTable)]
#[lockable()]
struct Restaurant;

#[derive(LockableTable)]
#[diesel(table_name = places)]
#[lockable = "restaurants"]
struct Bar;

#[derive(LockableTable)]
#[diesel(table_name = places)]
#[lockable("restaurants", crate = "diesel_locks")]
struct Cafe;

#[derive(LockableTable)]
#[diesel(table_name = places)]
struct Pub {
    #[lockable(parents(Place))]
    place: i32,
}

fn main() {}
