use diesel_locks::LockableTable;

diesel::table! { places (id) { id -> Integer, } }
diesel::table! { restaurants (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Place;

#[derive(LockableTable)]
#[lockable(parent(Place))]
struct Restaurant;

fn main() {
    let _ = diesel_locks::TableLock::new().write::<Restaurant>();
}
